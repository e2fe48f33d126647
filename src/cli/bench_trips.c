#include "cli/bench_trips.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"

static int by_size(const void *a, const void *b)
{
	uint64_t first = *(const uint64_t *)a;
	uint64_t second = *(const uint64_t *)b;

	return (first > second) - (first < second);
}

/* The smallest that @percent of them do not exceed */
static uint64_t percentile(const uint64_t *sorted, size_t count, unsigned percent)
{
	return sorted[(count * percent + 99) / 100 - 1];
}

struct bench_trips bench_trips_of(uint64_t *durations_us, size_t count)
{
	if (count == 0)
		return (struct bench_trips){0};
	qsort(durations_us, count, sizeof(*durations_us), by_size);
	return (struct bench_trips){
		.count = count,
		.p50_us = percentile(durations_us, count, 50),
		.p99_us = percentile(durations_us, count, 99),
	};
}

static int travel(struct bench_channel *channel, uint64_t number, struct error *err)
{
	unsigned char sent[BENCH_TRIPS_MESSAGE_BYTES] = {0};
	unsigned char back[BENCH_TRIPS_MESSAGE_BYTES];
	size_t have = 0;

	memcpy(sent, &number, sizeof(number));
	if (waiter_write(&channel->waiter, sent, sizeof(sent), err) != IO_OK)
		return -1;
	while (have < sizeof(back)) {
		size_t got;

		switch (waiter_read(
			&channel->waiter, back + have, sizeof(back) - have, &got, err)) {
		case IO_OK:
			have += got;
			break;
		case IO_EOF:
			return error_set(err, ERROR_LINK, "the channel ended in a round trip");
		case IO_AGAIN:
		case IO_FAILED:
			return -1;
		}
	}
	if (memcmp(sent, back, sizeof(sent)) != 0)
		return error_set(err, ERROR_PEER, "a message came back changed");
	return 0;
}

int bench_trips_measure(struct bench_channel *channel, uint64_t until_us, unsigned pause_us,
	struct bench_trips *trips, struct error *err)
{
	CLEANUP_FREE uint64_t *durations_us = calloc(BENCH_TRIPS_MOST, sizeof(*durations_us));
	size_t count = 0;

	if (!durations_us)
		return error_set(err, ERROR_LOCAL, "no memory");
	do {
		uint64_t begun_us = clock_now_us();

		if (travel(channel, count, err) < 0)
			return -1;
		durations_us[count++] = clock_now_us() - begun_us;
		if (pause_us > 0)
			usleep(pause_us);
	} while (count < BENCH_TRIPS_MOST && clock_now_us() < until_us);
	*trips = bench_trips_of(durations_us, count);
	return 0;
}
