/* A channel that outlives its link: channel.c and redial.c over TCP and TLS that is cut. */

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/opening.h"
#include "line.h"
#include "relay.h"

enum { LONG_MS = 60000, SHORT_MS = 300 };

static struct hosts hosts;

static struct line line;

static void set_deadline_ms(uint64_t resume_deadline_ms)
{
	hosts.a.peers[0].resume_deadline_ms = resume_deadline_ms;
	hosts.b.peers[0].resume_deadline_ms = resume_deadline_ms;
}

static int set_up_hosts(void **state)
{
	(void)state;
	hosts_start(&hosts);
	host_add_worker(&hosts.b);
	set_deadline_ms(LONG_MS);
	line = (struct line){.here = -1, .there = -1};
	return 0;
}

static int set_up(void **state)
{
	set_up_hosts(state);
	line_lay(&line, &hosts);
	return 0;
}

/* For a deadline that is to pass */
static int set_up_short(void **state)
{
	set_up_hosts(state);
	set_deadline_ms(SHORT_MS);
	line_lay(&line, &hosts);
	return 0;
}

static struct relay relay;

static int set_up_relay(void **state)
{
	set_up_hosts(state);
	relay_start(&relay, &hosts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	line_take_away(&line);
	hosts_stop(&hosts);
	return 0;
}

static int tear_down_relay(void **state)
{
	/* The channels' last words pass through it. */
	(void)tear_down(state);
	relay_stop(&relay);
	return 0;
}

static void wait_until_lost(uint64_t times)
{
	for (int waited_ms = 0; line_links_lost(&line) < times; waited_ms++) {
		if (waited_ms == HOSTS_DEADLINE_MS)
			fail_msg("the opener has not noticed");
		pause_ms(1);
	}
}

/* The opener has no link, and gets none. */
static void strand(void)
{
	hosts_set_deaf(&hosts, true);
	hosts_cut(&hosts);
	wait_until_lost(1);
}

static void a_black_hole_is_noticed_within_the_silence_of_the_peer(void **state)
{
	uint64_t began_ms;

	(void)state;
	hosts.a.peers[0].silence_timeout_ms = 500;
	line_lay(&line, &hosts);
	assert_passes(line.here, line.there, "page");
	began_ms = clock_now_ms();
	atomic_store(&relay.stalled, true);
	wait_until_lost(1);
	assert_in_range(clock_now_ms() - began_ms, 0, CONFIG_SILENCE_MS - 300);
	assert_passes(line.here, line.there, "page");
}

static void a_standstill_of_a_host_is_no_silence_of_its_peer(void **state)
{
	static struct standstill standstill;

	(void)state;
	hosts.a.peers[0].silence_timeout_ms = 1000;
	line_lay(&line, &hosts);
	assert_passes(line.here, line.there, "page");
	standstill_begin(&standstill, hosts.a.daemon.workers[0]);
	assert_int_equal(send(line.there, "request", 7, MSG_NOSIGNAL), 7);
	pause_ms(800);
	pause_ms(800);
	standstill_end(&standstill);
	assert_int_equal(recv(line.here, &(char[8]){0}, 7, MSG_WAITALL), 7);
	assert_int_equal(line_links_lost(&line), 0);
}

static void a_cut_of_an_idle_channel_is_not_seen(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	hosts_cut(&hosts);
	wait_until_lost(1);
	assert_passes(line.here, line.there, "page");
	assert_passes(line.there, line.here, "request");
}

static void a_cut_in_full_flow_is_not_seen(void **state)
{
	struct exchange exchange;

	(void)state;
	exchange_start(&exchange, &line, 12 * MIB);
	transfer_wait(&exchange.in[0], 3 * MIB);
	hosts_cut(&hosts);
	exchange_assert_done(&exchange);
	assert_int_equal(line_links_lost(&line), 1);
}

static void what_is_sent_again_after_a_cut_is_counted(void **state)
{
	struct channel_progress progress;
	struct transfer out;

	(void)state;
	/* Nobody reads there: more than the kernel's buffers hold waits unacknowledged. */
	transfer_start(&out, transfer_send, line.here, MIB * 3 / 8, 1);
	transfer_assert_done(&out);
	pause_ms(300); /* ... and goes as far as the window lets it */
	hosts_cut(&hosts);
	wait_until_lost(1);
	for (int waited_ms = 0; waited_ms < HOSTS_DEADLINE_MS; waited_ms++) {
		channel_progress(line.channel, &progress);
		if (progress.replayed_bytes > 0)
			break;
		pause_ms(1);
	}
	assert_in_range(progress.replayed_bytes, 1, 2 * MIB);
	assert_int_equal(progress.lost_ms, 0);
	/* The opener lets ten milliseconds pass at least before it comes again. */
	assert_in_range(progress.linkless_ms, 1, HOSTS_DEADLINE_MS);
}

static void many_cuts_in_full_flow_are_not_seen(void **state)
{
	struct exchange exchange;

	(void)state;
	exchange_start(&exchange, &line, 16 * MIB);
	for (size_t i = 0; i < 12; i++) {
		transfer_wait(&exchange.in[i % 2], i * MIB);
		hosts_cut(&hosts);
	}
	exchange_assert_done(&exchange);
	assert_true(line_links_lost(&line) > 1);
}

static void cuts_while_it_resumes_are_not_seen(void **state)
{
	struct exchange exchange;

	(void)state;
	exchange_start(&exchange, &line, 4 * MIB);
	for (long i = 0; i < 60; i++) {
		pause_ms(1 + i % 9);
		hosts_cut(&hosts);
	}
	exchange_assert_done(&exchange);
	/* An attempt that is cut counts as none. */
	assert_true(line_links_lost(&line) >= 1);
}

static void what_a_program_writes_without_a_link_arrives_with_the_next(void **state)
{
	(void)state;
	strand();
	assert_int_equal(send(line.here, "page", 4, MSG_NOSIGNAL), 4);
	assert_int_equal(send(line.there, "request", 7, MSG_NOSIGNAL), 7);
	hosts_set_deaf(&hosts, false);
	assert_int_equal(recv(line.there, &(char[5]){0}, 4, MSG_WAITALL), 4);
	assert_int_equal(recv(line.here, &(char[8]){0}, 7, MSG_WAITALL), 7);
}

static void an_end_before_the_cut_stays_an_end(void **state)
{
	(void)state;
	assert_int_equal(shutdown(line.here, SHUT_WR), 0);
	assert_end(line.there);
	hosts_cut(&hosts);
	wait_until_lost(1);
	assert_passes(line.there, line.here, "still here");
	assert_int_equal(shutdown(line.there, SHUT_WR), 0);
	assert_end(line.here);
	assert_ended(&line, ERROR_NONE, "");
}

static void an_end_without_a_link_passes_with_the_next(void **state)
{
	(void)state;
	strand();
	assert_int_equal(send(line.here, "last", 4, MSG_NOSIGNAL), 4);
	assert_int_equal(shutdown(line.here, SHUT_WR), 0);
	hosts_set_deaf(&hosts, false);
	assert_int_equal(recv(line.there, &(char[4]){0}, 4, MSG_WAITALL), 4);
	assert_end(line.there);
	line_hang_up(&line.there);
	assert_ended(&line, ERROR_NONE, "");
}

static void a_program_that_goes_without_a_link_is_told_with_the_next(void **state)
{
	(void)state;
	strand();
	line_hang_up(&line.there);
	hosts_set_deaf(&hosts, false);
	(void)send(line.here, "page", 4, MSG_NOSIGNAL);
	assert_closed(line.here);
	assert_ended(&line, ERROR_PEER, "the local program is gone");
}

static void past_the_deadline_both_sides_end(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	strand();
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(&line, ERROR_LINK, "no other to hostb within");
}

static void before_the_deadline_neither_side_ends(void **state)
{
	struct pollfd ends[2] = {{.fd = line.here}, {.fd = line.there}};

	(void)state;
	strand();
	assert_int_equal(poll(ends, 2, 2 * SHORT_MS), 0);
	hosts_set_deaf(&hosts, false);
	assert_passes(line.here, line.there, "page");
}

static void an_opener_stops_without_a_link(void **state)
{
	(void)state;
	strand();
	host_stop_worker(&hosts.a);
	assert_closed(line.here);
	assert_ended(&line, ERROR_CANCELLED, "culvertd is stopping");
}

static void an_acceptor_stops_without_a_link(void **state)
{
	(void)state;
	strand();
	host_stop_worker(&hosts.b);
	assert_closed(line.there);
}

static void a_worker_stops_while_the_opener_asks_again(void **state)
{
	(void)state;
	hosts_cut(&hosts);
	pause_ms(15);
	host_stop_worker(&hosts.a);
	assert_closed(line.here);
	assert_ended(&line, ERROR_CANCELLED, "culvertd is stopping");
}

static void an_end_by_the_driver_needs_no_link(void **state)
{
	(void)state;
	strand();
	channel_end(line.channel);
	assert_closed(line.here);
	assert_ended(&line, ERROR_CANCELLED, "ended by the migration");
}

static void wait_until_forgotten(struct host *host)
{
	for (int waited_ms = 0; atomic_load(&host->daemon.budget.sharers) > 0; waited_ms++) {
		if (waited_ms == HOSTS_DEADLINE_MS)
			fail_msg("the channel is still there");
		pause_ms(1);
	}
}

static void an_end_by_the_driver_without_a_link_is_told_with_the_next(void **state)
{
	struct pollfd there = {.fd = line.there};

	(void)state;
	strand();
	channel_end(line.channel);
	assert_closed(line.here);
	assert_int_equal(poll(&there, 1, 50), 0);
	hosts_set_deaf(&hosts, false);
	assert_closed(line.there);
	wait_until_forgotten(&hosts.a);
	wait_until_forgotten(&hosts.b);
}

/* The kernel takes it, and no host ever gets it. */
static void an_end_that_a_dead_link_has_taken_is_told_with_the_next(void **state)
{
	(void)state;
	hosts.a.peers[0].silence_timeout_ms = 500;
	line_lay(&line, &hosts);
	assert_passes(line.here, line.there, "page");
	atomic_store(&relay.stalled, true);
	channel_end(line.channel);
	assert_closed(line.here);
	assert_closed(line.there);
	wait_until_forgotten(&hosts.a);
	wait_until_forgotten(&hosts.b);
}

static double cpu_seconds(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void a_link_that_is_lost_before_the_peer_left_it_keeps_no_processor_busy(void **state)
{
	static struct standstill standstills[2];
	double before;

	(void)state;
	assert_passes(line.here, line.there, "page");
	hosts_set_deaf(&hosts, true);
	for (unsigned i = 0; i < 2; i++)
		standstill_begin(&standstills[i], hosts.b.daemon.workers[i]);
	channel_end(line.channel);
	assert_closed(line.here);
	/* Without an end of TLS, its peer has not left it. */
	assert_int_equal(shutdown(atomic_load(&hosts.accepted_fd), SHUT_WR), 0);
	pause_ms(100);
	before = cpu_seconds();
	pause_ms(500);
	assert_true(cpu_seconds() - before < 0.1);
	for (unsigned i = 0; i < 2; i++)
		standstill_end(&standstills[i]);
	hosts_set_deaf(&hosts, false);
	assert_closed(line.there);
}

/* A stream of the migration of @terms */
static void lay_under(struct terms *terms)
{
	char token[OFFER_TOKEN_CHARACTERS + 1];
	struct error err;
	int for_channel;

	line.there = hosts_offer(&hosts, token);
	hosts_local_pair(&for_channel, &line.here);
	line.channel = opening_run(&hosts.a.daemon, &hosts.a.peers[0], "migration", token, terms,
		for_channel, NULL, &err);
	assert_non_null(line.channel);
}

/* A stream that may wait on both hosts, and whose deadline has passed */
static void strand_patiently(void)
{
	struct terms *here = terms_new(RATE_UNLIMITED);
	struct terms *there = terms_new_patient();
	char token[OFFER_TOKEN_CHARACTERS + 1];
	struct pollfd ends[2];
	struct error err;
	int for_channel;

	set_deadline_ms(SHORT_MS);
	line.there = hosts_offer_under(&hosts, there, token);
	hosts_local_pair(&for_channel, &line.here);
	line.channel = opening_run(&hosts.a.daemon, &hosts.a.peers[0], "migration", token, here,
		for_channel, NULL, &err);
	assert_non_null(line.channel);
	assert_passes(line.here, line.there, "page");
	strand();
	/* Also when its guest went to the other host after the link was lost */
	atomic_store(&here->patient, true);
	ends[0] = (struct pollfd){.fd = line.here};
	ends[1] = (struct pollfd){.fd = line.there};
	assert_int_equal(poll(ends, 2, 3 * SHORT_MS), 0);
	terms_put(here);
	terms_put(there);
}

static void who_is_patient_waits_past_the_deadline(void **state)
{
	(void)state;
	strand_patiently();
	hosts_set_deaf(&hosts, false);
	assert_passes(line.here, line.there, "page");
}

static void past_the_deadline_nobody_waits_for_a_daemon_that_was_started_again(void **state)
{
	struct open_message of_another_run = {.id = {[CHANNEL_ID_BYTES - 1] = 1}};

	(void)state;
	strand_patiently();
	assert_int_equal(
		channel_table_add(hosts.b.daemon.channels, &of_another_run, "hosta", line.channel),
		0);
	assert_closed(line.there);
	channel_table_remove(hosts.b.daemon.channels, line.channel);
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle) && handle->type != UV_ASYNC)
		uv_close(handle, NULL);
}

static void an_end_without_a_link_leaves_what_its_migration_may_use(void **state)
{
	struct terms *terms = terms_new(RATE_UNLIMITED);
	struct error err;
	struct loop *loop = loop_new(&err);

	(void)state;
	hosts.a.daemon.scheduler = scheduler_new(loop, RATE_UNLIMITED);
	lay_under(terms);
	assert_int_equal(terms->channel_count, 1);
	strand();
	channel_end(line.channel);
	for (int waited_ms = 0; atomic_load(&terms->references) > 1; waited_ms++) {
		assert_true(waited_ms < HOSTS_DEADLINE_MS);
		pause_ms(1);
	}
	assert_int_equal(terms->channel_count, 0);
	/* The stream that is laid in its place has the pace that it is given. */
	atomic_store(&terms->to_peer_rate, 1000000);
	hosts_set_deaf(&hosts, false);
	assert_closed(line.there);
	wait_until_forgotten(&hosts.a);
	assert_int_equal(atomic_load(&terms->to_peer_rate), 1000000);
	terms_put(terms);
	uv_walk(loop_uv(loop), close_handle, NULL);
	loop_free(loop);
	scheduler_free(hosts.a.daemon.scheduler);
	hosts.a.daemon.scheduler = NULL;
}

/* Read until the window is so large that the sender keeps more than is its own. */
static void read_until_borrowed(struct budget *budget)
{
	static char much[65536];

	while (atomic_load(&budget->lent) == 0)
		(void)recv(line.there, much, sizeof(much), MSG_DONTWAIT);
}

static void an_end_without_a_link_holds_no_bytes(void **state)
{
	struct transfer out;

	(void)state;
	transfer_start(&out, transfer_send, line.here, 64 * MIB, 1);
	read_until_borrowed(&hosts.a.daemon.budget);
	strand();
	channel_end(line.channel);
	pthread_join(out.thread, NULL);
	assert_closed(line.here);
	assert_int_equal(atomic_load(&hosts.a.daemon.budget.lent), 0);
	assert_int_equal(atomic_load(&hosts.a.daemon.budget.sharers), 1);
}

static void an_end_that_nobody_could_be_told_is_forgotten_at_the_deadline(void **state)
{
	(void)state;
	strand();
	channel_end(line.channel);
	assert_closed(line.here);
	wait_until_forgotten(&hosts.a);
	assert_closed(line.there);
	assert_ended(&line, ERROR_CANCELLED, "ended by the migration");
}

static void a_program_of_the_opener_that_goes_without_a_link_is_told_with_the_next(void **state)
{
	(void)state;
	assert_int_equal(send(line.there, "request", 7, MSG_NOSIGNAL), 7);
	assert_int_equal(recv(line.here, &(char){0}, 1, 0), 1);
	strand();
	/* With bytes unread, so that it is an end and not only that of its stream */
	line_hang_up(&line.here);
	hosts_set_deaf(&hosts, false);
	(void)send(line.there, "again", 5, MSG_NOSIGNAL);
	assert_closed(line.there);
}

static int set_up_two_addresses(void **state)
{
	struct config_addresses *addresses = &hosts.a.peers[0].addresses;

	set_up_hosts(state);
	addresses->list[1] = addresses->list[0];
	addresses->count = 2;
	return 0;
}

/* @returns a socket at 127.0.0.1 that does not listen yet */
static int bind_somewhere(char port[6])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	snprintf(port, 6, "%u", ntohs(address.sin_port));
	return fd;
}

static void the_address_that_worked_is_tried_first(void **state)
{
	int other = bind_somewhere(hosts.a.peers[0].addresses.list[0].port);

	(void)state;
	line_lay(&line, &hosts);
	assert_int_equal(listen(other, 10), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		hosts_cut(&hosts);
		wait_until_lost(i);
		assert_passes(line.here, line.there, "page");
	}
	assert_int_equal(accept(other, NULL, NULL), -1);
	close(other);
}

static void the_other_addresses_are_tried_when_that_one_is_gone(void **state)
{
	int other = bind_somewhere(hosts.a.peers[0].addresses.list[0].port);
	struct pollfd asked = {.fd = other, .events = POLLIN};

	(void)state;
	line_lay(&line, &hosts);
	assert_int_equal(listen(other, 10), 0);
	strand();
	assert_int_equal(poll(&asked, 1, HOSTS_DEADLINE_MS), 1);
	close(other);
	hosts_set_deaf(&hosts, false);
	assert_passes(line.here, line.there, "page");
}

static void an_acceptor_that_forgot_the_channel_ends_it(void **state)
{
	(void)state;
	strand();
	/* As after a new start there */
	host_stop_worker(&hosts.b);
	host_add_worker(&hosts.b);
	hosts_set_deaf(&hosts, false);
	assert_closed(line.here);
	assert_ended(&line, ERROR_LINK, "no such channel");
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_TWO(name)   cmocka_unit_test_setup_teardown(name, set_up_two_addresses, tear_down)
#define TEST_SHORT(name) cmocka_unit_test_setup_teardown(name, set_up_short, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_black_hole_is_noticed_within_the_silence_of_the_peer, set_up_relay,
			tear_down_relay),
		cmocka_unit_test_setup_teardown(
			an_end_that_a_dead_link_has_taken_is_told_with_the_next, set_up_relay,
			tear_down_relay),
		cmocka_unit_test_setup_teardown(
			a_standstill_of_a_host_is_no_silence_of_its_peer, set_up_hosts, tear_down),
		cmocka_unit_test_setup_teardown(
			an_end_without_a_link_leaves_what_its_migration_may_use, set_up_hosts,
			tear_down),
		cmocka_unit_test_setup_teardown(
			who_is_patient_waits_past_the_deadline, set_up_hosts, tear_down),
		cmocka_unit_test_setup_teardown(
			past_the_deadline_nobody_waits_for_a_daemon_that_was_started_again,
			set_up_hosts, tear_down),
		TEST(a_link_that_is_lost_before_the_peer_left_it_keeps_no_processor_busy),
		TEST(a_cut_of_an_idle_channel_is_not_seen),
		TEST(a_cut_in_full_flow_is_not_seen),
		TEST(what_is_sent_again_after_a_cut_is_counted),
		TEST(many_cuts_in_full_flow_are_not_seen),
		TEST(cuts_while_it_resumes_are_not_seen),
		TEST(what_a_program_writes_without_a_link_arrives_with_the_next),
		TEST(an_end_before_the_cut_stays_an_end),
		TEST(an_end_without_a_link_passes_with_the_next),
		TEST(a_program_that_goes_without_a_link_is_told_with_the_next),
		TEST_SHORT(past_the_deadline_both_sides_end),
		TEST(before_the_deadline_neither_side_ends),
		TEST(an_opener_stops_without_a_link),
		TEST(an_acceptor_stops_without_a_link),
		TEST(a_worker_stops_while_the_opener_asks_again),
		TEST(an_end_by_the_driver_needs_no_link),
		TEST(an_end_by_the_driver_without_a_link_is_told_with_the_next),
		TEST(an_end_without_a_link_holds_no_bytes),
		TEST_SHORT(an_end_that_nobody_could_be_told_is_forgotten_at_the_deadline),
		TEST(a_program_of_the_opener_that_goes_without_a_link_is_told_with_the_next),
		TEST_TWO(the_address_that_worked_is_tried_first),
		TEST_TWO(the_other_addresses_are_tried_when_that_one_is_gone),
		TEST(an_acceptor_that_forgot_the_channel_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
