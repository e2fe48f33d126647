/* Steady time, and deadlines on them for calls that wait.
 *
 * Not for wire/ and tunnel/, which are told the time.
 */
#ifndef CULVERT_BASE_CLOCK_H
#define CULVERT_BASE_CLOCK_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

/* The deadline of a call that may wait for ever */
#define CLOCK_NEVER UINT64_MAX

/** Since some moment in the past, the same for all threads. libuv's loops count the same */
static inline uint64_t clock_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/** The same in microseconds */
static inline uint64_t clock_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/** @timeout_ms  from now; negative: CLOCK_NEVER */
static inline uint64_t clock_deadline_ms(int timeout_ms)
{
	return timeout_ms < 0 ? CLOCK_NEVER : clock_now_ms() + (uint64_t)timeout_ms;
}

/** What is left, as poll() takes it: 0 once @deadline_ms has passed, -1 for CLOCK_NEVER */
static inline int clock_left_ms(uint64_t deadline_ms)
{
	uint64_t now_ms = clock_now_ms();

	if (deadline_ms == CLOCK_NEVER)
		return -1;
	if (now_ms >= deadline_ms)
		return 0;
	return deadline_ms - now_ms < INT_MAX ? (int)(deadline_ms - now_ms) : INT_MAX;
}

#endif
