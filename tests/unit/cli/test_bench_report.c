#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "cli/bench_report.h"

static const struct bench_report result = {
	.here = "hosta",
	.host = "hostb",
	.time_s = 3,
	.channel_count = 2,
	.opening_us = 2500,
	.opening_count = 6,
	.idle = {.count = 9, .p50_us = 120, .p99_us = 300},
	.to_host = {.bytes = 3ull << 30,
		.duration_us = 3000000,
		.here_cpu_us = 1200000,
		.there_cpu_us = 1500000,
		.trips = {.count = 7, .p50_us = 900, .p99_us = 4000}},
	.from_host = {.bytes = 1 << 20, .duration_us = 2000000},
};

static void a_table_has_a_row_for_each_direction(void **state)
{
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	(void)state;
	bench_report_print(file, &result);
	fclose(file);
	assert_string_equal(text,
		"            THROUGHPUT  ROUND TRIP P50  P99      CPU S/GIB hosta  CPU S/GIB "
		"hostb\n"
		"idle        -           120 us          300 us   -                -\n"
		"to hostb    1.0 GiB/s   900 us          4.00 ms  0.40             0.50\n"
		"from hostb  512 KiB/s   0 us            0 us     0.00             0.00\n"
		"opening a channel takes 2.50 ms (median of 6)\n"
		"Round trips are of 64 bytes, beside that load on a channel of their own; 1 "
		"divided by CPU s/GiB of the\nbusier culvertd is the GiB/s that one core of that "
		"host can carry.\n");
	free(text);
}

static void json_has_the_same_figures(void **state)
{
	json_t *report = bench_report_json(&result);
	const char *here = NULL, *host = NULL;
	json_int_t rate = 0, idle = 0, loaded = 0, opening = 0;
	double cost_here = 0, cost_there = 0;

	(void)state;
	assert_int_equal(
		json_unpack(report, "{s:s, s:s, s:{s:I}, s:{s:I}, s:{s:I, s:{s:I}, s:f, s:f}}",
			"here", &here, "host", &host, "opening", "p50_us", &opening, "round_trip",
			"p99_us", &idle, "to_host", "rate_bytes_per_s", &rate, "round_trip",
			"p99_us", &loaded, "cpu_s_per_gib_here", &cost_here, "cpu_s_per_gib_there",
			&cost_there),
		0);
	assert_string_equal(here, "hosta");
	assert_string_equal(host, "hostb");
	assert_int_equal(rate, 1 << 30);
	assert_int_equal(opening, 2500);
	assert_int_equal(idle, 300);
	assert_int_equal(loaded, 4000);
	assert_true(cost_here > 0.399 && cost_here < 0.401);
	assert_true(cost_there > 0.499 && cost_there < 0.501);
	json_decref(report);
}

static void a_direction_without_bytes_or_time_has_no_cost_and_no_rate(void **state)
{
	const struct bench_direction nothing = {0};

	(void)state;
	assert_true(bench_direction_rate(&nothing) == 0);
	assert_true(bench_report_cpu_s_per_gib(5, 0) == 0);
}

static void percentiles_are_round_trips_that_were_made(void **state)
{
	uint64_t durations_us[200];
	uint64_t one = 7;
	struct bench_trips trips;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		durations_us[i] = 200 - i;
	trips = bench_trips_of(durations_us, 200);
	assert_int_equal(trips.count, 200);
	assert_int_equal(trips.p50_us, 100);
	assert_int_equal(trips.p99_us, 198);
	trips = bench_trips_of(&one, 1);
	assert_int_equal(trips.p50_us, 7);
	assert_int_equal(trips.p99_us, 7);
	assert_int_equal(bench_trips_of(&one, 0).count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_has_a_row_for_each_direction),
		cmocka_unit_test(json_has_the_same_figures),
		cmocka_unit_test(a_direction_without_bytes_or_time_has_no_cost_and_no_rate),
		cmocka_unit_test(percentiles_are_round_trips_that_were_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
