/* What the channels of one migration may use of the bandwidth, set by its conversation and by the
 * operator, kept by the scheduler; and how long they may wait. It outlives each single channel.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_TERMS_H
#define CULVERT_DAEMON_TERMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tunnel/shares.h"

struct terms {
	atomic_uint references;
	atomic_int share_class;             /* enum share_class */
	_Atomic uint64_t limit_bytes_per_s; /* bytes/s each way; or RATE_UNLIMITED */
	_Atomic uint64_t to_peer_rate;  /* that it may send at most just now; or RATE_UNLIMITED */
	_Atomic uint64_t to_local_rate; /* ... and that the peer was asked to send */
	unsigned channel_count;         /* under the scheduler's lock */
	atomic_bool patient;            /* a lost link is waited for beyond the deadline */
};

/** @returns terms of class SHARE_BULK, held by the caller; or NULL without memory */
struct terms *terms_new(uint64_t limit_bytes_per_s);

/** ... without a limit, of streams that are libvirt's alone: it gives up by itself those that are
 * still worth nothing (pre-copy), and cannot be relied on to go on over others (post-copy).
 * @returns them, patient; or NULL without memory */
struct terms *terms_new_patient(void);

/** @terms  NULL: nothing happens. @returns it */
struct terms *terms_hold(struct terms *terms);
void terms_put(struct terms *terms);

#endif
