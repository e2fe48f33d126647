/* Round trips: small messages that come back, one at a time. */
#ifndef CULVERT_CLI_BENCH_TRIPS_H
#define CULVERT_CLI_BENCH_TRIPS_H

#include <stddef.h>
#include <stdint.h>

#include "cli/bench_channel.h"

#define BENCH_TRIPS_MOST          65536
#define BENCH_TRIPS_MESSAGE_BYTES 64

struct bench_trips {
	size_t count;
	uint64_t p50_us;
	uint64_t p99_us;
};

/**
 * On @channel, which echoes.
 *
 * @until_us  of clock_now_us(); at most BENCH_TRIPS_MOST are made, at least one
 * @pause_us  between two
 */
int bench_trips_measure(struct bench_channel *channel, uint64_t until_us, unsigned pause_us,
	struct bench_trips *trips, struct error *err);

/** Sorts @durations_us */
struct bench_trips bench_trips_of(uint64_t *durations_us, size_t count);

#endif
