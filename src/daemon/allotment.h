/* What a channel and the scheduler tell each other: how much passes, and how much may. The channel
 * takes up what it may use at its next pass, and sets the pace of its link only when it changed.
 *
 * Threads: the loop of the channel's worker; the scheduler reads and writes the atomic fields, and
 * its own.
 */
#ifndef CULVERT_DAEMON_ALLOTMENT_H
#define CULVERT_DAEMON_ALLOTMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "daemon/flow.h"
#include "daemon/terms.h"

/** Whatever anybody asks for: slower, a channel's heartbeat would fail */
#define ALLOTMENT_LEAST_BYTES_PER_S 65536u

/* The scheduler's: one direction as measured */
struct allotment_meter {
	uint64_t seen;
	uint64_t rate; /* bytes/s, smoothed */
};

struct allotment {
	struct list place;           /* in the scheduler's list */
	struct scheduler *scheduler; /* NULL: it is in none, and nothing is limited */
	struct terms *terms;         /* held; or NULL */
	enum share_class own_class;  /* without terms */

	_Atomic uint64_t sent; /* by the worker: positions in the stream */
	_Atomic uint64_t acknowledged;
	_Atomic uint64_t received;
	_Atomic uint64_t full_ms;   /* how long the link has taken no more, all in all */
	_Atomic uint64_t peer_rate; /* that the peer asks for; or RATE_UNLIMITED */
	uint64_t noted_ms;          /* the worker's own, as what follows: the last pass */
	bool was_full;              /* after it the link took no more */
	uint64_t allowed;           /* by the scheduler and the peer, when it was looked at last */
	uint64_t pace;              /* that the link has */

	_Atomic uint64_t to_peer_rate; /* by the scheduler; or RATE_UNLIMITED */
	_Atomic uint64_t to_local_rate;
	struct allotment_meter sent_meter; /* the scheduler's own, as what follows */
	struct allotment_meter acknowledged_meter;
	struct allotment_meter received_meter;
	uint64_t full_seen_ms;
	unsigned full_permille; /* of the time between two turns */
};

/** @terms  held from now on; or NULL */
void allotment_init(struct allotment *allotment, const char *service, struct terms *terms);
void allotment_fini(struct allotment *allotment);

/** Before a pass over the flow's link: send no faster, and ask the peer for no more, than is
 * allotted */
void allotment_apply(struct allotment *allotment, struct flow *flow);

/** After a pass */
void allotment_note(struct allotment *allotment, const struct flow *flow, uint64_t now_ms);

/** The flow has a new link, on which nothing is set yet */
void allotment_renew(struct allotment *allotment);

#endif
