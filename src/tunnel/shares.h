/* Who may use how much of a limited bandwidth.
 *
 * Floor: tunnel (no descriptors, no clock, no logging): a function of its arguments.
 */
#ifndef CULVERT_TUNNEL_SHARES_H
#define CULVERT_TUNNEL_SHARES_H

#include <stddef.h>
#include <stdint.h>

#include "base/rate.h"

/** What anybody gets at least, if the limit allows: together at most 1/20 of it */
#define SHARES_FLOOR_BYTES_PER_S 1000000u

/* Served in this order */
enum share_class {
	SHARE_URGENT,   /* control: little, and given no rate */
	SHARE_POSTCOPY, /* a guest waits for it */
	SHARE_BULK,
};

#define SHARE_CLASSES 3

struct share {
	enum share_class share_class;
	uint64_t demand; /* bytes/s that it would use */
	uint64_t cap;    /* ... and may */
	uint64_t rate;   /* what it gets */
};

/**
 * Divide @limit: a floor for everybody, then class by class what is demanded, in each by max-min
 * fairness, then what is left over evenly, for those that come to want more.
 *
 * The rates add up to @limit, or to all the caps if these are less, but for rounding down by less
 * than a byte each. A limit beyond 2^50 is none: then everybody gets its cap.
 */
void shares_allot(struct share *shares, size_t count, uint64_t limit);

#endif
