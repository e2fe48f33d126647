/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>

#include "base/clock.h"

static void the_clock_never_runs_backwards(void **state)
{
	uint64_t first_ms = clock_now_ms();

	(void)state;
	assert_true(clock_now_ms() >= first_ms);
}

static void a_deadline_ahead_leaves_no_more_than_was_given(void **state)
{
	(void)state;
	assert_in_range(clock_left_ms(clock_deadline_ms(60000)), 50000, 60000);
}

static void a_deadline_that_has_passed_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(clock_left_ms(clock_now_ms() - 1), 0);
	assert_int_equal(clock_left_ms(clock_deadline_ms(0)), 0);
}

static void a_negative_time_limit_is_none_as_poll_has_it(void **state)
{
	(void)state;
	assert_true(clock_deadline_ms(-1) == CLOCK_NEVER);
	assert_int_equal(clock_left_ms(CLOCK_NEVER), -1);
}

static void a_deadline_beyond_what_poll_can_wait_is_cut(void **state)
{
	(void)state;
	assert_int_equal(clock_left_ms(CLOCK_NEVER - 1), INT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clock_never_runs_backwards),
		cmocka_unit_test(a_deadline_ahead_leaves_no_more_than_was_given),
		cmocka_unit_test(a_deadline_that_has_passed_leaves_nothing),
		cmocka_unit_test(a_negative_time_limit_is_none_as_poll_has_it),
		cmocka_unit_test(a_deadline_beyond_what_poll_can_wait_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
