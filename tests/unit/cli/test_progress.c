#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cli/format.h"
#include "cli/progress.h"

static const struct snapshot precopy = {
	.vm = "web1",
	.host = "hostb",
	.phase = PHASE_PRECOPY,
	.pass = 2,
	.ram_total_bytes = 512ull << 20,
	.ram_remaining_bytes = 128ull << 20,
	.rate_bytes_per_s = 900ull << 20,
	.dirty_rate_bytes_per_s = 210ull << 20,
	.expected_downtime_ms = 140,
	.elapsed_ms = 3200,
};

static const struct snapshot postcopy = {
	.vm = "web1",
	.host = "hostb",
	.phase = PHASE_POSTCOPY,
	.pass = 2,
	.ram_total_bytes = 512ull << 20,
	.ram_remaining_bytes = 64ull << 20,
	.rate_bytes_per_s = 900ull << 20,
	.page_requests = 143,
	.downtime_ms = 23,
	.elapsed_ms = 4200,
};

static void a_wide_line_shows_everything(void **state)
{
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	progress_compose(&precopy, 200, line);
	assert_string_equal(line,
		"web1 -> hostb  pre-copy, pass 2  [=====================>        ]   75%   "
		"900 MiB/s   128 MiB left  dirty  210 MiB/s  downtime ~140 ms  0:03");
	progress_compose(&postcopy, 200, line);
	assert_string_equal(line,
		"web1 -> hostb  post-copy  [=========================>    ]   87%   900 MiB/s"
		"  64.0 MiB left  143 requests  downtime 23 ms  0:04");
}

static void eighty_columns_keep_what_matters_most(void **state)
{
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	progress_compose(&precopy, 80, line);
	assert_non_null(strstr(line, "pre-copy, pass 2  ["));
	assert_non_null(strstr(line, "75%"));
	assert_non_null(strstr(line, "900 MiB/s"));
	assert_non_null(strstr(line, "128 MiB left"));
	assert_null(strstr(line, "dirty"));
}

static void no_width_is_ever_filled(void **state)
{
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	for (unsigned width = 0; width <= 300; width++) {
		progress_compose(&precopy, width, line);
		assert_true(format_columns(line) < width || *line == '\0');
		progress_compose(&postcopy, width, line);
		assert_true(format_columns(line) < width || *line == '\0');
	}
}

static void a_narrow_line_still_names_the_phase(void **state)
{
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	progress_compose(&postcopy, 12, line);
	assert_string_equal(line, "post-copy");
}

static void the_bar_is_empty_at_0_and_full_at_100(void **state)
{
	struct snapshot snapshot = postcopy;
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	snapshot.ram_remaining_bytes = snapshot.ram_total_bytes;
	progress_compose(&snapshot, 200, line);
	assert_non_null(strstr(line, "[                              ]    0%"));
	snapshot.ram_remaining_bytes = 0;
	progress_compose(&snapshot, 200, line);
	assert_non_null(strstr(line, "[==============================]  100%"));
}

static void there_is_no_bar_before_memory_is_known(void **state)
{
	struct snapshot snapshot = {.vm = "web1",
		.host = "hostb",
		.phase = PHASE_PREPARING,
		.phase_name = "preparing",
		.elapsed_ms = 900};
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	progress_compose(&snapshot, 80, line);
	assert_string_equal(line, "web1 -> hostb  preparing  0:00");
}

static void an_incoming_migration_points_here(void **state)
{
	struct snapshot snapshot = {
		.vm = "web1", .host = "hosta", .incoming = true, .phase = PHASE_POSTCOPY};
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	progress_compose(&snapshot, 80, line);
	assert_string_equal(line, "web1 <- hosta  post-copy  0:00");
}

static void lost_links_are_shown_with_their_cost(void **state)
{
	struct snapshot snapshot = postcopy;
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	snapshot.links_lost = 2;
	snapshot.linkless_total_ms = 4210;
	snapshot.replayed_bytes = 3 << 20;
	progress_compose(&snapshot, 200, line);
	assert_non_null(strstr(line, "downtime 23 ms  links lost 2 (4.21 s, 3.0 MiB again)  0:04"));
}

static void the_longest_names_fit_into_the_widest_terminal(void **state)
{
	struct snapshot snapshot = precopy;
	char line[PROGRESS_LINE_BYTES];

	(void)state;
	memset(snapshot.vm, 'v', sizeof(snapshot.vm) - 1);
	for (size_t i = 0; i + 2 < sizeof(snapshot.host); i += 2)
		memcpy(snapshot.host + i, "\xc3\xa9", 2);
	progress_compose(&snapshot, 65535, line);
	assert_true(strlen(line) < sizeof(line));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wide_line_shows_everything),
		cmocka_unit_test(eighty_columns_keep_what_matters_most),
		cmocka_unit_test(no_width_is_ever_filled),
		cmocka_unit_test(a_narrow_line_still_names_the_phase),
		cmocka_unit_test(the_bar_is_empty_at_0_and_full_at_100),
		cmocka_unit_test(there_is_no_bar_before_memory_is_known),
		cmocka_unit_test(an_incoming_migration_points_here),
		cmocka_unit_test(lost_links_are_shown_with_their_cost),
		cmocka_unit_test(the_longest_names_fit_into_the_widest_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
