/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/conversation.h"

/* Instead of the C library's: the calendar is an hour behind what the kernel waits by. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec -= 3600;
	return result;
}

static void talk_for_a_moment(void *argument)
{
	(void)argument;
	usleep(200000);
}

static void conversations_are_waited_for_though_the_calendar_is_set(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(conversation_start(talk_for_a_moment, NULL, &err), 0);
	assert_true(conversations_wait(20000));
}

static void a_conversation_that_does_not_end_is_told_in_time(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(conversation_start(talk_for_a_moment, NULL, &err), 0);
	assert_false(conversations_wait(10));
	assert_true(conversations_wait(20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations_are_waited_for_though_the_calendar_is_set),
		cmocka_unit_test(a_conversation_that_does_not_end_is_told_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
