/* An opener and an acceptor: opening.c, link.c and arrival.c against each other. */

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/contact.h"
#include "daemon/opening.h"
#include "line.h"
#include "relay.h"

static struct hosts hosts;
static struct relay relay;
static struct error err;
static char token[OFFER_TOKEN_CHARACTERS + 1];
static char address[400];

static int set_up(void **state)
{
	(void)state;
	hosts_start(&hosts);
	err = (struct error){0};
	memset(token, '0', OFFER_TOKEN_CHARACTERS);
	token[OFFER_TOKEN_CHARACTERS] = '\0';
	return 0;
}

static int set_up_relay(void **state)
{
	set_up(state);
	hosts.a.peers[0].resume_deadline_ms = HOSTS_DEADLINE_MS;
	hosts.b.peers[0].resume_deadline_ms = HOSTS_DEADLINE_MS;
	relay_start(&relay, &hosts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
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

/* @returns the program's end of a channel to the second host, or -1 */
static int ask(const char *service, const char *argument)
{
	struct channel *channel;
	int for_channel;
	int for_program;

	hosts_local_pair(&for_channel, &for_program);
	channel = opening_run(&hosts.a.daemon, &hosts.a.peers[0], service, argument, NULL,
		for_channel, address, &err);
	if (channel) {
		channel_put(channel);
		return for_program;
	}
	close(for_program);
	return -1;
}

static void assert_refused(enum error_code code, const char *says)
{
	if (err.code != code || !strstr(err.message, says))
		fail_msg("%s: %s", error_code_name(err.code), err.message);
}

static void a_permitted_peer_reaches_what_was_offered(void **state)
{
	int there = hosts_offer(&hosts, token);
	int here = ask("migration", token);
	char text[3] = "";

	(void)state;
	if (here < 0)
		fail_msg("%s", err.message);
	assert_int_equal(send(here, "hi", 2, MSG_NOSIGNAL), 2);
	assert_int_equal(recv(there, text, 2, MSG_WAITALL), 2);
	assert_string_equal(text, "hi");
	close(here);
	close(there);
}

static void the_opener_learns_where_the_peer_is_and_who(void **state)
{
	char expected[100];
	int there = hosts_offer(&hosts, token);

	(void)state;
	close(ask("migration", token));
	snprintf(expected, sizeof(expected), "127.0.0.1:%s (hostb.example)", hosts.port);
	assert_string_equal(address, expected);
	close(there);
}

static void an_identity_that_no_peer_has_is_refused(void **state)
{
	(void)state;
	strcpy(hosts.b.peers[0].identity, "somebody.else");
	assert_int_equal(ask("control", ""), -1);
	assert_refused(ERROR_IDENTITY, "no [peer] section there has an identity of this host");
}

static void a_peer_that_may_not_migrate_is_refused(void **state)
{
	(void)state;
	hosts.b.peers[0].may_migrate = false;
	assert_int_equal(ask("control", ""), -1);
	assert_refused(ERROR_IDENTITY, "not permitted: see 'services'");
}

static void a_peer_that_may_not_migrate_keeps_no_token_either(void **state)
{
	int there = hosts_offer(&hosts, token);

	(void)state;
	hosts.b.peers[0].may_migrate = false;
	assert_int_equal(ask("migration", token), -1);
	assert_refused(ERROR_IDENTITY, "not permitted: see 'services'");
	close(there);
}

static void an_unknown_service_is_refused(void **state)
{
	(void)state;
	assert_int_equal(ask("../../etc/passwd", ""), -1);
	assert_refused(ERROR_PEER, "no such service");
}

static void a_bad_token_is_refused(void **state)
{
	(void)state;
	assert_int_equal(ask("migration", token), -1);
	assert_refused(ERROR_PEER, "no such token");
}

static void a_token_is_good_once(void **state)
{
	int there = hosts_offer(&hosts, token);
	int here = ask("migration", token);

	(void)state;
	assert_true(here >= 0);
	assert_int_equal(ask("migration", token), -1);
	assert_refused(ERROR_PEER, "no such token");
	close(here);
	close(there);
}

static void a_token_of_another_peer_is_refused(void **state)
{
	int there = hosts_offer(&hosts, token);

	(void)state;
	strcpy(hosts.b.peers[0].name, "hostd");
	assert_int_equal(ask("migration", token), -1);
	assert_refused(ERROR_PEER, "no such token");
	close(there);
}

static void a_host_that_is_another_than_expected_is_left(void **state)
{
	(void)state;
	strcpy(hosts.a.peers[0].identity, "hostc.example");
	assert_int_equal(ask("control", ""), -1);
	assert_refused(ERROR_IDENTITY, "proves to be 'hostb.example', not 'hostc.example'");
}

static void a_host_that_stops_refuses(void **state)
{
	(void)state;
	atomic_store(&hosts.b.daemon.stopping, true);
	assert_int_equal(ask("control", ""), -1);
	assert_refused(ERROR_LINK, "stopping there");
}

static void a_port_where_nobody_listens_is_named(void **state)
{
	(void)state;
	strcpy(hosts.a.peers[0].addresses.list[0].port, "1");
	assert_int_equal(ask("control", ""), -1);
	assert_refused(ERROR_LINK, "hostb at 127.0.0.1 port 1: cannot connect: Connection refused");
}

static void the_next_address_is_tried_when_one_does_not_answer(void **state)
{
	struct config_addresses *addresses = &hosts.a.peers[0].addresses;
	int here;

	(void)state;
	addresses->list[1] = addresses->list[0];
	addresses->count = 2;
	strcpy(addresses->list[0].port, "1");
	here = ask("control", "");
	assert_true(here >= 0);
	close(here);
}

static void the_next_address_is_not_tried_after_a_refusal(void **state)
{
	struct config_addresses *addresses = &hosts.a.peers[0].addresses;

	(void)state;
	addresses->list[1] = addresses->list[0];
	addresses->count = 2;
	strcpy(addresses->list[1].port, "1");
	assert_int_equal(ask("migration", token), -1);
	assert_refused(ERROR_PEER, "no such token");
}

static void the_local_socket_is_closed_when_nothing_was_opened(void **state)
{
	int for_channel;
	int for_program;
	char byte;

	(void)state;
	hosts_local_pair(&for_channel, &for_program);
	assert_null(opening_run(&hosts.a.daemon, &hosts.a.peers[0], "migration", token, NULL,
		for_channel, NULL, &err));
	assert_int_equal(recv(for_program, &byte, 1, 0), 0);
	close(for_program);
}

static void a_control_channel_answers_a_ping(void **state)
{
	struct contact *contact = contact_new(&hosts.a.daemon, &hosts.a.peers[0], &err);

	(void)state;
	if (!contact)
		fail_msg("%s", err.message);
	assert_int_equal(contact_ask(contact, "ping", NULL, NULL, &err), 0);
	contact_free(contact);
}

static void a_control_channel_refuses_an_unknown_command(void **state)
{
	struct contact *contact = contact_new(&hosts.a.daemon, &hosts.a.peers[0], &err);

	(void)state;
	assert_non_null(contact);
	assert_int_equal(contact_ask(contact, "shell", NULL, NULL, &err), -1);
	assert_refused(ERROR_USAGE, "hostb: unknown command 'shell'");
	contact_free(contact);
}

static void steps_out_of_order_are_refused(void **state)
{
	static const char *const commands[] = {"attach", "start", "postcopy"};
	struct contact *contact = contact_new(&hosts.a.daemon, &hosts.a.peers[0], &err);

	(void)state;
	assert_non_null(contact);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		assert_int_equal(contact_ask(contact, commands[i], NULL, NULL, &err), -1);
		assert_refused(ERROR_USAGE, commands[i]);
	}
	contact_free(contact);
}

static void a_lost_control_channel_says_whose(void **state)
{
	struct contact *contact = contact_new(&hosts.a.daemon, &hosts.a.peers[0], &err);
	struct contact_news news;

	(void)state;
	assert_non_null(contact);
	hosts_cut(&hosts);
	assert_int_equal(contact_listen(contact, HOSTS_DEADLINE_MS, &news, &err), -1);
	assert_refused(ERROR_LINK, "lost contact with hostb: connection lost");
	contact_free(contact);
}

/* A link that is lost while the channel is being opened */

static void wait_for_channels(const struct host *host, unsigned count)
{
	for (int waited_ms = 0; atomic_load(&host->daemon.workers[0]->channel_count) != count;
		waited_ms++) {
		if (waited_ms == HOSTS_DEADLINE_MS)
			fail_msg("not %u channels", count);
		pause_ms(1);
	}
}

/* There is one channel, after so many connections or, on a busy machine, more; and it ends on both
 * hosts. */
static void assert_opened_once(int here, int there, unsigned connections)
{
	if (here < 0)
		fail_msg("%s", err.message);
	assert_passes(here, there, "page");
	assert_passes(there, here, "request");
	assert_true(relay.connection_count >= connections);
	assert_int_equal(atomic_load(&hosts.b.daemon.workers[0]->channel_count), 1);
	close(here);
	close(there);
	wait_for_channels(&hosts.b, 0);
	wait_for_channels(&hosts.a, 0);
}

static void a_channel_whose_answer_was_lost_is_resumed(void **state)
{
	int there = hosts_offer(&hosts, token);

	(void)state;
	relay.faults[0] = RELAY_LOSES_ANSWER;
	assert_opened_once(ask("migration", token), there, 2);
}

static void what_went_with_the_lost_answer_comes_again(void **state)
{
	int there = hosts_offer(&hosts, token);
	char text[9] = "";
	int here;

	(void)state;
	relay.faults[0] = RELAY_LOSES_ANSWER;
	assert_int_equal(send(there, "greeting", 8, MSG_NOSIGNAL), 8);
	here = ask("migration", token);
	assert_true(here >= 0);
	assert_int_equal(recv(here, text, 8, MSG_WAITALL), 8);
	assert_string_equal(text, "greeting");
	assert_opened_once(here, there, 2);
}

static void a_resume_whose_answer_is_lost_too_is_tried_again(void **state)
{
	int there = hosts_offer(&hosts, token);

	(void)state;
	relay.faults[0] = RELAY_LOSES_ANSWER;
	relay.faults[1] = RELAY_LOSES_ANSWER;
	relay.faults[2] = RELAY_LOSES_QUESTION;
	assert_opened_once(ask("migration", token), there, 4);
}

static void an_open_that_was_lost_is_sent_again_when_resuming_is_refused(void **state)
{
	int there = hosts_offer(&hosts, token);

	(void)state;
	relay.faults[0] = RELAY_LOSES_QUESTION;
	assert_opened_once(ask("migration", token), there, 3);
}

static void a_channel_that_was_resumed_late_can_be_resumed_again(void **state)
{
	int there = hosts_offer(&hosts, token);
	int here;

	(void)state;
	relay.faults[0] = RELAY_LOSES_ANSWER;
	here = ask("migration", token);
	assert_true(here >= 0);
	assert_passes(here, there, "page");
	hosts_cut(&hosts);
	assert_opened_once(here, there, 3);
}

static void a_daemon_that_ends_does_not_ask_for_its_channel(void **state)
{
	int there = hosts_offer(&hosts, token);

	(void)state;
	relay.faults[0] = RELAY_LOSES_ANSWER;
	atomic_store(&hosts.a.daemon.ending, true);
	assert_int_equal(ask("migration", token), -1);
	assert_refused(ERROR_LINK, "connection lost");
	assert_int_equal(relay.connection_count, 1);
	close(there);
}

/* What anyone can do who reaches the port */

static void assert_client_closed(int fd)
{
	char bytes[4096];
	ssize_t got;

	do
		got = recv(fd, bytes, sizeof(bytes), 0);
	while (got > 0);
	assert_true(got == 0 || errno == ECONNRESET);
}

static void a_client_of_plain_text_is_closed(void **state)
{
	int fd = hosts_connect(&hosts);

	(void)state;
	assert_true(send(fd, "{\"execute\": \"ping\"}\n", 20, MSG_NOSIGNAL) > 0);
	shutdown(fd, SHUT_WR);
	assert_client_closed(fd);
	close(fd);
}

static void a_client_that_leaves_at_once_harms_nobody(void **state)
{
	int here;

	(void)state;
	close(hosts_connect(&hosts));
	here = ask("control", "");
	assert_true(here >= 0);
	close(here);
}

static void *flood(void *argument)
{
	static char garbage[65536];
	int fd = *(int *)argument;

	while (send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void a_client_that_floods_does_not_keep_the_worker(void **state)
{
	pthread_t thread;
	int fd = hosts_connect(&hosts);
	int here;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, flood, &fd), 0);
	here = ask("control", "");
	assert_true(here >= 0);
	/* It is closed however much it sends. */
	pthread_join(thread, NULL);
	close(here);
	close(fd);
}

static void of_connections_that_say_nothing_the_oldest_yields(void **state)
{
	int fds[STRANGERS_MOST + 2];
	struct pollfd third = {.events = POLLIN};

	(void)state;
	for (int i = 0; i < STRANGERS_MOST + 2; i++)
		fds[i] = hosts_connect(&hosts);
	assert_client_closed(fds[0]);
	assert_client_closed(fds[1]);
	third.fd = fds[2];
	assert_int_equal(poll(&third, 1, 0), 0);
	for (int i = 0; i < STRANGERS_MOST + 2; i++)
		close(fds[i]);
}

static void a_connection_that_was_refused_yields_before_any_other(void **state)
{
	int silent[STRANGERS_MOST - 1];
	struct pollfd oldest = {.events = POLLIN};
	int refused;
	int newer;

	(void)state;
	oldest.fd = silent[0] = hosts_connect(&hosts);
	refused = hosts_connect(&hosts);
	/* Refused, and stays: our side is not closed. */
	assert_true(send(refused, "{\"execute\": \"ping\"}\n", 20, MSG_NOSIGNAL) > 0);
	assert_client_closed(refused);
	for (int i = 1; i < STRANGERS_MOST - 1; i++)
		silent[i] = hosts_connect(&hosts);
	newer = hosts_connect(&hosts);
	assert_int_equal(poll(&oldest, 1, 200), 0);
	for (int i = 0; i < STRANGERS_MOST - 1; i++)
		close(silent[i]);
	close(newer);
	close(refused);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_RELAY(name) cmocka_unit_test_setup_teardown(name, set_up_relay, tear_down_relay)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_permitted_peer_reaches_what_was_offered),
		TEST(the_opener_learns_where_the_peer_is_and_who),
		TEST(an_identity_that_no_peer_has_is_refused),
		TEST(a_peer_that_may_not_migrate_is_refused),
		TEST(a_peer_that_may_not_migrate_keeps_no_token_either),
		TEST(an_unknown_service_is_refused),
		TEST(a_bad_token_is_refused),
		TEST(a_token_is_good_once),
		TEST(a_token_of_another_peer_is_refused),
		TEST(a_host_that_is_another_than_expected_is_left),
		TEST(a_host_that_stops_refuses),
		TEST(a_port_where_nobody_listens_is_named),
		TEST(the_next_address_is_tried_when_one_does_not_answer),
		TEST(the_next_address_is_not_tried_after_a_refusal),
		TEST(the_local_socket_is_closed_when_nothing_was_opened),
		TEST(a_control_channel_answers_a_ping),
		TEST(a_control_channel_refuses_an_unknown_command),
		TEST(steps_out_of_order_are_refused),
		TEST(a_lost_control_channel_says_whose),
		TEST_RELAY(a_channel_whose_answer_was_lost_is_resumed),
		TEST_RELAY(what_went_with_the_lost_answer_comes_again),
		TEST_RELAY(a_resume_whose_answer_is_lost_too_is_tried_again),
		TEST_RELAY(an_open_that_was_lost_is_sent_again_when_resuming_is_refused),
		TEST_RELAY(a_channel_that_was_resumed_late_can_be_resumed_again),
		TEST_RELAY(a_daemon_that_ends_does_not_ask_for_its_channel),
		TEST(a_client_of_plain_text_is_closed),
		TEST(a_client_that_leaves_at_once_harms_nobody),
		TEST(a_client_that_floods_does_not_keep_the_worker),
		TEST(of_connections_that_say_nothing_the_oldest_yields),
		TEST(a_connection_that_was_refused_yields_before_any_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
