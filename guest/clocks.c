#include "clocks.h"

#include <string.h>
#include <sys/io.h>
#include <time.h>

#define RTC_INDEX_PORT 0x70
#define RTC_DATA_PORT  0x71
#define DAY_US         (86400 * 1000000ll)

enum { RTC_SECONDS = 0, RTC_MINUTES = 2, RTC_HOURS = 4 };

static uint64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int rtc_read(unsigned char index)
{
	int bcd;

	outb(index, RTC_INDEX_PORT);
	bcd = inb(RTC_DATA_PORT);
	return (bcd >> 4) * 10 + (bcd & 15);
}

void clocks_init(struct clocks *clocks)
{
	memset(clocks, 0, sizeof(*clocks));
	clocks->rtc_usable = ioperm(RTC_INDEX_PORT, 2, 1) == 0;
	clocks->rtc_second = -1;
	clocks->started_us = clocks->last_us = monotonic_us();
}

uint64_t clocks_look(struct clocks *clocks, uint64_t slept_us)
{
	uint64_t now_us = monotonic_us();
	uint64_t gap_us = now_us - clocks->last_us;

	gap_us -= gap_us > slept_us ? slept_us : gap_us;
	if (gap_us > clocks->longest_gap_us)
		clocks->longest_gap_us = gap_us;
	clocks->last_us = now_us;
	return now_us - clocks->started_us;
}

/* The second has just begun: now the real-time clock is known more finely than it shows. */
static void second_began(struct clocks *clocks)
{
	int64_t of_day =
		clocks->rtc_second + 60 * rtc_read(RTC_MINUTES) + 3600 * rtc_read(RTC_HOURS);
	/* Our own clock second: a stall in between makes it look smaller, as one before does. */
	int64_t ahead_us = of_day * 1000000 - (int64_t)monotonic_us();
	int64_t stopped_us;

	if (!clocks->rtc_based) {
		clocks->rtc_base_us = ahead_us;
		clocks->rtc_based = true;
	}
	stopped_us = (ahead_us - clocks->rtc_base_us) % DAY_US;
	if (stopped_us < -DAY_US / 2)
		stopped_us += DAY_US;
	/* A change noticed late makes it look smaller, never larger. */
	if (stopped_us > clocks->stopped_us)
		clocks->stopped_us = stopped_us;
}

void clocks_look_at_rtc(struct clocks *clocks)
{
	int second;

	if (!clocks->rtc_usable)
		return;
	second = rtc_read(RTC_SECONDS);
	if (second == clocks->rtc_second)
		return;
	if (clocks->rtc_second >= 0) {
		clocks->rtc_second = second;
		second_began(clocks);
	}
	clocks->rtc_second = second;
}
