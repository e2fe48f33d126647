/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/processor.h"

enum { SPELL_US = 100000 };

static void counts_while_the_thread_works_and_not_while_it_sleeps(void **state)
{
	struct processor processor;
	uint64_t begun_us;
	uint64_t slept_us;
	uint64_t worked_us;

	(void)state;
	processor_init(&processor);
	begun_us = processor_wanted_us(&processor);
	usleep(SPELL_US);
	slept_us = processor_wanted_us(&processor) - begun_us;
	begun_us += slept_us;
	for (uint64_t until_us = clock_now_us() + SPELL_US; clock_now_us() < until_us;)
		;
	worked_us = processor_wanted_us(&processor) - begun_us;
	/* The kernel brings its count up to date with its ticks. */
	assert_true(worked_us >= SPELL_US / 2);
	assert_true(slept_us < worked_us);
	processor_fini(&processor);
	assert_int_equal(processor.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_while_the_thread_works_and_not_while_it_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
