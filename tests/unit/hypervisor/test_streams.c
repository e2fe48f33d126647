/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "hypervisor/streams.h"

static const struct streams plain;
static const struct streams preempt = {.preempt = true};
static const struct streams parallel = {.parallel_count = 2};
static const struct streams disks = {.disks = true};

static void only_what_makes_more_connections_needs_a_path(void **state)
{
	(void)state;
	assert_false(streams_need_path(&plain));
	assert_false(streams_need_path(&disks));
	assert_true(streams_need_path(&preempt));
	assert_true(streams_need_path(&parallel));
}

static void versions_are_numbers(void **state)
{
	(void)state;
	assert_int_equal(streams_version("7.2.22"), 7002022);
	assert_int_equal(streams_version("10.1"), 10001000);
	assert_int_equal(streams_version(""), 0);
	assert_int_equal(streams_version("seven"), 0);
}

static void parallel_streams_and_postcopy_need_a_qemu_that_survives_them(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(streams_check(&parallel, MODE_PRECOPY, 7002022, "hostb", &err), 0);
	assert_int_equal(streams_check(&parallel, MODE_HYBRID, 10001000, "hostb", &err), 0);
	assert_int_equal(streams_check(&disks, MODE_POSTCOPY, 7002022, "hostb", &err), 0);
	assert_int_equal(streams_check(&parallel, MODE_HYBRID, 10000099, "hostb", &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.message, "that of hostb is 10.0.99"));
}

static void preempt_is_for_postcopy_and_a_qemu_that_has_it(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(streams_check(&preempt, MODE_HYBRID, 7001000, "hostb", &err), 0);
	assert_int_equal(streams_check(&preempt, MODE_PRECOPY, 7002022, "hostb", &err), -1);
	assert_non_null(strstr(err.message, "--mode hybrid"));
	assert_int_equal(streams_check(&preempt, MODE_HYBRID, 7000099, "hostb", &err), -1);
	assert_non_null(strstr(err.message, "7.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_makes_more_connections_needs_a_path),
		cmocka_unit_test(versions_are_numbers),
		cmocka_unit_test(parallel_streams_and_postcopy_need_a_qemu_that_survives_them),
		cmocka_unit_test(preempt_is_for_postcopy_and_a_qemu_that_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
