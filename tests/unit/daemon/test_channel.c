/* Channels between two workers over TCP and TLS: channel.c and link.c at work. */

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "line.h"

static struct hosts hosts;
static struct line line;

static int set_up(void **state)
{
	(void)state;
	hosts_start(&hosts);
	line_lay(&line, &hosts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	line_take_away(&line);
	hosts_stop(&hosts);
	return 0;
}

static void bytes_pass_both_ways(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	assert_passes(line.there, line.here, "request");
}

static void an_end_passes_and_leaves_the_other_direction_open(void **state)
{
	(void)state;
	assert_int_equal(shutdown(line.here, SHUT_WR), 0);
	assert_end(line.there);
	assert_passes(line.there, line.here, "still here");
}

static void a_channel_whose_both_ends_passed_has_finished(void **state)
{
	(void)state;
	assert_int_equal(shutdown(line.here, SHUT_WR), 0);
	assert_end(line.there);
	assert_int_equal(shutdown(line.there, SHUT_WR), 0);
	assert_end(line.here);
	assert_ended(&line, ERROR_NONE, "");
	assert_closed(line.there);
}

static void long_messages_pass_both_ways_at_once(void **state)
{
	struct transfer out[2];
	struct transfer in[2];

	(void)state;
	transfer_start(&out[0], transfer_send, line.here, 12 * MIB, 1);
	transfer_start(&in[0], transfer_receive, line.there, 12 * MIB, 1);
	transfer_start(&out[1], transfer_send, line.there, 12 * MIB, 77);
	transfer_start(&in[1], transfer_receive, line.here, 12 * MIB, 77);
	for (int i = 0; i < 2; i++) {
		transfer_assert_done(&out[i]);
		transfer_assert_done(&in[i]);
	}
}

static void several_channels_of_one_worker_do_not_mix(void **state)
{
	struct line lines[4];
	struct transfer out[4];
	struct transfer in[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		line_lay(&lines[i], &hosts);
		transfer_start(&out[i], transfer_send, lines[i].here, 2 * MIB, i * 1000);
		transfer_start(&in[i], transfer_receive, lines[i].there, 2 * MIB, i * 1000);
	}
	for (int i = 0; i < 4; i++) {
		transfer_assert_done(&out[i]);
		transfer_assert_done(&in[i]);
		line_take_away(&lines[i]);
	}
}

/* Each channel has its floor and no more. */
static int set_up_poor(void **state)
{
	(void)state;
	hosts_start(&hosts);
	hosts.a.daemon.budget.total = 0;
	hosts.b.daemon.budget.total = 0;
	line_lay(&line, &hosts);
	return 0;
}

static void channels_without_any_memory_to_share_all_go_on(void **state)
{
	struct line lines[4];
	struct exchange exchanges[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		line_lay(&lines[i], &hosts);
		exchange_start(&exchanges[i], &lines[i], 4 * MIB);
	}
	for (int i = 0; i < 4; i++) {
		exchange_assert_done(&exchanges[i]);
		line_take_away(&lines[i]);
	}
}

/* Read until the window is so large that the sender keeps more than is its own. */
static void read_until_borrowed(struct budget *budget)
{
	static char much[65536];

	while (atomic_load(&budget->lent) == 0)
		(void)recv(line.there, much, sizeof(much), MSG_DONTWAIT);
}

static void memory_comes_back_when_channels_have_ended(void **state)
{
	struct budget *budget = &hosts.a.daemon.budget;
	struct transfer out;

	(void)state;
	/* More than the other host's window, so that some of it is never acknowledged */
	transfer_start(&out, transfer_send, line.here, 64 * MIB, 1);
	read_until_borrowed(budget);
	line_hang_up(&line.there);
	pthread_join(out.thread, NULL);
	assert_ended(&line, ERROR_PEER, "the local program is gone");
	for (int waited_ms = 0; atomic_load(&budget->sharers) > 0; waited_ms++) {
		assert_true(waited_ms < HOSTS_DEADLINE_MS);
		pause_ms(1);
	}
	assert_int_equal(atomic_load(&budget->lent), 0);
}

static void a_program_that_does_not_read_leaves_the_other_direction_alone(void **state)
{
	struct transfer out;
	struct transfer in;
	struct transfer back_out;
	struct transfer back_in;

	(void)state;
	transfer_start(&out, transfer_send, line.here, 8 * MIB, 1);
	transfer_start(&back_out, transfer_send, line.there, 8 * MIB, 2);
	transfer_start(&back_in, transfer_receive, line.here, 8 * MIB, 2);
	transfer_assert_done(&back_out);
	transfer_assert_done(&back_in);
	transfer_start(&in, transfer_receive, line.there, 8 * MIB, 1);
	transfer_assert_done(&out);
	transfer_assert_done(&in);
}

static void a_program_that_does_not_read_leaves_other_channels_alone(void **state)
{
	struct line other;
	struct transfer out;
	struct transfer in;

	(void)state;
	line_lay(&other, &hosts);
	transfer_start(&out, transfer_send, line.here, 8 * MIB, 1);
	assert_passes(other.here, other.there, "page");
	assert_passes(other.there, other.here, "request");
	transfer_start(&in, transfer_receive, line.there, 8 * MIB, 1);
	transfer_assert_done(&out);
	transfer_assert_done(&in);
	line_take_away(&other);
}

static void what_waits_for_a_program_is_bounded(void **state)
{
	static char bytes[65536];
	struct pollfd room = {.fd = line.here, .events = POLLOUT};
	size_t taken_bytes = 0;

	(void)state;
	/* Nobody tells when no more is taken: half a second without any will do. */
	while (poll(&room, 1, 500) == 1) {
		ssize_t sent = send(line.here, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent > 0)
			taken_bytes += (size_t)sent;
	}
	/* ... and what the kernel keeps in the local sockets */
	assert_in_range(taken_bytes, WINDOW_BYTES, WINDOW_BYTES + MIB);
}

static void what_was_delivered_is_counted(void **state)
{
	struct channel_progress progress;

	(void)state;
	assert_passes(line.here, line.there, "page");
	assert_passes(line.there, line.here, "a request");
	assert_int_equal(shutdown(line.here, SHUT_WR), 0);
	assert_int_equal(shutdown(line.there, SHUT_WR), 0);
	wait_until_ended(&line, &progress);
	/* The end of a stream takes one position (docs/PROTOCOL.md, "Streams"). */
	assert_int_equal(progress.to_peer_bytes, strlen("page") + 1);
	assert_int_equal(progress.to_local_bytes, strlen("a request") + 1);
}

/* Write until it fails. @returns the error */
static int write_until_refused(int fd)
{
	static char bytes[65536];

	while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
	return errno;
}

static void a_program_that_is_gone_is_told_to_the_opener_at_once(void **state)
{
	int code;

	(void)state;
	line_hang_up(&line.there);
	code = write_until_refused(line.here);
	assert_true(code == EPIPE || code == ECONNRESET);
	assert_ended(&line, ERROR_PEER, "the local program is gone");
}

static void a_program_that_is_gone_is_told_to_the_acceptor_at_once(void **state)
{
	int code;

	(void)state;
	line_hang_up(&line.here);
	code = write_until_refused(line.there);
	assert_true(code == EPIPE || code == ECONNRESET);
}

static void a_program_that_ended_with_bytes_unread_is_told_at_once(void **state)
{
	struct transfer out;

	(void)state;
	transfer_start(&out, transfer_send, line.here, 8 * MIB, 1);
	assert_int_equal(recv(line.there, &(char){0}, 1, 0), 1);
	line_hang_up(&line.there);
	pthread_join(out.thread, NULL);
	assert_true(out.done < out.length);
	assert_closed(line.here);
}

static void a_program_that_only_writes_learns_of_a_reset(void **state)
{
	struct transfer out;
	struct transfer back_out;

	(void)state;
	/* Far more than is read waits for it here when the RESET comes. */
	transfer_start(&back_out, transfer_send, line.there, MIB / 4, 2);
	transfer_assert_done(&back_out);
	transfer_start(&out, transfer_send, line.here, 64 * MIB, 1);
	line_hang_up(&line.there);
	pthread_join(out.thread, NULL);
	assert_true(out.done < out.length);
	assert_ended(&line, ERROR_PEER, "the local program is gone");
}

static void what_a_program_wrote_before_it_ended_still_arrives(void **state)
{
	struct transfer out;
	struct transfer in;

	(void)state;
	transfer_start(&in, transfer_receive, line.here, 4 * MIB, 5);
	transfer_start(&out, transfer_send, line.there, 4 * MIB, 5);
	transfer_assert_done(&out);
	line_hang_up(&line.there);
	transfer_assert_done(&in);
	assert_end(line.here);
}

static void a_reset_connection_ends_both_sides(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	hosts_cut(&hosts);
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(&line, ERROR_LINK, "connection lost");
}

static void a_connection_reset_in_full_flow_ends_both_sides(void **state)
{
	struct transfer out;
	struct transfer back_out;
	struct transfer in;

	(void)state;
	transfer_start(&out, transfer_send, line.here, 64 * MIB, 1);
	transfer_start(&back_out, transfer_send, line.there, 64 * MIB, 2);
	transfer_start(&in, transfer_receive, line.there, MIB, 1);
	transfer_assert_done(&in);
	hosts_cut(&hosts);
	pthread_join(out.thread, NULL);
	pthread_join(back_out.thread, NULL);
	assert_true(out.done < out.length);
	assert_true(back_out.done < back_out.length);
	assert_ended(&line, ERROR_LINK, "connection lost");
}

static void an_end_by_the_driver_ends_both_sides(void **state)
{
	(void)state;
	channel_end(line.channel);
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(&line, ERROR_CANCELLED, "ended by the migration");
}

static void an_end_may_be_asked_for_twice(void **state)
{
	(void)state;
	channel_end(line.channel);
	channel_end(line.channel);
	assert_closed(line.there);
	assert_ended(&line, ERROR_CANCELLED, "ended by the migration");
}

static void an_end_may_be_asked_for_when_its_worker_is_gone(void **state)
{
	(void)state;
	host_stop_worker(&hosts.a);
	channel_end(line.channel);
	assert_ended(&line, ERROR_CANCELLED, "culvertd is stopping");
}

static void an_acceptor_that_stops_is_told_as_such(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	host_stop_worker(&hosts.b);
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(&line, ERROR_LINK, "that host's culvertd is stopping");
}

static void an_opener_that_stops_closes_the_other_side(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	host_stop_worker(&hosts.a);
	assert_closed(line.there);
	assert_ended(&line, ERROR_CANCELLED, "culvertd is stopping");
}

static void a_worker_stops_in_full_flow(void **state)
{
	struct transfer out;
	struct transfer back_out;
	struct transfer in;

	(void)state;
	transfer_start(&out, transfer_send, line.here, 64 * MIB, 1);
	transfer_start(&back_out, transfer_send, line.there, 64 * MIB, 2);
	transfer_start(&in, transfer_receive, line.there, MIB, 1);
	transfer_assert_done(&in);
	hosts_forget_connection(&hosts);
	host_stop_worker(&hosts.b);
	pthread_join(out.thread, NULL);
	pthread_join(back_out.thread, NULL);
	assert_true(out.done < out.length);
	assert_true(back_out.done < back_out.length);
	assert_ended(&line, ERROR_LINK, "");
}

static double cpu_seconds(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* @returns the processor time of half a second in which nothing happens */
static double cpu_seconds_of_waiting(void)
{
	struct timespec pause = {.tv_nsec = 500000000};
	double before = cpu_seconds();

	nanosleep(&pause, NULL);
	return cpu_seconds() - before;
}

static void an_idle_channel_keeps_no_processor_busy(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	assert_true(cpu_seconds_of_waiting() < 0.1);
}

static void a_half_closed_channel_keeps_no_processor_busy(void **state)
{
	(void)state;
	assert_int_equal(shutdown(line.here, SHUT_WR), 0);
	assert_end(line.there);
	assert_true(cpu_seconds_of_waiting() < 0.1);
}

static void a_program_gone_while_nothing_comes_keeps_no_processor_busy(void **state)
{
	(void)state;
	line_hang_up(&line.there);
	assert_end(line.here);
	assert_true(cpu_seconds_of_waiting() < 0.1);
}

static void a_program_that_does_not_read_keeps_no_processor_busy(void **state)
{
	static char bytes[65536];
	struct pollfd room = {.fd = line.here, .events = POLLOUT};

	(void)state;
	while (poll(&room, 1, 300) == 1)
		(void)send(line.here, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
	assert_true(cpu_seconds_of_waiting() < 0.1);
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_POOR(name) cmocka_unit_test_setup_teardown(name, set_up_poor, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_pass_both_ways),
		TEST(an_end_passes_and_leaves_the_other_direction_open),
		TEST(a_channel_whose_both_ends_passed_has_finished),
		TEST(long_messages_pass_both_ways_at_once),
		TEST(several_channels_of_one_worker_do_not_mix),
		TEST_POOR(channels_without_any_memory_to_share_all_go_on),
		TEST(memory_comes_back_when_channels_have_ended),
		TEST(a_program_that_does_not_read_leaves_the_other_direction_alone),
		TEST(a_program_that_does_not_read_leaves_other_channels_alone),
		TEST(what_waits_for_a_program_is_bounded),
		TEST(what_was_delivered_is_counted),
		TEST(a_program_that_is_gone_is_told_to_the_opener_at_once),
		TEST(a_program_that_is_gone_is_told_to_the_acceptor_at_once),
		TEST(a_program_that_ended_with_bytes_unread_is_told_at_once),
		TEST(a_program_that_only_writes_learns_of_a_reset),
		TEST(what_a_program_wrote_before_it_ended_still_arrives),
		TEST(a_reset_connection_ends_both_sides),
		TEST(a_connection_reset_in_full_flow_ends_both_sides),
		TEST(an_end_by_the_driver_ends_both_sides),
		TEST(an_end_may_be_asked_for_twice),
		TEST(an_end_may_be_asked_for_when_its_worker_is_gone),
		TEST(an_acceptor_that_stops_is_told_as_such),
		TEST(an_opener_that_stops_closes_the_other_side),
		TEST(a_worker_stops_in_full_flow),
		TEST(an_idle_channel_keeps_no_processor_busy),
		TEST(a_half_closed_channel_keeps_no_processor_busy),
		TEST(a_program_gone_while_nothing_comes_keeps_no_processor_busy),
		TEST(a_program_that_does_not_read_keeps_no_processor_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
