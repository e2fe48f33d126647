/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "io/lines.h"

enum { LONGEST_BYTES = 64 };

struct fixture {
	struct lines *lines;
	int other;
	struct error err;
	json_t *value;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	fixture->lines = lines_new(ends[0], LONGEST_BYTES);
	fixture->other = ends[1];
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	json_decref(fixture->value);
	lines_free(fixture->lines);
	if (fixture->other >= 0)
		close(fixture->other);
	free(fixture);
	return 0;
}

static void other_sends(struct fixture *fixture, const char *text)
{
	assert_int_equal(
		send(fixture->other, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static int get(struct fixture *fixture, int timeout_ms)
{
	return lines_get(fixture->lines, timeout_ms, &fixture->value, &fixture->err);
}

static void other_closes(struct fixture *fixture)
{
	close(fixture->other);
	fixture->other = -1;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void a_line_that_comes_in_pieces_is_one_value(void **state)
{
	struct fixture *fixture = *state;

	other_sends(fixture, "{\"a\":");
	assert_int_equal(get(fixture, 0), 0);
	other_sends(fixture, " 1}\r");
	assert_int_equal(get(fixture, 0), 0);
	other_sends(fixture, "\n");
	assert_int_equal(get(fixture, 0), 1);
	assert_int_equal(json_integer_value(json_object_get(fixture->value, "a")), 1);
}

static void two_lines_in_one_piece_are_two_values(void **state)
{
	struct fixture *fixture = *state;

	other_sends(fixture, "1\n2\n");
	assert_false(lines_ready(fixture->lines));
	assert_int_equal(get(fixture, 0), 1);
	assert_int_equal(json_integer_value(fixture->value), 1);
	json_decref(fixture->value);
	assert_true(lines_ready(fixture->lines));
	assert_int_equal(get(fixture, 0), 1);
	assert_int_equal(json_integer_value(fixture->value), 2);
	assert_false(lines_ready(fixture->lines));
}

static void lines_before_the_end_are_still_delivered(void **state)
{
	struct fixture *fixture = *state;

	other_sends(fixture, "1\n");
	other_closes(fixture);
	assert_int_equal(get(fixture, -1), 1);
	assert_int_equal(get(fixture, -1), -1);
	assert_int_equal(fixture->err.code, ERROR_LINK);
}

static void an_end_within_a_line_is_a_lost_link(void **state)
{
	struct fixture *fixture = *state;

	other_sends(fixture, "{\"a\":");
	other_closes(fixture);
	assert_int_equal(get(fixture, -1), -1);
	assert_int_equal(fixture->err.code, ERROR_LINK);
}

static void the_longest_line_is_taken(void **state)
{
	struct fixture *fixture = *state;
	char line[LONGEST_BYTES + 2];

	snprintf(line, sizeof(line), "\"%0*d\"\n", LONGEST_BYTES - 2, 0);
	other_sends(fixture, line);
	assert_int_equal(get(fixture, 0), 1);
}

static void a_line_one_byte_longer_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char line[LONGEST_BYTES + 3];

	snprintf(line, sizeof(line), "\"%0*d\"\n", LONGEST_BYTES - 1, 0);
	other_sends(fixture, line);
	assert_int_equal(get(fixture, 0), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void garbage_is_refused(void **state)
{
	struct fixture *fixture = *state;

	other_sends(fixture, "GET / HTTP/1.1\r\n");
	assert_int_equal(get(fixture, 0), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void the_line_after_garbage_is_a_value(void **state)
{
	struct fixture *fixture = *state;

	other_sends(fixture, "{]\n3\n");
	assert_int_equal(get(fixture, 0), -1);
	assert_int_equal(get(fixture, 0), 1);
	assert_int_equal(json_integer_value(fixture->value), 3);
}

static void deep_nesting_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char line[8193];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	lines_free(fixture->lines);
	close(fixture->other);
	fixture->lines = lines_new(ends[0], 8192);
	fixture->other = ends[1];
	memset(line, '[', 4095);
	memset(line + 4095, ']', 4095);
	memcpy(line + 8190, "\n", 2);
	other_sends(fixture, line);
	assert_int_equal(get(fixture, 0), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void the_time_passes_when_nothing_comes(void **state)
{
	struct fixture *fixture = *state;
	int64_t began_ms = now_ms();

	assert_int_equal(get(fixture, 30), 0);
	assert_in_range((uintmax_t)(now_ms() - began_ms), 30, 1000);
}

static void no_signal(int number)
{
	(void)number;
}

static void a_signal_does_not_shorten_the_wait(void **state)
{
	struct fixture *fixture = *state;
	struct sigaction action = {.sa_handler = no_signal};
	struct itimerval alarm = {.it_value.tv_usec = 5000};
	int64_t began_ms = now_ms();

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &alarm, NULL);
	assert_int_equal(get(fixture, 40), 0);
	assert_in_range((uintmax_t)(now_ms() - began_ms), 40, 1000);
}

static void a_put_to_a_closed_socket_is_an_error_and_no_signal(void **state)
{
	struct fixture *fixture = *state;

	signal(SIGPIPE, SIG_DFL);
	other_closes(fixture);
	assert_int_equal(lines_put(fixture->lines, json_true(), -1, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_LINK);
}

static void a_value_that_could_not_be_made_is_out_of_memory(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(lines_put(fixture->lines, NULL, -1, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_LOCAL);
}

static void a_value_goes_out_as_one_line(void **state)
{
	struct fixture *fixture = *state;
	char text[64] = "";

	assert_int_equal(
		lines_put(fixture->lines, json_pack("{s:i}", "a", 1), -1, &fixture->err), 0);
	assert_int_equal(recv(fixture->other, text, sizeof(text) - 1, 0), 8);
	assert_string_equal(text, "{\"a\":1}\n");
}

static void a_descriptor_passes_along(void **state)
{
	struct fixture *fixture = *state;
	char control[CMSG_SPACE(sizeof(int))];
	char text[64];
	struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct stat sent;
	struct stat received;
	int null = open("/dev/null", O_RDONLY);
	int fd;

	assert_int_equal(lines_put(fixture->lines, json_true(), null, &fixture->err), 0);
	assert_int_equal(recvmsg(fixture->other, &message, 0), 5);
	assert_non_null(CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	assert_int_equal(fstat(null, &sent), 0);
	assert_int_equal(fstat(fd, &received), 0);
	assert_int_equal(sent.st_rdev, received.st_rdev);
	close(fd);
	close(null);
}

/* A line that brings the write end of a pipe */
static void pass_pipe(struct fixture *fixture, int *read_end)
{
	struct lines *other = lines_new(dup(fixture->other), LONGEST_BYTES);
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(lines_put(other, json_true(), ends[1], &fixture->err), 0);
	close(ends[1]);
	lines_free(other);
	*read_end = ends[0];
	assert_int_equal(lines_get(fixture->lines, 1000, &fixture->value, &fixture->err), 1);
	json_decref(fixture->value);
	fixture->value = NULL;
}

static bool at_end(int read_end)
{
	struct pollfd watched = {.fd = read_end};

	return poll(&watched, 1, 0) == 1 && (watched.revents & POLLHUP);
}

static void a_descriptor_that_nobody_asked_for_is_closed(void **state)
{
	struct fixture *fixture = *state;
	int read_end;

	pass_pipe(fixture, &read_end);
	assert_true(at_end(read_end));
	assert_int_equal(lines_take_descriptor(fixture->lines), -1);
	close(read_end);
}

static void a_descriptor_that_is_accepted_is_taken_once(void **state)
{
	struct fixture *fixture = *state;
	int read_end;
	int fd;

	lines_accept_descriptor(fixture->lines);
	pass_pipe(fixture, &read_end);
	fd = lines_take_descriptor(fixture->lines);
	assert_true(fd >= 0);
	assert_int_equal(lines_take_descriptor(fixture->lines), -1);
	assert_false(at_end(read_end));
	close(fd);
	assert_true(at_end(read_end));
	close(read_end);
}

static void of_two_descriptors_the_older_is_closed(void **state)
{
	struct fixture *fixture = *state;
	int older;
	int newer;

	lines_accept_descriptor(fixture->lines);
	pass_pipe(fixture, &older);
	pass_pipe(fixture, &newer);
	assert_true(at_end(older));
	assert_false(at_end(newer));
	close(lines_take_descriptor(fixture->lines));
	close(older);
	close(newer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_that_comes_in_pieces_is_one_value),
		TEST(two_lines_in_one_piece_are_two_values),
		TEST(lines_before_the_end_are_still_delivered),
		TEST(an_end_within_a_line_is_a_lost_link),
		TEST(the_longest_line_is_taken),
		TEST(a_line_one_byte_longer_is_refused),
		TEST(garbage_is_refused),
		TEST(the_line_after_garbage_is_a_value),
		TEST(deep_nesting_is_refused),
		TEST(the_time_passes_when_nothing_comes),
		TEST(a_signal_does_not_shorten_the_wait),
		TEST(a_put_to_a_closed_socket_is_an_error_and_no_signal),
		TEST(a_value_that_could_not_be_made_is_out_of_memory),
		TEST(a_value_goes_out_as_one_line),
		TEST(a_descriptor_passes_along),
		TEST(a_descriptor_that_nobody_asked_for_is_closed),
		TEST(a_descriptor_that_is_accepted_is_taken_once),
		TEST(of_two_descriptors_the_older_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
