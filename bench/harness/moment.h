/* Time, by the nanosecond. */
#ifndef CULVERT_BENCH_MOMENT_H
#define CULVERT_BENCH_MOMENT_H

#include <errno.h>
#include <stdint.h>
#include <time.h>

#define SECOND_NS 1000000000ull

static inline uint64_t moment_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static inline void sleep_until(uint64_t due_ns)
{
	struct timespec due = {(time_t)(due_ns / SECOND_NS), (long)(due_ns % SECOND_NS)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

#endif
