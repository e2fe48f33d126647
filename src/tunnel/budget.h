/* The memory in which all channels of a daemon together keep what their peers have not
 * acknowledged, and what they promised to hold for their local programs (see window.h).
 *
 * Every channel may hold BUDGET_FLOOR_BYTES, whatever the others do: chunks for its data, and one
 * more for its end; and the least window, which is its own as well. Beyond that it borrows chunks,
 * in each direction up to its share: the total divided by the channels there are, or by
 * BUDGET_SHARERS_MOST if there are more: then most of them are idle, or are there to leave nothing
 * for others. All of them together never hold more than the total, and these floors and least
 * windows.
 *
 * A refusal needs no wake-up from others. Who is refused memory for replay holds full chunks of its
 * own, so its peer owes it an acknowledgement, and when that frees a chunk it may ask again. Who is
 * refused it for its window keeps the window it has, and asks again when its program takes bytes.
 *
 * Floor: tunnel (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Streams".
 * Threads: any.
 */
#ifndef CULVERT_TUNNEL_BUDGET_H
#define CULVERT_TUNNEL_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "tunnel/chunk.h"

/* Chunks of data that are nobody's loan */
#define BUDGET_FLOOR_CHUNKS 3
#define BUDGET_FLOOR_BYTES  ((BUDGET_FLOOR_CHUNKS + 1) * (size_t)CHUNK_BYTES)

/* Into so many shares the total is divided at most */
#define BUDGET_SHARERS_MOST 64

struct budget {
	size_t total; /* chunks that may be lent */
	atomic_size_t lent;
	atomic_size_t sharers; /* channels */
};

void budget_init(struct budget *budget, size_t total_bytes);

/** One channel more, or less. Who leaves has given everything back */
void budget_join(struct budget *budget);
void budget_leave(struct budget *budget);

/** Whether a channel that has borrowed @borrowed chunks may have one more, as things are now */
bool budget_would_lend(const struct budget *budget, size_t borrowed);

/** @returns whether it got that chunk */
bool budget_borrow(struct budget *budget, size_t borrowed);
void budget_give_back(struct budget *budget, size_t count);

#endif
