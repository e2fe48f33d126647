/* Bulk in one direction over some channels, and round trips beside it. */
#ifndef CULVERT_CLI_BENCH_DIRECTION_H
#define CULVERT_CLI_BENCH_DIRECTION_H

#include "cli/bench_channel.h"
#include "cli/bench_trips.h"

#define BENCH_CHANNELS_MOST 16

struct bench_direction {
	uint64_t bytes; /* that arrived */
	uint64_t duration_us;
	uint64_t here_cpu_us;
	uint64_t there_cpu_us;
	struct bench_trips trips;
};

struct bench_bulk {
	enum bench_order order; /* BENCH_SINK: to the peer; BENCH_SOURCE: from it */
	struct bench_channel channels[BENCH_CHANNELS_MOST];
	unsigned channel_count;
	uint64_t time_us;
	struct bench_channel *echo;
	atomic_bool *leave; /* set when one channel fails, so that the others end */
};

/** Everything but the CPU times. The channels are used up */
int bench_direction_measure(
	struct bench_bulk *bulk, struct bench_direction *direction, struct error *err);

/** Bytes per second; 0 for no time */
double bench_direction_rate(const struct bench_direction *direction);

#endif
