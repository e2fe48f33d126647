/* The to_peer buffer: bytes taken from the local program and not yet acknowledged by the peer,
 * framed where they lie, so that they are sealed, sent and sent again without a further copy.
 *
 * Floor: tunnel (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Streams".
 * Threads: owned by one session, on its loop's thread.
 */
#ifndef CULVERT_TUNNEL_REPLAY_H
#define CULVERT_TUNNEL_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tunnel/budget.h"
#include "tunnel/chunk.h"

struct replay {
	struct chunk_pool *pool;
	struct chunk_queue chunks; /* whole frames, back to back */
	size_t chunk_count_largest;
	struct budget *budget; /* NULL: chunk_count_largest alone bounds it */
	size_t borrowed;       /* chunks, from the budget */
	struct chunk *unsent;  /* first chunk with unsent frames, or NULL */
	uint32_t unsent_begin;
	uint64_t acknowledged; /* positions since the channel was opened */
	uint64_t sent;
	uint64_t taken;
	uint64_t replayed; /* positions that were sent a second time, or more often */
	bool eof_taken;    /* the position of the EOF is taken - 1 */
};

/**
 * @largest_bytes  memory this replay may hold; at least two chunks are allowed
 * @budget         what it shares with others, joined until replay_fini(); or NULL
 */
void replay_init(struct replay *replay, struct chunk_pool *pool, size_t largest_bytes,
	struct budget *budget);
void replay_fini(struct replay *replay);

/** What is kept will not be sent any more: the channel has ended. Positions stay */
void replay_drop(struct replay *replay);

/**
 * Where the next bytes of the local program go.
 *
 * @returns  a place for *@length bytes (at least 1), valid until the next call on @replay;
 *           NULL: full, or the budget is used up, or ended, or out of memory
 */
void *replay_space(struct replay *replay, size_t *length);

/** Whether replay_space() would give any, memory permitting. If not, and it has not ended, bytes
 * wait to be acknowledged: then it is worth asking again */
bool replay_has_space(const struct replay *replay);

/** @length bytes (1 to what replay_space() said) were written there */
void replay_take(struct replay *replay, size_t length);

/** Nothing was written there. A replay that keeps nothing then holds no memory */
void replay_leave_space(struct replay *replay);

/** The local program will write no more. @returns 0, or -1 when there is no memory: try again */
int replay_take_eof(struct replay *replay);

/** Whole frames not yet sent on this link, or NULL. Valid until the next call on @replay */
const void *replay_unsent(const struct replay *replay, size_t *length);

/** All that replay_unsent() returned is sent */
void replay_sent(struct replay *replay);

/** The link is lost: what is not acknowledged is unsent again. Frames may be sent twice */
void replay_rewind(struct replay *replay);

/**
 * Forget everything before @offset, the peer's cumulative acknowledgement.
 *
 * @errors  ERROR_PEER: @offset runs backwards or past what was sent; nothing is changed
 */
int replay_acknowledge(struct replay *replay, uint64_t offset, struct error *err);

/** Everything was taken, sent and acknowledged, the EOF included */
bool replay_finished(const struct replay *replay);

#endif
