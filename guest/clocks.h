/* How long the guest stood still, by the two clocks it has.
 *
 * Its own clock (CLOCK_MONOTONIC) runs on while a vCPU waits for a page in post-copy, so a gap in
 * it is a stall that a program in the guest feels. But it stops while the whole machine is
 * stopped: the downtime at switchover leaves no gap in it.
 *
 * The machine's real-time clock follows the host's and does not stop. It only counts seconds, but
 * the moment at which it changes is known to the tick, so how far it has moved away from the
 * guest's own clock is the time the machine was stopped, to a few milliseconds (provided that both
 * hosts agree on the time).
 */
#ifndef CULVERT_GUEST_CLOCKS_H
#define CULVERT_GUEST_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct clocks {
	uint64_t started_us;
	uint64_t last_us;
	uint64_t longest_gap_us;
	bool rtc_usable;
	int rtc_second;      /* what it showed last, or -1 */
	int64_t rtc_base_us; /* real-time clock minus our own, when first seen to change */
	bool rtc_based;
	int64_t stopped_us;
};

void clocks_init(struct clocks *clocks);

/** Look at our own clock; @slept_us of the time since the last look was sleep we asked for.
 *  @returns the time since clocks_init() */
uint64_t clocks_look(struct clocks *clocks, uint64_t slept_us);

/** Look at the real-time clock: costs a few exits from the virtual CPU, so once a tick */
void clocks_look_at_rtc(struct clocks *clocks);

#endif
