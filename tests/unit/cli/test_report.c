#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/report.h"

static void the_first_snapshot_is_due(void **state)
{
	struct report report = {0};

	(void)state;
	assert_true(report_due(&report, &(struct snapshot){.phase = PHASE_PREPARING}, 0));
}

static void the_same_again_is_not_due(void **state)
{
	struct snapshot snapshot = {.phase = PHASE_PRECOPY, .pass = 1};
	struct report report = {0};

	(void)state;
	report_due(&report, &snapshot, 1000);
	assert_false(report_due(&report, &snapshot, 1000 + REPORT_INTERVAL_MS - 1));
}

static void another_pass_or_phase_is_due_at_once(void **state)
{
	struct snapshot snapshot = {.phase = PHASE_PRECOPY, .pass = 1};
	struct report report = {0};

	(void)state;
	report_due(&report, &snapshot, 1000);
	snapshot.pass = 2;
	assert_true(report_due(&report, &snapshot, 1001));
	snapshot.phase = PHASE_POSTCOPY;
	assert_true(report_due(&report, &snapshot, 1002));
}

static void silence_is_broken_after_the_interval(void **state)
{
	struct snapshot snapshot = {.phase = PHASE_PRECOPY, .pass = 1};
	struct report report = {0};

	(void)state;
	report_due(&report, &snapshot, 1000);
	assert_true(report_due(&report, &snapshot, 1000 + REPORT_INTERVAL_MS));
	assert_false(report_due(&report, &snapshot, 1001 + REPORT_INTERVAL_MS));
}

static void a_line_says_who_where_and_how_far(void **state)
{
	struct snapshot snapshot = {
		.vm = "web1",
		.host = "hostb",
		.phase = PHASE_PRECOPY,
		.pass = 2,
		.ram_total_bytes = 512ull << 20,
		.ram_remaining_bytes = 128ull << 20,
		.rate_bytes_per_s = 900ull << 20,
		.dirty_rate_bytes_per_s = 210ull << 20,
		.elapsed_ms = 3200,
	};
	char line[REPORT_LINE_BYTES];

	(void)state;
	report_compose(&snapshot, line);
	assert_string_equal(line,
		"0:03  web1 to hostb: pre-copy, pass 2: 75%, 128 MiB left, 900 "
		"MiB/s, dirty 210 MiB/s");
	snapshot.phase = PHASE_POSTCOPY;
	snapshot.page_requests = 143;
	snapshot.downtime_ms = 23;
	report_compose(&snapshot, line);
	assert_string_equal(line,
		"0:03  web1 to hostb: post-copy: 75%, 128 MiB left, 900 MiB/s, "
		"143 page requests, downtime 23 ms");
}

static void lost_links_are_told_with_their_cost(void **state)
{
	struct snapshot snapshot = {
		.vm = "web1",
		.host = "hostb",
		.phase = PHASE_POSTCOPY,
		.ram_total_bytes = 512ull << 20,
		.ram_remaining_bytes = 128ull << 20,
		.links_lost = 2,
		.linkless_total_ms = 4210,
		.replayed_bytes = 3 << 20,
	};
	char line[REPORT_LINE_BYTES];

	(void)state;
	report_compose(&snapshot, line);
	assert_string_equal(line,
		"0:00  web1 to hostb: post-copy: 75%, 128 MiB left, links lost 2 (4.21 s, 3.0 MiB "
		"sent again)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_snapshot_is_due),
		cmocka_unit_test(the_same_again_is_not_due),
		cmocka_unit_test(another_pass_or_phase_is_due_at_once),
		cmocka_unit_test(silence_is_broken_after_the_interval),
		cmocka_unit_test(a_line_says_who_where_and_how_far),
		cmocka_unit_test(lost_links_are_told_with_their_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
