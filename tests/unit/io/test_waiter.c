#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/socket.h"
#include "io/waiter.h"

struct ends {
	struct waiter waiter;
	int far; /* non-blocking, too */
	atomic_bool leave;
};

static int set_up(void **state)
{
	struct ends *ends = calloc(1, sizeof(*ends));
	struct error err;
	int pair[2];

	assert_int_equal(socket_pair(pair, &err), 0);
	ends->waiter = (struct waiter){
		.fd = pair[0], .silence_ms = 20000, .until_ms = CLOCK_NEVER, .leave = &ends->leave};
	ends->far = pair[1];
	*state = ends;
	return 0;
}

static int tear_down(void **state)
{
	struct ends *ends = *state;

	close(ends->waiter.fd);
	close(ends->far);
	free(ends);
	return 0;
}

static void a_line_is_read_and_no_byte_after_it(void **state)
{
	struct ends *ends = *state;
	char line[8];
	size_t got;
	struct error err;

	assert_int_equal(write(ends->far, "sink\nrest", 9), 9);
	assert_int_equal(waiter_read_line(&ends->waiter, line, sizeof(line), &err), IO_OK);
	assert_string_equal(line, "sink");
	assert_int_equal(waiter_read(&ends->waiter, line, sizeof(line), &got, &err), IO_OK);
	assert_int_equal(got, 4);
	assert_memory_equal(line, "rest", 4);
}

static void the_end_before_a_line_is_an_end(void **state)
{
	struct ends *ends = *state;
	char line[8];
	struct error err;

	assert_int_equal(shutdown(ends->far, SHUT_WR), 0);
	assert_int_equal(waiter_read_line(&ends->waiter, line, sizeof(line), &err), IO_EOF);
}

static void refuse_line(struct ends *ends, const char *said)
{
	char line[8];
	struct error err;

	assert_int_equal(write(ends->far, said, strlen(said)), strlen(said));
	assert_int_equal(shutdown(ends->far, SHUT_WR), 0);
	assert_int_equal(waiter_read_line(&ends->waiter, line, sizeof(line), &err), IO_FAILED);
	assert_int_equal(err.code, ERROR_PEER);
}

static void a_line_that_is_cut_off_is_refused(void **state)
{
	refuse_line(*state, "sin");
}

static void a_line_that_is_too_long_is_refused(void **state)
{
	refuse_line(*state, "12345678\n");
}

static void silence_ends_a_read(void **state)
{
	struct ends *ends = *state;
	uint64_t begun_ms = clock_now_ms();
	char byte;
	size_t got;
	struct error err;

	ends->waiter.silence_ms = 100;
	assert_int_equal(waiter_read(&ends->waiter, &byte, 1, &got, &err), IO_FAILED);
	assert_int_equal(err.code, ERROR_LINK);
	assert_true(clock_now_ms() - begun_ms >= 100);
}

static void a_reader_that_takes_nothing_ends_a_write(void **state)
{
	struct ends *ends = *state;
	static const char much[1 << 22];
	struct error err;

	ends->waiter.silence_ms = 100;
	assert_int_equal(waiter_write(&ends->waiter, much, sizeof(much), &err), IO_FAILED);
	assert_int_equal(err.code, ERROR_LINK);
}

static void a_reader_that_is_gone_ends_a_write(void **state)
{
	struct ends *ends = *state;
	struct error err;

	close(ends->far);
	ends->far = -1;
	assert_int_equal(waiter_write(&ends->waiter, "x", 1, &err), IO_FAILED);
	assert_int_equal(err.code, ERROR_LINK);
}

static void bytes_that_never_stop_do_not_outlast_the_time(void **state)
{
	struct ends *ends = *state;
	char byte;
	size_t got;
	struct error err;

	ends->waiter.until_ms = clock_now_ms();
	assert_int_equal(write(ends->far, "x", 1), 1);
	assert_int_equal(waiter_read(&ends->waiter, &byte, 1, &got, &err), IO_FAILED);
	assert_int_equal(err.code, ERROR_LINK);
}

static void *leave_soon(void *argument)
{
	usleep(50000);
	atomic_store((atomic_bool *)argument, true);
	return NULL;
}

static void who_is_told_to_leave_waits_no_longer(void **state)
{
	struct ends *ends = *state;
	pthread_t thread;
	char byte;
	size_t got;
	struct error err;

	assert_int_equal(pthread_create(&thread, NULL, leave_soon, &ends->leave), 0);
	assert_int_equal(waiter_read(&ends->waiter, &byte, 1, &got, &err), IO_FAILED);
	assert_int_equal(err.code, ERROR_CANCELLED);
	pthread_join(thread, NULL);
}

static void an_end_is_seen_once_all_was_read(void **state)
{
	struct ends *ends = *state;
	char byte;
	size_t got;
	struct error err;

	assert_false(waiter_ended(&ends->waiter));
	assert_int_equal(write(ends->far, "x", 1), 1);
	assert_int_equal(shutdown(ends->far, SHUT_WR), 0);
	assert_false(waiter_ended(&ends->waiter));
	assert_int_equal(waiter_read(&ends->waiter, &byte, 1, &got, &err), IO_OK);
	assert_true(waiter_ended(&ends->waiter));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_is_read_and_no_byte_after_it),
		TEST(the_end_before_a_line_is_an_end),
		TEST(a_line_that_is_cut_off_is_refused),
		TEST(a_line_that_is_too_long_is_refused),
		TEST(silence_ends_a_read),
		TEST(a_reader_that_takes_nothing_ends_a_write),
		TEST(a_reader_that_is_gone_ends_a_write),
		TEST(bytes_that_never_stop_do_not_outlast_the_time),
		TEST(who_is_told_to_leave_waits_no_longer),
		TEST(an_end_is_seen_once_all_was_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
