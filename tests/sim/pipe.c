#include "pipe.h"

#include <string.h>

void pipe_init(struct pipe *pipe, size_t capacity)
{
	pipe->capacity = capacity;
	pipe->put = 0;
	pipe->taken = 0;
	pipe->cut_at = UINT64_MAX;
	pipe->closed = false;
	pipe->stall_ms = 0;
	pipe->segment_first = 0;
	pipe->segment_count = 0;
}

static struct segment *segment_at(struct pipe *pipe, size_t index)
{
	return &pipe->segments[(pipe->segment_first + index) % PIPE_SEGMENTS_MOST];
}

size_t pipe_put(struct pipe *pipe, const unsigned char *bytes, size_t length, uint64_t arrives_ms)
{
	size_t held = (size_t)pipe_held_bytes(pipe);
	size_t room = pipe->capacity > held ? pipe->capacity - held : 0;
	size_t part = length < room ? length : room;
	size_t at = (size_t)(pipe->put % PIPE_BYTES);
	size_t before_wrap = PIPE_BYTES - at < part ? PIPE_BYTES - at : part;
	struct segment *segment;

	if (part == 0 || pipe->closed || pipe->segment_count == PIPE_SEGMENTS_MOST)
		return 0;
	memcpy(pipe->bytes + at, bytes, before_wrap);
	memcpy(pipe->bytes, bytes + before_wrap, part - before_wrap);
	pipe->put += part;
	segment = segment_at(pipe, pipe->segment_count++);
	segment->end = pipe->put;
	segment->arrives_ms = arrives_ms;
	return part;
}

/* Position up to which bytes have arrived */
static uint64_t arrived(struct pipe *pipe, uint64_t now_ms)
{
	uint64_t end = pipe->taken;

	if (now_ms < pipe->stall_ms)
		return end;
	for (size_t i = 0; i < pipe->segment_count; i++) {
		if (segment_at(pipe, i)->arrives_ms > now_ms)
			break;
		end = segment_at(pipe, i)->end;
	}
	return end < pipe->cut_at ? end : pipe->cut_at;
}

size_t pipe_take(struct pipe *pipe, uint64_t now_ms, unsigned char *bytes, size_t length)
{
	uint64_t end = arrived(pipe, now_ms);
	size_t part = end > pipe->taken ? (size_t)(end - pipe->taken) : 0;
	size_t at = (size_t)(pipe->taken % PIPE_BYTES);
	size_t before_wrap;

	if (part > length)
		part = length;
	before_wrap = PIPE_BYTES - at < part ? PIPE_BYTES - at : part;
	memcpy(bytes, pipe->bytes + at, before_wrap);
	memcpy(bytes + before_wrap, pipe->bytes, part - before_wrap);
	pipe->taken += part;
	while (pipe->segment_count > 0 && segment_at(pipe, 0)->end <= pipe->taken) {
		pipe->segment_first = (pipe->segment_first + 1) % PIPE_SEGMENTS_MOST;
		pipe->segment_count--;
	}
	return part;
}

bool pipe_at_end(const struct pipe *pipe, uint64_t now_ms)
{
	uint64_t end = pipe->cut_at < pipe->put ? pipe->cut_at : pipe->put;

	return pipe->closed && pipe->taken >= end && now_ms >= pipe->stall_ms;
}

uint64_t pipe_next_ms(const struct pipe *pipe)
{
	uint64_t arrives_ms;

	if (pipe->segment_count == 0)
		return pipe->closed ? pipe->stall_ms : UINT64_MAX;
	arrives_ms = pipe->segments[pipe->segment_first].arrives_ms;
	return arrives_ms > pipe->stall_ms ? arrives_ms : pipe->stall_ms;
}

void pipe_cut(struct pipe *pipe, uint64_t lost)
{
	uint64_t held = pipe_held_bytes(pipe);

	if (pipe->cut_at != UINT64_MAX)
		return;
	pipe->cut_at = pipe->put - (lost < held ? lost : held);
	pipe->closed = true;
}
