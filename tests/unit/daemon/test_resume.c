/* A channel that outlives its link: channel.c, redial.c, channel_table.c and arrival.c over TCP and
 * TLS, with links that are cut and peers that ask for what is not theirs. */

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/channel.h"
#include "daemon/opening.h"
#include "hosts.h"

#define MIB          (1024u * 1024)
#define WINDOW_BYTES (2 * MIB)

enum { LONG_MS = 60000, SHORT_MS = 300 };

static struct hosts hosts;

/* Local programs and the channel between them */
struct line {
	struct channel *channel;
	int here;
	int there;
};

static struct line line;

static void set_deadline_ms(uint64_t resume_deadline_ms)
{
	hosts.a.peers[0].resume_deadline_ms = resume_deadline_ms;
	hosts.b.peers[0].resume_deadline_ms = resume_deadline_ms;
}

static void lay(void)
{
	char token[OFFER_TOKEN_CHARACTERS + 1];
	struct error err;
	int for_channel;

	line.there = hosts_offer(&hosts, token);
	hosts_local_pair(&for_channel, &line.here);
	line.channel = opening_run(
		&hosts.a.daemon, &hosts.a.peers[0], "migration", token, for_channel, NULL, &err);
	if (!line.channel)
		fail_msg("%s", err.message);
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
	lay();
	return 0;
}

/* For a deadline that is to pass */
static int set_up_short(void **state)
{
	set_up_hosts(state);
	set_deadline_ms(SHORT_MS);
	lay();
	return 0;
}

static void hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int tear_down(void **state)
{
	(void)state;
	hang_up(&line.here);
	hang_up(&line.there);
	if (line.channel)
		channel_put(line.channel);
	hosts_stop(&hosts);
	return 0;
}

/* A long message whose every byte tells its place, sent or checked by a thread */
struct transfer {
	pthread_t thread;
	int fd;
	size_t length;
	uint32_t seed;
	_Atomic size_t done; /* correct bytes */
};

static unsigned char byte_at(uint32_t seed, size_t place)
{
	return (unsigned char)((((uint32_t)place + seed) * 2654435761u) >> 24);
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

/* Both directions at once */
struct exchange {
	struct transfer out[2];
	struct transfer in[2];
};

static void start_exchange(struct exchange *exchange, size_t length)
{
	start(&exchange->out[0], send_all, line.here, length, 1);
	start(&exchange->in[0], receive_all, line.there, length, 1);
	start(&exchange->out[1], send_all, line.there, length, 77);
	start(&exchange->in[1], receive_all, line.here, length, 77);
}

static void assert_exchanged(struct exchange *exchange)
{
	for (int i = 0; i < 2; i++) {
		assert_done(&exchange->out[i]);
		assert_done(&exchange->in[i]);
	}
}

static void pause_ms(long ms)
{
	struct timespec pause = {.tv_nsec = ms * 1000000};

	nanosleep(&pause, NULL);
}

static void wait_for_bytes(struct transfer *transfer, size_t length)
{
	for (int waited_ms = 0; transfer->done < length; waited_ms++) {
		if (waited_ms == HOSTS_DEADLINE_MS)
			fail_msg("only %zu bytes have arrived", (size_t)transfer->done);
		pause_ms(1);
	}
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
	assert_int_equal(recv(fd, &(char){0}, 1, 0), 0);
}

/* The local socket is closed, not only its reading side. */
static void assert_closed(int fd)
{
	struct pollfd wanted = {.fd = fd};

	assert_int_equal(poll(&wanted, 1, HOSTS_DEADLINE_MS), 1);
	assert_true(wanted.revents & POLLHUP);
}

static void wait_until_ended(struct channel_progress *progress)
{
	for (int waited_ms = 0; waited_ms < HOSTS_DEADLINE_MS; waited_ms++) {
		channel_progress(line.channel, progress);
		if (progress->ended)
			return;
		pause_ms(1);
	}
	fail_msg("the channel has not ended");
}

static void assert_ended(enum error_code code, const char *says)
{
	struct channel_progress progress;

	wait_until_ended(&progress);
	if (progress.failure.code != code || !strstr(progress.failure.message, says))
		fail_msg(
			"%s: %s", error_code_name(progress.failure.code), progress.failure.message);
}

static uint64_t links_lost(void)
{
	struct channel_progress progress;

	channel_progress(line.channel, &progress);
	assert_false(progress.ended);
	return progress.links_lost;
}

static void wait_until_lost(uint64_t times)
{
	for (int waited_ms = 0; links_lost() < times; waited_ms++) {
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
	start_exchange(&exchange, 12 * MIB);
	wait_for_bytes(&exchange.in[0], 3 * MIB);
	hosts_cut(&hosts);
	assert_exchanged(&exchange);
	assert_int_equal(links_lost(), 1);
}

static void many_cuts_in_full_flow_are_not_seen(void **state)
{
	struct exchange exchange;

	(void)state;
	start_exchange(&exchange, 16 * MIB);
	for (size_t i = 0; i < 12; i++) {
		wait_for_bytes(&exchange.in[i % 2], i * MIB);
		hosts_cut(&hosts);
	}
	assert_exchanged(&exchange);
	assert_true(links_lost() > 1);
}

static void cuts_while_it_resumes_are_not_seen(void **state)
{
	struct exchange exchange;

	(void)state;
	start_exchange(&exchange, 4 * MIB);
	for (long i = 0; i < 60; i++) {
		pause_ms(1 + i % 9);
		hosts_cut(&hosts);
	}
	assert_exchanged(&exchange);
	/* An attempt that is cut counts as none. */
	assert_true(links_lost() >= 1);
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
	assert_ended(ERROR_NONE, "");
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
	hang_up(&line.there);
	assert_ended(ERROR_NONE, "");
}

static void a_program_that_goes_without_a_link_is_told_with_the_next(void **state)
{
	(void)state;
	strand();
	hang_up(&line.there);
	hosts_set_deaf(&hosts, false);
	(void)send(line.here, "page", 4, MSG_NOSIGNAL);
	assert_closed(line.here);
	assert_ended(ERROR_PEER, "the local program is gone");
}

static void past_the_deadline_both_sides_end(void **state)
{
	(void)state;
	assert_passes(line.here, line.there, "page");
	strand();
	assert_closed(line.here);
	assert_closed(line.there);
	assert_ended(ERROR_LINK, "no other to hostb within");
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
	assert_ended(ERROR_CANCELLED, "culvertd is stopping");
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
	assert_ended(ERROR_CANCELLED, "culvertd is stopping");
}

static void an_end_by_the_driver_needs_no_link(void **state)
{
	(void)state;
	strand();
	channel_end(line.channel);
	assert_closed(line.here);
	assert_ended(ERROR_CANCELLED, "ended by the migration");
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
	assert_ended(ERROR_LINK, "no such channel");
}

/* A peer that we play ourselves, frame by frame */
struct client {
	int fd;
	struct tls_stream *stream;
	struct handshake answer;
};

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

static void say(struct client *client, const void *bytes, size_t length)
{
	struct error err;

	assert_int_equal(tls_seal(client->stream, bytes, length, &err), 0);
	assert_int_equal(tls_flush(client->stream, &err), IO_OK);
}

/* @returns whether all of @wanted bytes came */
static bool hear(struct client *client, unsigned char *bytes, size_t wanted)
{
	struct error err;
	size_t length;

	for (size_t have = 0; have < wanted; have += length) {
		if (tls_read(client->stream, bytes + have, wanted - have, &length, &err) != IO_OK)
			return false;
	}
	return true;
}

/* Connect and say @answer's question. @returns how it was answered */
static enum handshake_state ask(struct client *client, struct tls_context *tls)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct error err;
	size_t length;
	const void *question = handshake_unsent(&client->answer, &length);

	client->fd = hosts_connect(&hosts);
	client->stream = tls_stream_new(tls, client->fd, false, &err);
	assert_non_null(client->stream);
	assert_int_equal(tls_handshake(client->stream, &err), IO_OK);
	say(client, question, length);
	while ((length = handshake_wants(&client->answer)) > 0) {
		assert_true(hear(client, bytes, length));
		assert_int_equal(handshake_receive(&client->answer, bytes, length, &err), 0);
	}
	return client->answer.state;
}

static void client_close(struct client *client)
{
	tls_stream_free(client->stream);
	close(client->fd);
}

/* @returns the program behind the channel */
static int client_open(struct client *client)
{
	struct open_message open = opened;
	int there = hosts_offer(&hosts, open.argument);

	handshake_init_opener(&client->answer, &open);
	assert_int_equal(ask(client, hosts.a.daemon.tls), HANDSHAKE_ACCEPTED);
	return there;
}

static enum handshake_state client_resume(
	struct client *client, struct tls_context *tls, const struct resume_message *resume)
{
	handshake_init_resumer(&client->answer, resume);
	return ask(client, tls);
}

static void client_says_data(struct client *client, uint64_t offset, const char *text)
{
	struct frame_header header = {
		.type = FRAME_DATA, .length = (uint32_t)strlen(text), .offset = offset};
	unsigned char frame[FRAME_HEADER_BYTES + 64];

	frame_header_encode(&header, frame);
	memcpy(frame + FRAME_HEADER_BYTES, text, strlen(text));
	say(client, frame, FRAME_HEADER_BYTES + strlen(text));
}

/* The next DATA is @text, at @offset; what else comes is left out. */
static void client_hears_data(struct client *client, uint64_t offset, const char *text)
{
	unsigned char bytes[FRAME_CONTROL_LONGEST_BYTES];
	struct frame_header header = {.type = FRAME_PONG};
	struct error err;

	while (header.type != FRAME_DATA) {
		assert_true(hear(client, bytes, FRAME_HEADER_BYTES));
		assert_int_equal(frame_header_decode(bytes, &header, &err), 0);
		assert_true(header.length <= sizeof(bytes));
		assert_true(hear(client, bytes, header.length));
	}
	assert_int_equal(header.offset, offset);
	assert_int_equal(header.length, strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
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

	assert_int_equal(client_resume(&client, tls, resume), HANDSHAKE_REFUSED);
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
	say(&client, ack, message_encode_limit(FRAME_ACK, 7, WINDOW_BYTES, ack));
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
	tls = tls_context_new(hosts.authority.file, other.certificate_file, other.key_file, &err);
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
		assert_int_equal(client_resume(&clients[i], hosts.a.daemon.tls, &resume),
			HANDSHAKE_ACCEPTED);
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
	assert_int_equal(client_resume(&second, hosts.a.daemon.tls, &resume), HANDSHAKE_ACCEPTED);
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
	assert_int_equal(client_resume(&second, hosts.a.daemon.tls, &resume), HANDSHAKE_ACCEPTED);
	while (hear(&first, &byte, 1))
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
	assert_int_equal(client_resume(&second, hosts.a.daemon.tls, &good), HANDSHAKE_ACCEPTED);
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
	assert_int_equal(client_resume(&other, hosts.a.daemon.tls, &resume), HANDSHAKE_REFUSED);
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
	assert_int_equal(client_resume(&second, hosts.a.daemon.tls, &good), HANDSHAKE_ACCEPTED);
	client_close(&first);
	client_close(&second);
	close(there);
}

enum { FLOOD_COUNT = 300 };

static void a_flood_of_bad_resumes_leaves_the_channel_unharmed(void **state)
{
	struct client clients[FLOOD_COUNT];
	struct resume_message resume = good;
	struct exchange exchange;
	struct client client;
	int there = client_talk(&client);

	(void)state;
	lay();
	start_exchange(&exchange, 2 * MIB);
	for (uint64_t i = 0; i < FLOOD_COUNT; i++) {
		resume.epoch = i + 1;
		resume.delivered = i % 2 ? 1000 : 0;
		resume.secret[0] = (unsigned char)i;
		assert_int_equal(
			client_resume(&clients[i], hosts.a.daemon.tls, &resume), HANDSHAKE_REFUSED);
	}
	for (size_t i = 0; i < FLOOD_COUNT; i++)
		client_close(&clients[i]);
	assert_exchanged(&exchange);
	assert_int_equal(links_lost(), 0);
	assert_unharmed(&client, there);
	client_close(&client);
	close(there);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_SHORT(name) cmocka_unit_test_setup_teardown(name, set_up_short, tear_down)
#define TEST_HOSTS(name) cmocka_unit_test_setup_teardown(name, set_up_hosts, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_cut_of_an_idle_channel_is_not_seen),
		TEST(a_cut_in_full_flow_is_not_seen),
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
		TEST(an_acceptor_that_forgot_the_channel_ends_it),
		TEST_HOSTS(an_unknown_channel_is_refused),
		TEST_HOSTS(a_wrong_secret_is_refused),
		TEST_HOSTS(an_epoch_that_does_not_rise_is_refused),
		TEST_HOSTS(a_position_ahead_of_what_was_sent_is_refused),
		TEST_HOSTS(the_largest_position_is_refused),
		TEST_HOSTS(a_position_behind_what_was_acknowledged_is_refused),
		TEST_HOSTS(another_peer_is_refused_what_is_not_its_own),
		TEST_HOSTS(a_resume_is_granted_at_any_worker),
		TEST_HOSTS(what_was_not_delivered_is_sent_again),
		TEST_HOSTS(the_old_link_is_left_for_the_new_one),
		TEST_HOSTS(an_epoch_is_granted_once),
		TEST_HOSTS(another_version_is_refused),
		TEST_HOSTS(a_host_that_stops_still_grants_a_resume),
		TEST_HOSTS(a_flood_of_bad_resumes_leaves_the_channel_unharmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
