/* How much pre-copies may send while a post-copy stream of the same host runs, over a link whose
 * capacity nobody has told: little at first; then, as long as the post-copy stream finds room on
 * the link, what it leaves of the most that was ever seen to pass, and now and then a little more,
 * to see more.
 *
 * Floor: tunnel (no descriptors, no clock, no logging): turns go in, of some 100 ms each, and never
 * less than half of that.
 */
#ifndef CULVERT_TUNNEL_CONTENTION_H
#define CULVERT_TUNNEL_CONTENTION_H

#include <stdbool.h>
#include <stdint.h>

struct contention {
	uint64_t capacity;  /* bytes/s that have passed at most; it ages */
	uint64_t allowance; /* bytes/s for all bulk together */
	unsigned full;      /* permille of the time that post-copy waits for the link, smoothed */
	unsigned turns;
	bool grown; /* more passed than ever before */
};

struct contention_figures {
	uint64_t postcopy_bytes_per_s; /* that arrived, of each class */
	uint64_t bulk_bytes_per_s;
	/* of all bulk together, but no more than 1/20 of the capacity */
	uint64_t floor_bytes_per_s;
	unsigned full_permille; /* of the turn, in which a post-copy stream waited for its link */
};

/** Post-copy begins */
void contention_init(struct contention *contention);

/** A turn has passed: @contention->allowance is for the next one */
void contention_turn(struct contention *contention, const struct contention_figures *figures);

#endif
