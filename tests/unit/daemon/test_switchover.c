/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/switchover.h"

#define MIB (1024u * 1024)

static struct switchover begin(enum migration_mode mode, struct switch_policy policy)
{
	struct migration_plan plan = {.mode = mode, .policy = policy};
	struct switchover switchover;

	switchover_init(&switchover, &plan);
	return switchover;
}

static struct switchover begin_auto(void)
{
	return begin(MODE_HYBRID, (struct switch_policy){.when = SWITCH_AUTO});
}

/* 100 MiB/s, 300 ms of downtime: 30 MiB may remain */
static struct migration_figures figures_at_pass(uint64_t pass_count)
{
	return (struct migration_figures){
		.state = MIGRATION_PRECOPY,
		.pass_count = pass_count,
		.rate_bytes_per_s = 100 * MIB,
		.downtime_limit_ms = 300,
	};
}

static bool due_at_pass(struct switchover *switchover, uint64_t pass_count, uint64_t elapsed_ms)
{
	struct migration_figures figures = figures_at_pass(pass_count);

	return switchover_due(switchover, &figures, elapsed_ms);
}

static bool hopeless(uint64_t remaining_mib, uint64_t dirty_rate_mib, uint64_t rate_mib)
{
	struct switchover switchover = begin_auto();
	struct migration_figures figures = figures_at_pass(2);

	figures.ram_remaining_bytes = remaining_mib * MIB;
	figures.dirty_rate_bytes_per_s = dirty_rate_mib * MIB;
	figures.rate_bytes_per_s = rate_mib * MIB;
	return switchover_due(&switchover, &figures, 0);
}

static void precopy_never_switches(void **state)
{
	struct switchover switchover =
		begin(MODE_PRECOPY, (struct switch_policy){.when = SWITCH_AFTER});

	(void)state;
	assert_false(due_at_pass(&switchover, 100, 1000000));
}

static void postcopy_switches_at_once(void **state)
{
	struct switchover switchover = begin(MODE_POSTCOPY, (struct switch_policy){0});

	(void)state;
	assert_true(due_at_pass(&switchover, 1, 0));
}

static void nothing_switches_before_memory_moves(void **state)
{
	struct switchover switchover = begin(MODE_POSTCOPY, (struct switch_policy){0});
	struct migration_figures figures = figures_at_pass(1);

	(void)state;
	figures.state = MIGRATION_SETUP;
	assert_false(switchover_due(&switchover, &figures, 0));
}

static void nothing_switches_twice(void **state)
{
	struct switchover switchover = begin(MODE_POSTCOPY, (struct switch_policy){0});
	struct migration_figures figures = figures_at_pass(1);

	(void)state;
	figures.state = MIGRATION_POSTCOPY;
	assert_false(switchover_due(&switchover, &figures, 0));
}

static void pass_one_switches_after_the_first_full_pass(void **state)
{
	struct switchover switchover =
		begin(MODE_HYBRID, (struct switch_policy){.when = SWITCH_PASS, .pass_count = 1});

	(void)state;
	assert_false(due_at_pass(&switchover, 1, 0));
	assert_true(due_at_pass(&switchover, 2, 0));
}

static void pass_three_waits_for_three_passes(void **state)
{
	struct switchover switchover =
		begin(MODE_HYBRID, (struct switch_policy){.when = SWITCH_PASS, .pass_count = 3});

	(void)state;
	assert_false(due_at_pass(&switchover, 2, 0));
	assert_false(due_at_pass(&switchover, 3, 0));
	assert_true(due_at_pass(&switchover, 4, 0));
}

static void a_pass_that_nobody_saw_still_counts(void **state)
{
	struct switchover switchover =
		begin(MODE_HYBRID, (struct switch_policy){.when = SWITCH_PASS, .pass_count = 2});

	(void)state;
	assert_true(due_at_pass(&switchover, 7, 0));
}

static void after_waits_for_the_end_of_the_pass(void **state)
{
	struct switchover switchover =
		begin(MODE_HYBRID, (struct switch_policy){.when = SWITCH_AFTER, .after_ms = 1000});

	(void)state;
	assert_false(due_at_pass(&switchover, 2, 999));
	assert_false(due_at_pass(&switchover, 2, 5000));
	assert_true(due_at_pass(&switchover, 3, 5100));
}

static void after_does_not_cut_the_first_pass_short(void **state)
{
	struct switchover switchover =
		begin(MODE_HYBRID, (struct switch_policy){.when = SWITCH_AFTER, .after_ms = 1000});

	(void)state;
	assert_false(due_at_pass(&switchover, 1, 60000));
}

static void auto_switches_when_the_rest_is_dirtied_again_before_it_is_sent(void **state)
{
	(void)state;
	assert_true(hopeless(200, 90, 100));
}

static void auto_goes_on_while_passes_shrink_below_the_limit(void **state)
{
	(void)state;
	/* 200 MiB take 2 s, in which 20 MiB are dirtied: the pass after that fits. */
	assert_false(hopeless(200, 10, 100));
}

static void auto_leaves_the_end_to_precopy_when_the_rest_fits(void **state)
{
	(void)state;
	assert_false(hopeless(30, 1000, 100));
}

static void auto_switches_when_nothing_moves(void **state)
{
	(void)state;
	assert_true(hopeless(200, 0, 0));
}

static void auto_decides_at_the_end_of_a_pass_only(void **state)
{
	struct switchover switchover = begin_auto();
	struct migration_figures figures = figures_at_pass(2);

	(void)state;
	figures.ram_remaining_bytes = 10 * MIB;
	assert_false(switchover_due(&switchover, &figures, 0));
	figures.ram_remaining_bytes = 200 * MIB;
	figures.dirty_rate_bytes_per_s = 200 * MIB;
	assert_false(switchover_due(&switchover, &figures, 0));
	figures.pass_count = 3;
	assert_true(switchover_due(&switchover, &figures, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(precopy_never_switches),
		cmocka_unit_test(postcopy_switches_at_once),
		cmocka_unit_test(nothing_switches_before_memory_moves),
		cmocka_unit_test(nothing_switches_twice),
		cmocka_unit_test(pass_one_switches_after_the_first_full_pass),
		cmocka_unit_test(pass_three_waits_for_three_passes),
		cmocka_unit_test(a_pass_that_nobody_saw_still_counts),
		cmocka_unit_test(after_waits_for_the_end_of_the_pass),
		cmocka_unit_test(after_does_not_cut_the_first_pass_short),
		cmocka_unit_test(auto_switches_when_the_rest_is_dirtied_again_before_it_is_sent),
		cmocka_unit_test(auto_goes_on_while_passes_shrink_below_the_limit),
		cmocka_unit_test(auto_leaves_the_end_to_precopy_when_the_rest_fits),
		cmocka_unit_test(auto_switches_when_nothing_moves),
		cmocka_unit_test(auto_decides_at_the_end_of_a_pass_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
