/* One host's end of a link: what it has sealed and not yet sent, and the handshake on it. */
#ifndef CULVERT_SIM_LINK_END_H
#define CULVERT_SIM_LINK_END_H

#include "network.h"
#include "tunnel/handshake.h"

#define SEAL_MOST_BYTES 131072

enum link_end_state {
	LINK_END_CLOSED,
	LINK_END_ASKING,   /* the handshake is under way */
	LINK_END_CARRYING, /* a session's */
	LINK_END_PARTING,  /* what is sealed still leaves */
};

struct link_end {
	enum link_end_state state;
	size_t host;
	struct sim_link *link;
	uint64_t given_up_ms; /* an attempt that is not answered before comes to nothing */
	struct handshake handshake;
	unsigned char sealed[SEAL_MOST_BYTES];
	size_t sealed_begin;
	size_t sealed_end;
};

/** Asking; the handshake is the caller's to begin. @link outlives it */
void link_end_init(struct link_end *end, size_t host, struct sim_link *link);

/** @length bytes for which there is room, as the caller knows */
void link_end_seal(struct link_end *end, const void *bytes, size_t length);

static inline size_t link_end_held_bytes(const struct link_end *end)
{
	return end->sealed_end - end->sealed_begin;
}

/** Send at most @most bytes of what is sealed. @returns how many */
size_t link_end_flush(struct link_end *end, size_t most, uint64_t now_ms, struct random *random);

/** What has arrived, at most @most bytes. @returns 0: nothing now */
size_t link_end_take(struct link_end *end, uint64_t now_ms, unsigned char *bytes, size_t most);

/** No more arrives, and that can be seen here */
bool link_end_over(const struct link_end *end, uint64_t now_ms);

/** Close it at once; what is on its way may arrive or not */
void link_end_abort(struct link_end *end, struct random *random);

/** Say no more: close once all that is sealed was sent, see link_end_part() */
void link_end_finish(struct link_end *end);
void link_end_part(struct link_end *end, uint64_t now_ms);

static inline struct pipe *link_end_incoming(const struct link_end *end)
{
	return &end->link->pipes[1 - end->host];
}

#endif
