/* Who may resume a channel, and who may not: arrival.c, channel_table.c and channel.c against a
 * peer that asks for what it should not. */

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "line.h"

static struct hosts hosts;

static const struct open_message opened = {.version = PROTOCOL_VERSION,
	.id = "this is its id.",
	.secret = "this is its secret, of 32 bytes",
	.limit = WINDOW_BYTES,
	.service = "migration"};

static const struct resume_message good = {.version = PROTOCOL_VERSION,
	.id = "this is its id.",
	.secret = "this is its secret, of 32 bytes",
	.delivered = 0,
	.limit = WINDOW_BYTES,
	.epoch = 10};

static int set_up(void **state)
{
	(void)state;
	hosts_start(&hosts);
	host_add_worker(&hosts.b);
	hosts.b.peers[0].resume_deadline_ms = 60000;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	hosts_stop(&hosts);
	return 0;
}

/* @returns the program behind the channel */
static int client_open(struct client *client)
{
	struct open_message open = opened;
	int there = hosts_offer(&hosts, open.argument);

	handshake_init_opener(&client->answer, &open);
	assert_int_equal(client_ask(client, &hosts, hosts.a.daemon.tls), HANDSHAKE_ACCEPTED);
	return there;
}

static enum handshake_state resume_over(
	struct client *client, struct tls_context *tls, const struct resume_message *resume)
{
	handshake_init_resumer(&client->answer, resume);
	return client_ask(client, &hosts, tls);
}

static void program_reads(int fd, const char *text)
{
	char got[64] = "";

	assert_int_equal(recv(fd, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
	assert_string_equal(got, text);
}

/* A channel of ours is open, and bytes have passed both ways: 4 from us, 7 to us. */
static int client_talk(struct client *client)
{
	int there = client_open(client);

	client_says_data(client, 0, "page");
	program_reads(there, "page");
	assert_int_equal(send(there, "request", 7, MSG_NOSIGNAL), 7);
	client_hears_data(client, 0, "request");
	return there;
}

/* It is as before: what follows passes over the same link. */
static void assert_unharmed(struct client *client, int there)
{
	client_says_data(client, 4, "more");
	program_reads(there, "more");
	assert_int_equal(send(there, "again", 5, MSG_NOSIGNAL), 5);
	client_hears_data(client, 7, "again");
}

static void assert_nothing_revealed(struct tls_context *tls, const struct resume_message *resume)
{
	struct client client;

	assert_int_equal(resume_over(&client, tls, resume), HANDSHAKE_REFUSED);
	assert_int_equal(client.answer.refusal.reason, REASON_NO_SERVICE);
	assert_string_equal(client.answer.refusal.text, "no such channel");
	client_close(&client);
}

/* @resume of the first host is refused, and the channel that it names goes on. */
static void assert_refused(const struct resume_message *resume)
{
	struct client client;
	int there = client_talk(&client);

	/* At both workers */
	assert_nothing_revealed(hosts.a.daemon.tls, resume);
	assert_nothing_revealed(hosts.a.daemon.tls, resume);
	assert_unharmed(&client, there);
	client_close(&client);
	close(there);
}

static void an_unknown_channel_is_refused(void **state)
{
	struct resume_message resume = good;

	(void)state;
	resume.id[CHANNEL_ID_BYTES - 1] ^= 1;
	assert_refused(&resume);
}

static void a_wrong_secret_is_refused(void **state)
{
	struct resume_message resume = good;

	(void)state;
	resume.secret[CHANNEL_SECRET_BYTES - 1] ^= 1;
	assert_refused(&resume);
}

static void an_epoch_that_does_not_rise_is_refused(void **state)
{
	struct resume_message resume = good;

	(void)state;
	resume.epoch = 0;
	assert_refused(&resume);
}

static void a_position_ahead_of_what_was_sent_is_refused(void **state)
{
	struct resume_message resume = good;

	(void)state;
	resume.delivered = 8;
	assert_refused(&resume);
}

static void the_largest_position_is_refused(void **state)
{
	struct resume_message resume = good;

	(void)state;
	resume.delivered = UINT64_MAX;
	assert_refused(&resume);
}

static void a_position_behind_what_was_acknowledged_is_refused(void **state)
{
	unsigned char ack[MESSAGE_LONGEST_BYTES];
	struct client client;
	int there = client_talk(&client);

	(void)state;
	client_say(&client, ack, message_encode_limit(FRAME_ACK, 7, WINDOW_BYTES, ack));
	/* What comes after the ACK has come when this has. */
	client_says_data(&client, 4, "!");
	program_reads(there, "!");
	assert_nothing_revealed(hosts.a.daemon.tls, &good);
	assert_nothing_revealed(hosts.a.daemon.tls, &good);
	client_says_data(&client, 5, "more");
	program_reads(there, "more");
	client_close(&client);
	close(there);
}

static void another_peer_is_refused_what_is_not_its_own(void **state)
{
	struct client client;
	struct credential other;
	struct tls_context *tls;
	struct error err;
	int there = client_talk(&client);

	(void)state;
	authority_issue(&hosts.authority, "hostc",
		&(struct certificate_plan){.dns = "hostc.example"}, &other);
	tls = tls_context_new(TLS_OPENER | TLS_ACCEPTOR, hosts.authority.file,
		other.certificate_file, other.key_file, &err);
	assert_non_null(tls);
	assert_nothing_revealed(tls, &good);
	assert_nothing_revealed(tls, &good);
	assert_unharmed(&client, there);
	tls_context_free(tls);
	credential_fini(&other);
	client_close(&client);
	close(there);
}

/* Whichever worker the connection comes to: one of both is not the channel's. */
static void a_resume_is_granted_at_any_worker(void **state)
{
	struct resume_message resume = good;
	struct client clients[4];
	int there = client_talk(&clients[0]);
	uint64_t passed = 4;

	(void)state;
	resume.delivered = 7;
	for (size_t i = 1; i < 4; i++) {
		resume.epoch = 10 + i;
		assert_int_equal(
			resume_over(&clients[i], hosts.a.daemon.tls, &resume), HANDSHAKE_ACCEPTED);
		assert_int_equal(clients[i].answer.peer_delivered, passed);
		client_says_data(&clients[i], passed, "page");
		program_reads(there, "page");
		passed += 4;
	}
	for (size_t i = 0; i < 4; i++)
		client_close(&clients[i]);
	close(there);
}

static void what_was_not_delivered_is_sent_again(void **state)
{
	struct resume_message resume = good;
	struct client first;
	struct client second;
	int there = client_talk(&first);

	(void)state;
	resume.delivered = 3;
	assert_int_equal(resume_over(&second, hosts.a.daemon.tls, &resume), HANDSHAKE_ACCEPTED);
	client_hears_data(&second, 0, "request");
	client_close(&first);
	client_close(&second);
	close(there);
}

static void the_old_link_is_left_for_the_new_one(void **state)
{
	struct resume_message resume = good;
	struct client first;
	struct client second;
	unsigned char byte;
	int there = client_talk(&first);

	(void)state;
	assert_int_equal(resume_over(&second, hosts.a.daemon.tls, &resume), HANDSHAKE_ACCEPTED);
	while (client_hear(&first, &byte, 1))
		;
	client_close(&first);
	client_close(&second);
	close(there);
}

static void an_epoch_is_granted_once(void **state)
{
	struct client first;
	struct client second;
	int there = client_talk(&first);

	(void)state;
	assert_int_equal(resume_over(&second, hosts.a.daemon.tls, &good), HANDSHAKE_ACCEPTED);
	assert_nothing_revealed(hosts.a.daemon.tls, &good);
	client_says_data(&second, 4, "more");
	program_reads(there, "more");
	client_close(&first);
	client_close(&second);
	close(there);
}

static void another_version_is_refused(void **state)
{
	struct resume_message resume = good;
	struct client client;
	struct client other;
	int there = client_talk(&client);

	(void)state;
	resume.version = PROTOCOL_VERSION + 1;
	assert_int_equal(resume_over(&other, hosts.a.daemon.tls, &resume), HANDSHAKE_REFUSED);
	assert_int_equal(other.answer.refusal.reason, REASON_VERSION);
	assert_unharmed(&client, there);
	client_close(&other);
	client_close(&client);
	close(there);
}

static void a_host_that_stops_still_grants_a_resume(void **state)
{
	struct client first;
	struct client second;
	int there = client_talk(&first);

	(void)state;
	atomic_store(&hosts.b.daemon.stopping, true);
	assert_int_equal(resume_over(&second, hosts.a.daemon.tls, &good), HANDSHAKE_ACCEPTED);
	client_close(&first);
	client_close(&second);
	close(there);
}

/* @returns the accepted channel, held */
static struct channel *find_accepted(void)
{
	struct channel *channel = channel_table_find(hosts.b.daemon.channels, &good, "hosta");

	assert_non_null(channel);
	return channel;
}

/* What comes next, when all else is left out, is a RESET. */
static void assert_reset(struct client *client)
{
	static unsigned char bytes[FRAME_HEADER_BYTES + FRAME_DATA_LONGEST_BYTES];
	struct frame_header header = {.type = FRAME_PONG};
	struct error err;

	while (header.type != FRAME_RESET) {
		assert_true(client_hear(client, bytes, FRAME_HEADER_BYTES));
		assert_int_equal(frame_header_decode(bytes, &header, &err), 0);
		assert_true(client_hear(client, bytes, header.length));
	}
}

static void await_link_lost(struct channel *channel)
{
	struct channel_progress progress = {0};

	for (int waited_ms = 0; progress.links_lost == 0; waited_ms++) {
		assert_true(waited_ms < 5000);
		pause_ms(1);
		channel_progress(channel, &progress);
	}
}

static void an_acceptor_that_ended_without_a_link_tells_it_over_the_next(void **state)
{
	struct resume_message resume = good;
	struct client first;
	struct client second;
	int there = client_talk(&first);
	struct channel *channel = find_accepted();

	(void)state;
	client_close(&first);
	await_link_lost(channel);
	channel_end(channel);
	assert_closed(there);
	resume.delivered = 7;
	assert_int_equal(resume_over(&second, hosts.a.daemon.tls, &resume), HANDSHAKE_ACCEPTED);
	assert_reset(&second);
	client_close(&second);
	channel_put(channel);
	close(there);
}

static void an_end_is_told_when_the_link_is_full(void **state)
{
	unsigned char ack[MESSAGE_LONGEST_BYTES];
	struct transfer out = {.seed = 1};
	struct client client;
	int there = client_talk(&client);
	struct channel *channel = find_accepted();

	(void)state;
	client_say(&client, ack, message_encode_limit(FRAME_ACK, 7, 64 * MIB, ack));
	transfer_start(&out, transfer_send, there, 64 * MIB, 1);
	/* Nobody reads here: what the kernel holds for the link is soon all there is room for. */
	pause_ms(500);
	channel_end(channel);
	pthread_join(out.thread, NULL);
	assert_reset(&client);
	client_close(&client);
	channel_put(channel);
	close(there);
}

enum { FLOOD_COUNT = 300 };

static void a_flood_of_bad_resumes_leaves_the_channel_unharmed(void **state)
{
	struct client clients[FLOOD_COUNT];
	struct resume_message resume = good;
	struct exchange exchange;
	struct client client;
	struct line line;
	int there = client_talk(&client);

	(void)state;
	line_lay(&line, &hosts);
	exchange_start(&exchange, &line, 2 * MIB);
	for (uint64_t i = 0; i < FLOOD_COUNT; i++) {
		resume.epoch = i + 1;
		resume.delivered = i % 2 ? 1000 : 0;
		resume.secret[0] = (unsigned char)(i % 'a');
		assert_int_equal(
			resume_over(&clients[i], hosts.a.daemon.tls, &resume), HANDSHAKE_REFUSED);
		client_pings(&client);
	}
	for (size_t i = 0; i < FLOOD_COUNT; i++)
		client_close(&clients[i]);
	assert_unharmed(&client, there);
	exchange_assert_done(&exchange);
	assert_int_equal(line_links_lost(&line), 0);
	line_take_away(&line);
	/* The epochs of the flood do not count. */
	assert_int_equal(resume_over(&clients[0], hosts.a.daemon.tls, &good), HANDSHAKE_ACCEPTED);
	client_close(&clients[0]);
	client_close(&client);
	close(there);
}

enum { MOVING_COUNT = 60 };

/* Half of them come to the worker that is not the channel's. */
static void stop_while_links_move(void)
{
	struct client clients[MOVING_COUNT];
	struct client client;
	int there = client_talk(&client);

	for (size_t i = 0; i < MOVING_COUNT; i++) {
		handshake_init_resumer(&clients[i].answer, &good);
		client_connect(&clients[i], &hosts, hosts.a.daemon.tls);
	}
	hosts_set_deaf(&hosts, true);
	for (size_t i = 0; i < MOVING_COUNT; i++)
		client_put_question(&clients[i]);
	host_stop_worker(&hosts.b);
	for (size_t i = 0; i < MOVING_COUNT; i++)
		client_close(&clients[i]);
	client_close(&client);
	close(there);
}

static void workers_stop_while_links_move_to_the_first(void **state)
{
	(void)state;
	stop_while_links_move();
}

static void workers_stop_while_links_move_to_the_second(void **state)
{
	(void)state;
	/* Workers take connections in turn. */
	close(hosts_connect(&hosts));
	stop_while_links_move();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_unknown_channel_is_refused),
		TEST(a_wrong_secret_is_refused),
		TEST(an_epoch_that_does_not_rise_is_refused),
		TEST(a_position_ahead_of_what_was_sent_is_refused),
		TEST(the_largest_position_is_refused),
		TEST(a_position_behind_what_was_acknowledged_is_refused),
		TEST(another_peer_is_refused_what_is_not_its_own),
		TEST(a_resume_is_granted_at_any_worker),
		TEST(what_was_not_delivered_is_sent_again),
		TEST(the_old_link_is_left_for_the_new_one),
		TEST(an_epoch_is_granted_once),
		TEST(another_version_is_refused),
		TEST(a_host_that_stops_still_grants_a_resume),
		TEST(an_acceptor_that_ended_without_a_link_tells_it_over_the_next),
		TEST(an_end_is_told_when_the_link_is_full),
		TEST(workers_stop_while_links_move_to_the_first),
		TEST(workers_stop_while_links_move_to_the_second),
		TEST(a_flood_of_bad_resumes_leaves_the_channel_unharmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
