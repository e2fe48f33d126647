/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/phase.h"

static void every_phase_is_found_by_its_name(void **state)
{
	(void)state;
	for (int phase = PHASE_PREPARING; phase < PHASE_OTHER; phase++)
		assert_int_equal(phase_find(phase_name((enum migration_phase)phase)), phase);
}

static void every_place_of_the_guest_is_found_by_its_name(void **state)
{
	(void)state;
	for (int guest = GUEST_SOURCE; guest <= GUEST_NOWHERE; guest++)
		assert_int_equal(
			phase_find_guest(phase_guest_name((enum guest_place)guest)), guest);
}

static void a_phase_of_a_newer_daemon_is_another(void **state)
{
	(void)state;
	assert_int_equal(phase_find("recovering"), PHASE_OTHER);
	assert_int_equal(phase_find(""), PHASE_OTHER);
}

static void a_place_that_is_not_known_is_unknown(void **state)
{
	(void)state;
	assert_int_equal(phase_find_guest("moon"), GUEST_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_phase_is_found_by_its_name),
		cmocka_unit_test(every_place_of_the_guest_is_found_by_its_name),
		cmocka_unit_test(a_phase_of_a_newer_daemon_is_another),
		cmocka_unit_test(a_place_that_is_not_known_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
