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

#include "daemon/channel.h"
#include "daemon/opening.h"
#include "hosts.h"

#define MIB (1024u * 1024)

/* As in channel.c: what the tunnel may hold for a program that does not read */
#define WINDOW_BYTES (2 * MIB)

struct line {
	struct channel *channel; /* on the host that opened it */
	int here;                /* ends of the local programs */
	int there;
};

static struct hosts hosts;
static struct line line;

static void lay(struct line *laid)
{
	char token[OFFER_TOKEN_CHARACTERS + 1];
	struct error err;
	int for_channel;

	laid->there = hosts_offer(&hosts, token);
	hosts_local_pair(&for_channel, &laid->here);
	laid->channel = opening_run(
		&hosts.a.daemon, &hosts.a.peers[0], "migration", token, for_channel, NULL, &err);
	if (!laid->channel)
		fail_msg("%s", err.message);
}

static void hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void take_away(struct line *laid)
{
	hang_up(&laid->here);
	hang_up(&laid->there);
	channel_put(laid->channel);
}

static int set_up(void **state)
{
	(void)state;
	hosts_start(&hosts);
	lay(&line);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	take_away(&line);
	hosts_stop(&hosts);
	return 0;
}

/* A long message whose every byte tells its place, sent or checked by a thread */
struct transfer {
	pthread_t thread;
	int fd;
	size_t length;
	uint32_t seed;
	size_t done; /* correct bytes */
};

static unsigned char byte_at(uint32_t seed, size_t place)
{
	uint32_t value = ((uint32_t)place + seed) * 2654435761u;

	return (unsigned char)(value >> 24);
}

static void *send_all(void *argument)
{
	struct transfer *transfer = argument;
	unsigned char bytes[32768];

	while (transfer->done < transfer->length) {
		size_t wanted = transfer->length - transfer->done;
		ssize_t sent;

		if (wanted > sizeof(bytes))
			wanted = sizeof(bytes);
		for (size_t i = 0; i < wanted; i++)
			bytes[i] = byte_at(transfer->seed, transfer->done + i);
		sent = send(transfer->fd, bytes, wanted, MSG_NOSIGNAL);
		if (sent <= 0)
			break;
		transfer->done += (size_t)sent;
	}
	return NULL;
}

static void *receive_all(void *argument)
{
	struct transfer *transfer = argument;
	unsigned char bytes[32768];

	while (transfer->done < transfer->length) {
		size_t wanted = transfer->length - transfer->done;
		ssize_t got = recv(
			transfer->fd, bytes, wanted < sizeof(bytes) ? wanted : sizeof(bytes), 0);

		for (ssize_t i = 0; i < got; i++) {
			if (bytes[i] != byte_at(transfer->seed, transfer->done + (size_t)i))
				return NULL;
		}
		if (got <= 0)
			break;
		transfer->done += (size_t)got;
	}
	return NULL;
}

static void start(
	struct transfer *transfer, void *(*run)(void *), int fd, size_t length, uint32_t seed)
{
	*transfer = (struct transfer){.fd = fd, .length = length, .seed = seed};
	assert_int_equal(pthread_create(&transfer->thread, NULL, run, transfer), 0);
}

static void assert_done(struct transfer *transfer)
{
	pthread_join(transfer->thread, NULL);
	assert_int_equal(transfer->done, transfer->length);
}

static void assert_passes(int from, int to, const char *text)
{
	char got[64] = "";

	assert_int_equal(send(from, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	assert_int_equal(recv(to, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
	assert_string_equal(got, text);
}

static void assert_end(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

/* The local socket is closed, not only its reading side. */
static void assert_closed(int fd)
{
	struct pollfd wanted = {.fd = fd};

	assert_int_equal(poll(&wanted, 1, HOSTS_DEADLINE_MS), 1);
	assert_true(wanted.revents & POLLHUP);
}

static void wait_until_ended(struct channel *channel, struct channel_progress *progress)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int waited_ms = 0; waited_ms < HOSTS_DEADLINE_MS; waited_ms++) {
		channel_progress(channel, progress);
		if (progress->ended)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("the channel has not ended");
}

static void assert_ended(enum error_code code, const char *says)
{
	struct channel_progress progress;

	wait_until_ended(line.channel, &progress);
	if (progress.failure.code != code || !strstr(progress.failure.message, says))
		fail_msg(
			"%s: %s", error_code_name(progress.failure.code), progress.failure.message);
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
	assert_ended(ERROR_NONE, "");
	assert_closed(line.there);
}

static void long_messages_pass_both_ways_at_once(void **state)
{
	struct transfer out[2];
	struct transfer in[2];

	(void)state;
	start(&out[0], send_all, line.here, 12 * MIB, 1);
	start(&in[0], receive_all, line.there, 12 * MIB, 1);
	start(&out[1], send_all, line.there, 12 * MIB, 77);
	start(&in[1], receive_all, line.here, 12 * MIB, 77);
	for (int i = 0; i < 2; i++) {
		assert_done(&out[i]);
		assert_done(&in[i]);
	}
}

static void several_channels_of_one_worker_do_not_mix(void **state)
{
	struct line lines[4];
	struct transfer out[4];
	struct transfer in[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		lay(&lines[i]);
		start(&out[i], send_all, lines[i].here, 2 * MIB, i * 1000);
		start(&in[i], receive_all, lines[i].there, 2 * MIB, i * 1000);
	}
	for (int i = 0; i < 4; i++) {
		assert_done(&out[i]);
		assert_done(&in[i]);
		take_away(&lines[i]);
	}
}

static void a_program_that_does_not_read_leaves_the_other_direction_alone(void **state)
{
	struct transfer out;
	struct transfer in;
	struct transfer back_out;
	struct transfer back_in;

	(void)state;
	start(&out, send_all, line.here, 8 * MIB, 1);
	start(&back_out, send_all, line.there, 8 * MIB, 2);
	start(&back_in, receive_all, line.here, 8 * MIB, 2);
	assert_done(&back_out);
	assert_done(&back_in);
	start(&in, receive_all, line.there, 8 * MIB, 1);
	assert_done(&out);
	assert_done(&in);
}

static void a_program_that_does_not_read_leaves_other_channels_alone(void **state)
{
	struct line other;
	struct transfer out;
	struct transfer in;

	(void)state;
	lay(&other);
	start(&out, send_all, line.here, 8 * MIB, 1);
	assert_passes(other.here, other.there, "page");
	assert_passes(other.there, other.here, "request");
	start(&in, receive_all, line.there, 8 * MIB, 1);
	assert_done(&out);
	assert_done(&in);
	take_away(&other);
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
	wait_until_ended(line.channel, &progress);
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
	hang_up(&line.there);
	code = write_until_refused(line.here);
	assert_true(code == EPIPE || code == ECONNRESET);
	assert_ended(ERROR_PEER, "the local program is gone");
}

static void a_program_that_is_gone_is_told_to_the_acceptor_at_once(void **state)
{
	int code;

	(void)state;
	hang_up(&line.here);
	code = write_until_refused(line.there);
	assert_true(code == EPIPE || code == ECONNRESET);
}

static void a_program_that_ended_with_bytes_unread_is_told_at_once(void **state)
{
	struct transfer out;

	(void)state;
	start(&out, send_all, line.here, 8 * MIB, 1);
	assert_int_equal(recv(line.there, &(char){0}, 1, 0), 1);
	hang_up(&line.there);
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
	start(&back_out, send_all, line.there, MIB, 2);
	assert_done(&back_out);
	start(&out, send_all, line.here, 64 * MIB, 1);
	hang_up(&line.there);
	pthread_join(out.thread, NULL);
	assert_true(out.done < out.length);
	assert_ended(ERROR_PEER, "the local program is gone");
}

static void what_a_program_wrote_before_it_ended_still_arrives(void **state)
{
	struct transfer out;
	struct transfer in;

	(void)state;
	start(&in, receive_all, line.here, 4 * MIB, 5);
	start(&out, send_all, line.there, 4 * MIB, 5);
	assert_done(&out);
	hang_up(&line.there);
	assert_done(&in);
	assert_end(line.here);
}

static void a_reset_connection_ends_both_sides(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	hosts_cut(&hosts);
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(ERROR_LINK, "connection lost");
}

static void a_connection_reset_in_full_flow_ends_both_sides(void **state)
{
	struct transfer out;
	struct transfer back_out;
	struct transfer in;

	(void)state;
	start(&out, send_all, line.here, 64 * MIB, 1);
	start(&back_out, send_all, line.there, 64 * MIB, 2);
	start(&in, receive_all, line.there, MIB, 1);
	assert_done(&in);
	hosts_cut(&hosts);
	pthread_join(out.thread, NULL);
	pthread_join(back_out.thread, NULL);
	assert_true(out.done < out.length);
	assert_true(back_out.done < back_out.length);
	assert_ended(ERROR_LINK, "connection lost");
}

static void an_end_by_the_driver_ends_both_sides(void **state)
{
	(void)state;
	channel_end(line.channel);
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(ERROR_CANCELLED, "ended by the migration");
}

static void an_end_may_be_asked_for_twice(void **state)
{
	(void)state;
	channel_end(line.channel);
	channel_end(line.channel);
	assert_closed(line.there);
	assert_ended(ERROR_CANCELLED, "ended by the migration");
}

static void an_acceptor_that_stops_is_told_as_such(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	host_stop_worker(&hosts.b);
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(ERROR_LINK, "that host's culvertd is stopping");
}

static void an_opener_that_stops_closes_the_other_side(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	host_stop_worker(&hosts.a);
	assert_closed(line.there);
	assert_ended(ERROR_CANCELLED, "culvertd is stopping");
}

static void a_worker_stops_in_full_flow(void **state)
{
	struct transfer out;
	struct transfer back_out;
	struct transfer in;

	(void)state;
	start(&out, send_all, line.here, 64 * MIB, 1);
	start(&back_out, send_all, line.there, 64 * MIB, 2);
	start(&in, receive_all, line.there, MIB, 1);
	assert_done(&in);
	hosts_forget_connection(&hosts);
	host_stop_worker(&hosts.b);
	pthread_join(out.thread, NULL);
	pthread_join(back_out.thread, NULL);
	assert_true(out.done < out.length);
	assert_true(back_out.done < back_out.length);
	assert_ended(ERROR_LINK, "");
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
	hang_up(&line.there);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_pass_both_ways),
		TEST(an_end_passes_and_leaves_the_other_direction_open),
		TEST(a_channel_whose_both_ends_passed_has_finished),
		TEST(long_messages_pass_both_ways_at_once),
		TEST(several_channels_of_one_worker_do_not_mix),
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
