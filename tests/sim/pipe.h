/* One direction of a simulated link: bytes stay in order and take their time; at a cut, those
 * on their way may be lost from any byte on. */
#ifndef CULVERT_SIM_PIPE_H
#define CULVERT_SIM_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIPE_BYTES         131072 /* on their way at most */
#define PIPE_SEGMENTS_MOST 1024

struct segment {
	uint64_t end; /* position in the pipe's stream after its last byte */
	uint64_t arrives_ms;
};

struct pipe {
	size_t capacity; /* at most PIPE_BYTES */
	uint64_t put;    /* positions since the link was opened */
	uint64_t taken;
	uint64_t cut_at;   /* nothing from this position on arrives; UINT64_MAX: everything does */
	bool closed;       /* the sender puts no more */
	uint64_t stall_ms; /* nothing arrives before */
	struct segment segments[PIPE_SEGMENTS_MOST];
	size_t segment_first;
	size_t segment_count;
	unsigned char bytes[PIPE_BYTES];
};

void pipe_init(struct pipe *pipe, size_t capacity);

/** @returns how many bytes there was room for */
size_t pipe_put(struct pipe *pipe, const unsigned char *bytes, size_t length, uint64_t arrives_ms);

/** What has arrived, at most @length. @returns 0 when there is nothing now */
size_t pipe_take(struct pipe *pipe, uint64_t now_ms, unsigned char *bytes, size_t length);

/** Everything that will ever arrive has been taken, and that no more comes has arrived too */
bool pipe_at_end(const struct pipe *pipe, uint64_t now_ms);

/** When more, or the end, will have arrived; UINT64_MAX: nothing is on its way */
uint64_t pipe_next_ms(const struct pipe *pipe);

/** The last @lost bytes that are on their way, and all that are put later, do not arrive */
void pipe_cut(struct pipe *pipe, uint64_t lost);

static inline uint64_t pipe_held_bytes(const struct pipe *pipe)
{
	return pipe->put - pipe->taken;
}

#endif
