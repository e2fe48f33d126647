/* One direction of a relayed connection, with a delay and a rate. */
#ifndef CULVERT_BENCH_PIPE_H
#define CULVERT_BENCH_PIPE_H

#include <stddef.h>
#include <stdint.h>

struct pipe_line {
	double delay_ms;     /* one way */
	double rate_mbit;    /* 0: no limit */
	void (*pause)(void); /* called between any two steps: returns when bytes may move */
};

struct pipe;

/** From @from to @to, which stay the caller's */
struct pipe *pipe_new(const struct pipe_line *line, int from, int to);

/** Only when both have returned */
void pipe_free(struct pipe *pipe);

/* Each in a thread of its own, until the end of the stream or a failure. */
void pipe_read(struct pipe *pipe);
void pipe_write(struct pipe *pipe);

#endif
