#include "link_end.h"

#include <string.h>

static struct pipe *outgoing(const struct link_end *end)
{
	return &end->link->pipes[end->host];
}

void link_end_init(struct link_end *end, size_t host, struct sim_link *link)
{
	end->state = LINK_END_ASKING;
	end->host = host;
	end->link = link;
	end->given_up_ms = UINT64_MAX;
	end->sealed_begin = 0;
	end->sealed_end = 0;
}

void link_end_seal(struct link_end *end, const void *bytes, size_t length)
{
	memmove(end->sealed, end->sealed + end->sealed_begin, link_end_held_bytes(end));
	end->sealed_end -= end->sealed_begin;
	end->sealed_begin = 0;
	memcpy(end->sealed + end->sealed_end, bytes, length);
	end->sealed_end += length;
}

size_t link_end_flush(struct link_end *end, size_t most, uint64_t now_ms, struct random *random)
{
	size_t length = link_end_held_bytes(end);
	uint64_t arrives_ms =
		now_ms + end->link->delay_ms + random_from(random, 0, end->link->jitter_most_ms);

	length = pipe_put(outgoing(end), end->sealed + end->sealed_begin,
		length < most ? length : most, arrives_ms);
	end->sealed_begin += length;
	return length;
}

size_t link_end_take(struct link_end *end, uint64_t now_ms, unsigned char *bytes, size_t most)
{
	return pipe_take(link_end_incoming(end), now_ms, bytes, most);
}

bool link_end_over(const struct link_end *end, uint64_t now_ms)
{
	return pipe_at_end(link_end_incoming(end), now_ms);
}

static void leave(struct link_end *end)
{
	outgoing(end)->closed = true;
	end->link->held[end->host] = false;
	end->state = LINK_END_CLOSED;
}

void link_end_abort(struct link_end *end, struct random *random)
{
	end->link->cut = true;
	/* A reset takes what is on its way with it, a mere end does not. */
	if (random_once_in(random, 2))
		pipe_cut(outgoing(end), PIPE_BYTES);
	pipe_cut(link_end_incoming(end), PIPE_BYTES);
	leave(end);
}

void link_end_finish(struct link_end *end)
{
	end->state = LINK_END_PARTING;
}

void link_end_part(struct link_end *end, uint64_t now_ms)
{
	unsigned char bytes[4096];

	/* What still arrives is not looked at. */
	(void)link_end_take(end, now_ms, bytes, sizeof(bytes));
	if (link_end_held_bytes(end) == 0 || link_end_over(end, now_ms) ||
		!end->link->held[1 - end->host])
		leave(end);
}
