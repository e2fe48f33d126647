/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/libvirt_verdict.h"

enum { HOLDS = HOLD_UNKNOWN + 1 };

static void assert_verdict(enum libvirt_hold here, enum libvirt_hold there,
	enum libvirt_verdict first, enum libvirt_verdict settled)
{
	assert_int_equal(libvirt_verdict(here, there, false), first);
	assert_int_equal(libvirt_verdict(here, there, true), settled);
}

static void what_runs_on_the_source_is_there_whatever_the_other_says(void **state)
{
	(void)state;
	for (int there = 0; there < HOLDS; there++) {
		if (there != HOLD_RUNNING)
			assert_verdict(HOLD_RUNNING, (enum libvirt_hold)there, VERDICT_SOURCE,
				VERDICT_SOURCE);
		assert_verdict(
			HOLD_STOPPED, (enum libvirt_hold)there, VERDICT_SOURCE, VERDICT_SOURCE);
	}
}

static void what_runs_on_both_is_told(void **state)
{
	(void)state;
	assert_verdict(HOLD_RUNNING, HOLD_RUNNING, VERDICT_TWICE, VERDICT_TWICE);
}

static void what_has_left_and_arrived_is_there(void **state)
{
	(void)state;
	assert_verdict(HOLD_NONE, HOLD_RUNNING, VERDICT_DESTINATION, VERDICT_DESTINATION);
	assert_verdict(HOLD_NONE, HOLD_STOPPED, VERDICT_DESTINATION, VERDICT_DESTINATION);
}

static void half_a_guest_is_no_guest(void **state)
{
	(void)state;
	assert_verdict(HOLD_NONE, HOLD_ARRIVING, VERDICT_WAIT, VERDICT_LOST);
	assert_verdict(HOLD_NONE, HOLD_BROKEN, VERDICT_WAIT, VERDICT_LOST);
	assert_verdict(HOLD_LEAVING, HOLD_NONE, VERDICT_WAIT, VERDICT_LOST);
	assert_verdict(HOLD_BROKEN, HOLD_NONE, VERDICT_WAIT, VERDICT_LOST);
	assert_verdict(HOLD_NONE, HOLD_NONE, VERDICT_WAIT, VERDICT_ENDED);
}

static void what_precopy_has_paused_is_whole_on_the_source(void **state)
{
	(void)state;
	assert_verdict(HOLD_ARRIVING, HOLD_NONE, VERDICT_WAIT, VERDICT_SOURCE_PAUSED);
	assert_verdict(HOLD_ARRIVING, HOLD_ARRIVING, VERDICT_WAIT, VERDICT_WAIT);
	assert_verdict(HOLD_ARRIVING, HOLD_RUNNING, VERDICT_WAIT, VERDICT_DESTINATION);
}

static void an_interrupted_postcopy_goes_on(void **state)
{
	(void)state;
	assert_verdict(HOLD_BROKEN, HOLD_BROKEN, VERDICT_RESUME, VERDICT_RESUME);
	assert_verdict(HOLD_BROKEN, HOLD_RUNNING, VERDICT_RESUME, VERDICT_RESUME);
	assert_verdict(HOLD_LEAVING, HOLD_BROKEN, VERDICT_RESUME, VERDICT_RESUME);
	assert_verdict(HOLD_LEAVING, HOLD_RUNNING, VERDICT_WAIT, VERDICT_WAIT);
}

static void who_cannot_be_asked_is_waited_for(void **state)
{
	static const enum libvirt_hold gone[] = {
		HOLD_NONE, HOLD_ARRIVING, HOLD_LEAVING, HOLD_BROKEN, HOLD_UNKNOWN};

	(void)state;
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		assert_verdict(gone[i], HOLD_UNKNOWN, VERDICT_WAIT, VERDICT_WAIT);
	for (int there = 0; there < HOLDS; there++)
		assert_verdict(HOLD_UNKNOWN, (enum libvirt_hold)there, VERDICT_WAIT, VERDICT_WAIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_runs_on_the_source_is_there_whatever_the_other_says),
		cmocka_unit_test(what_runs_on_both_is_told),
		cmocka_unit_test(what_has_left_and_arrived_is_there),
		cmocka_unit_test(half_a_guest_is_no_guest),
		cmocka_unit_test(what_precopy_has_paused_is_whole_on_the_source),
		cmocka_unit_test(an_interrupted_postcopy_goes_on),
		cmocka_unit_test(who_cannot_be_asked_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
