/* How fast a channel should send, so that its bytes do not queue in the network.
 *
 * TCP fills whatever queue stands before the slowest hop, a host's own network card most of all; a
 * page that a guest waits for then stands behind milliseconds of bulk, also on other connections.
 * So a channel that keeps such a queue filled is paced a little below the rate that arrives: the
 * queue drains, and bytes wait in the hypervisor, which can still put urgent ones in front.
 *
 * The queue shows as round trip beyond the least that was seen. While it stays away, the pace
 * rises, in growing steps, until it shows again. A channel that is limited by something else (its
 * program, a processor, the peer) builds no queue and is not paced: it often has nothing under way,
 * or what a longer round trip would hold of its bytes is less than it sends at once.
 *
 * Floor: tunnel (no descriptors, no clock, no logging). Times are microseconds of any steady clock.
 * Threads: owned by one channel, on its loop's thread.
 */
#ifndef CULVERT_TUNNEL_PACE_H
#define CULVERT_TUNNEL_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rate.h"

/* Samples that are nearer to each other tell nothing more. */
#define PACE_SAMPLE_US 10000

/* What the connection looks like at one moment */
struct pace_sample {
	uint64_t now_us;
	uint64_t arrived_bytes; /* acknowledged by the peer's kernel since it was made */
	uint64_t in_flight_us;  /* how long any byte was under way, all in all */
	uint32_t round_trip_us; /* TCP's: smoothed */
	uint32_t round_trip_least_us;
	uint32_t peer_round_us; /* the least to the peer's daemon and back; 0: not known. More than
				 * TCP's, if something relays the connection */
	uint64_t wanted_us;     /* in which our thread ran or waited for a processor, all in all */
};

struct pace {
	uint64_t bytes_per_s;  /* RATE_UNLIMITED: not paced */
	uint64_t arrival_rate; /* bytes per second, of the last interval; 0: not known */
	uint64_t carried_rate; /* ... the most since there was a queue to drain */
	uint32_t distance_us;  /* the least round trip to the peer */
	bool draining;
	uint32_t drain_began_us;  /* the queue, when it last had become smaller */
	unsigned drain_intervals; /* since then */
	uint64_t left_until_us;   /* not paced before */
	uint64_t leave_us;        /* how long next time */
	bool busy;                /* in the last interval the thread hardly rested */
	uint64_t sampled_us;
	uint64_t began_us; /* the present interval */
	uint64_t began_bytes;
	uint64_t began_in_flight_us;
	uint64_t began_wanted_us;
	uint32_t queued_least_us; /* in the present interval */
	unsigned idle_intervals;  /* in a row, while paced: the pace was not what limited */
	unsigned steps;           /* by which it rose since there was a queue */
	unsigned step_permille;   /* the next one */
};

/** A new connection: nothing is known of it */
void pace_init(struct pace *pace);

/** Whether pace_note() would look at a sample of now */
bool pace_wants_sample(const struct pace *pace, uint64_t now_us);

/** What the connection looks like now: another pace may come of it */
void pace_note(struct pace *pace, const struct pace_sample *sample);

/** How much to take from the local program at once, so that it does not wait long behind itself;
 * from @least to @most bytes */
size_t pace_portion(const struct pace *pace, size_t least, size_t most);

#endif
