#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/exit_code.h"

static void every_class_has_the_documented_exit_code(void **state)
{
	(void)state;
	assert_int_equal(exit_code(ERROR_NONE), 1);
	assert_int_equal(exit_code(ERROR_USAGE), 2);
	assert_int_equal(exit_code(ERROR_LOCAL), 3);
	assert_int_equal(exit_code(ERROR_LINK), 4);
	assert_int_equal(exit_code(ERROR_PEER), 5);
	assert_int_equal(exit_code(ERROR_IDENTITY), 6);
	assert_int_equal(exit_code(ERROR_HYPERVISOR), 7);
	assert_int_equal(exit_code(ERROR_CANCELLED), 8);
	assert_int_equal(exit_code(ERROR_GUEST), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_class_has_the_documented_exit_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
