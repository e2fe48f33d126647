#include "pipe.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "fail.h"
#include "moment.h"

#define PIECES_MOST 65536
#define PIECE_BYTES 65536
#define SPARE_BYTES 262144
#define BUFFER_MOST (64u << 20)
#define UNLIMITED   20000 /* Mbit/s that a buffer is made for */

/* What was read at once, and when it may leave */
struct piece {
	uint64_t end; /* position in the stream */
	uint64_t due_ns;
};

struct pipe {
	const struct pipe_line *line;
	int from;
	int to;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned char *buffer; /* a ring */
	size_t buffer_bytes;
	uint64_t read_bytes; /* positions in the stream */
	uint64_t written_bytes;
	struct piece pieces[PIECES_MOST];
	unsigned pieces_put;
	unsigned pieces_taken;
	bool ended;  /* nothing more to read */
	bool broken; /* nobody takes what is written */
};

/* What is under way at the full rate, and some more */
static size_t buffer_size(const struct pipe_line *line)
{
	double rate_mbit = line->rate_mbit > 0 ? line->rate_mbit : UNLIMITED;
	size_t bytes = (size_t)(rate_mbit * 125 * line->delay_ms) + SPARE_BYTES;

	return bytes < BUFFER_MOST ? bytes : BUFFER_MOST;
}

struct pipe *pipe_new(const struct pipe_line *line, int from, int to)
{
	struct pipe *pipe = calloc(1, sizeof(*pipe));

	if (!pipe)
		fail("no memory");
	pipe->line = line;
	pipe->from = from;
	pipe->to = to;
	pthread_mutex_init(&pipe->lock, NULL);
	pthread_cond_init(&pipe->changed, NULL);
	pipe->buffer_bytes = buffer_size(line);
	pipe->buffer = malloc(pipe->buffer_bytes);
	if (!pipe->buffer)
		fail("no memory");
	return pipe;
}

void pipe_free(struct pipe *pipe)
{
	free(pipe->buffer);
	free(pipe);
}

/* Under the lock. @returns 0: the pipe is broken */
static size_t wait_for_room(struct pipe *pipe)
{
	size_t offset = (size_t)(pipe->read_bytes % pipe->buffer_bytes);
	size_t room;

	while (!pipe->broken &&
		(pipe->read_bytes - pipe->written_bytes == pipe->buffer_bytes ||
			pipe->pieces_put - pipe->pieces_taken == PIECES_MOST))
		pthread_cond_wait(&pipe->changed, &pipe->lock);
	if (pipe->broken)
		return 0;
	room = pipe->buffer_bytes - (size_t)(pipe->read_bytes - pipe->written_bytes);
	if (room > pipe->buffer_bytes - offset)
		room = pipe->buffer_bytes - offset;
	return room < PIECE_BYTES ? room : PIECE_BYTES;
}

static ssize_t read_some(struct pipe *pipe, size_t room)
{
	size_t offset = (size_t)(pipe->read_bytes % pipe->buffer_bytes);
	ssize_t got;

	do {
		got = recv(pipe->from, pipe->buffer + offset, room, 0);
	} while (got < 0 && errno == EINTR);
	return got;
}

void pipe_read(struct pipe *pipe)
{
	uint64_t delay_ns = (uint64_t)(pipe->line->delay_ms * 1e6);

	for (;;) {
		ssize_t got;
		size_t room;

		pthread_mutex_lock(&pipe->lock);
		room = wait_for_room(pipe);
		pthread_mutex_unlock(&pipe->lock);
		if (room == 0)
			return;
		got = read_some(pipe, room);
		pipe->line->pause();
		pthread_mutex_lock(&pipe->lock);
		if (got > 0) {
			pipe->read_bytes += (uint64_t)got;
			pipe->pieces[pipe->pieces_put++ % PIECES_MOST] =
				(struct piece){pipe->read_bytes, moment_ns() + delay_ns};
		} else {
			pipe->ended = true;
		}
		pthread_cond_broadcast(&pipe->changed);
		pthread_mutex_unlock(&pipe->lock);
		if (got <= 0)
			return;
	}
}

static bool wait_for_piece(struct pipe *pipe, struct piece *piece)
{
	bool there;

	pthread_mutex_lock(&pipe->lock);
	while (pipe->pieces_taken == pipe->pieces_put && !pipe->ended)
		pthread_cond_wait(&pipe->changed, &pipe->lock);
	there = pipe->pieces_taken != pipe->pieces_put;
	if (there)
		*piece = pipe->pieces[pipe->pieces_taken % PIECES_MOST];
	pthread_mutex_unlock(&pipe->lock);
	return there;
}

static bool write_piece(struct pipe *pipe, const struct piece *piece)
{
	while (pipe->written_bytes < piece->end) {
		size_t offset = (size_t)(pipe->written_bytes % pipe->buffer_bytes);
		size_t length = (size_t)(piece->end - pipe->written_bytes);
		ssize_t sent = send(pipe->to, pipe->buffer + offset, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		pthread_mutex_lock(&pipe->lock);
		pipe->written_bytes += (uint64_t)sent;
		pthread_cond_broadcast(&pipe->changed);
		pthread_mutex_unlock(&pipe->lock);
	}
	return true;
}

void pipe_write(struct pipe *pipe)
{
	double free_ns = 0; /* when the line is free again */
	struct piece piece;

	prctl(PR_SET_TIMERSLACK, 1000);
	while (wait_for_piece(pipe, &piece)) {
		bool written;

		if (pipe->line->rate_mbit > 0) {
			if (free_ns < (double)piece.due_ns)
				free_ns = (double)piece.due_ns;
			free_ns += (double)(piece.end - pipe->written_bytes) * 8e3 /
				pipe->line->rate_mbit;
			piece.due_ns = (uint64_t)free_ns;
		}
		sleep_until(piece.due_ns);
		pipe->line->pause();
		written = write_piece(pipe, &piece);
		pthread_mutex_lock(&pipe->lock);
		pipe->broken = !written;
		pipe->pieces_taken++;
		pthread_cond_broadcast(&pipe->changed);
		pthread_mutex_unlock(&pipe->lock);
		if (!written) {
			shutdown(pipe->from, SHUT_RD);
			break;
		}
	}
	shutdown(pipe->to, SHUT_WR);
}
