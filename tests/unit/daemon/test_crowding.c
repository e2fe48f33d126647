/* What a peer that takes all it can get takes from others: arrival.c, link.c and channel.c. */

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "client.h"
#include "line.h"

static struct hosts hosts;

/* The descriptors of all three, the peer and both daemons, are this process's. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int set_up(void **state)
{
	(void)state;
	raise_descriptor_limit();
	hosts_start(&hosts);
	hosts.b.peers[0].resume_deadline_ms = 60000;
	return 0;
}

/* Each client opens a channel of its own. */
static enum handshake_state ask(struct client *client, struct tls_context *tls, uint32_t number,
	int *there, struct open_message *open)
{
	*open = (struct open_message){
		.version = PROTOCOL_VERSION, .limit = WINDOW_BYTES, .service = "migration"};
	memcpy(open->id, &number, sizeof(number));
	*there = hosts_offer(&hosts, open->argument);
	handshake_init_opener(&client->answer, open);
	return client_ask(client, &hosts, tls);
}

static int client_open(struct client *client, uint32_t number)
{
	struct open_message open;
	int there;

	assert_int_equal(
		ask(client, hosts.a.daemon.tls, number, &there, &open), HANDSHAKE_ACCEPTED);
	return there;
}

/* One channel with more to read in each pass: more of these than processors, so that its worker
 * never catches up */
enum { FLOODERS = 4 };

static struct flooder {
	struct client client;
	int there;
	pthread_t thread;
} flooders[FLOODERS];

static atomic_bool flooded;

static void *flood(void *argument)
{
	struct flooder *flooder = argument;
	struct tls_stream *stream = flooder->client.stream;
	struct pollfd room = {.fd = flooder->client.fd, .events = POLLOUT};
	unsigned char ping[MESSAGE_LONGEST_BYTES];
	size_t length = message_encode_empty(FRAME_PING, 0, ping);
	struct error err;

	while (atomic_load(&flooded)) {
		enum io_result result;

		while (tls_seal_room(stream) >= 2 * MESSAGE_LONGEST_BYTES &&
			tls_seal(stream, ping, length, &err) == 0)
			;
		result = tls_flush(stream, &err);
		if (result == IO_FAILED)
			break;
		if (result == IO_AGAIN)
			(void)poll(&room, 1, 10);
	}
	return NULL;
}

static int set_up_flood(void **state)
{
	set_up(state);
	for (uint32_t i = 0; i < FLOODERS; i++)
		flooders[i].there = client_open(&flooders[i].client, i);
	atomic_store(&flooded, true);
	for (size_t i = 0; i < FLOODERS; i++)
		assert_int_equal(pthread_create(&flooders[i].thread, NULL, flood, &flooders[i]), 0);
	pause_ms(200);
	return 0;
}

static int tear_down_flood(void **state)
{
	(void)state;
	atomic_store(&flooded, false);
	for (size_t i = 0; i < FLOODERS; i++) {
		pthread_join(flooders[i].thread, NULL);
		client_close(&flooders[i].client);
		close(flooders[i].there);
	}
	hosts_stop(&hosts);
	return 0;
}

static void wait_for(atomic_bool *flag)
{
	for (int waited_ms = 0; !atomic_load(flag); waited_ms++) {
		if (waited_ms == HOSTS_DEADLINE_MS / 4)
			fail_msg("the worker does nothing but read of one channel");
		pause_ms(1);
	}
}

static void set_flag(void *argument)
{
	atomic_store((atomic_bool *)argument, true);
}

static void a_flood_of_tiny_records_leaves_what_is_posted_to_its_worker_alone(void **state)
{
	static atomic_bool done;

	(void)state;
	atomic_store(&done, false);
	assert_true(loop_post(hosts.b.daemon.workers[0]->loop, set_flag, &done));
	wait_for(&done);
}

struct alarm {
	uv_timer_t timer;
	atomic_bool rung;
	atomic_bool closed;
};

static void on_alarm_closed(uv_handle_t *timer)
{
	atomic_store(&((struct alarm *)timer->data)->closed, true);
}

static void ring(uv_timer_t *timer)
{
	atomic_store(&((struct alarm *)timer->data)->rung, true);
	uv_close((uv_handle_t *)timer, on_alarm_closed);
}

static void set_alarm(void *argument)
{
	struct alarm *alarm = argument;

	uv_timer_init(loop_uv(hosts.b.daemon.workers[0]->loop), &alarm->timer);
	alarm->timer.data = alarm;
	uv_timer_start(&alarm->timer, ring, 20, 0);
}

static void a_flood_of_tiny_records_leaves_the_timers_of_its_worker_alone(void **state)
{
	static struct alarm alarm;

	(void)state;
	assert_true(loop_post(hosts.b.daemon.workers[0]->loop, set_alarm, &alarm));
	wait_for(&alarm.rung);
	wait_for(&alarm.closed);
}

static void a_flood_of_tiny_records_leaves_other_channels_of_its_worker_alone(void **state)
{
	uint64_t began_ms = clock_now_ms();
	struct line line;

	(void)state;
	line_lay(&line, &hosts);
	assert_passes(line.here, line.there, "page");
	assert_passes(line.there, line.here, "request");
	assert_in_range(clock_now_ms() - began_ms, 0, HOSTS_DEADLINE_MS / 4);
	assert_int_equal(line_links_lost(&line), 0);
	line_take_away(&line);
}

static int tear_down(void **state)
{
	(void)state;
	hosts_stop(&hosts);
	return 0;
}

/* @returns a peer of the second host that has opened nothing yet */
static struct tls_context *another_peer(struct credential *credential)
{
	struct tls_context *tls;
	struct error err;

	authority_issue(&hosts.authority, "hostc",
		&(struct certificate_plan){.dns = "hostc.example"}, credential);
	tls = tls_context_new(TLS_OPENER | TLS_ACCEPTOR, hosts.authority.file,
		credential->certificate_file, credential->key_file, &err);
	assert_non_null(tls);
	return tls;
}

/* The peer "hosta" has all the channels it may have: one, in so many places of the table. */
static struct channel *fill_table(const struct open_message *open)
{
	struct resume_message resume = {0};
	struct open_message other = *open;
	struct channel *channel;

	memcpy(resume.id, open->id, sizeof(resume.id));
	channel = channel_table_find(hosts.b.daemon.channels, &resume, "hosta");
	assert_non_null(channel);
	for (uint32_t i = 1; i < CHANNELS_OF_PEER_MOST; i++) {
		memcpy(other.id, &i, sizeof(i));
		assert_int_equal(
			channel_table_add(hosts.b.daemon.channels, &other, "hosta", channel), 0);
	}
	return channel;
}

static void a_peer_has_so_many_channels_and_no_more(void **state)
{
	struct open_message open;
	struct credential credential;
	struct tls_context *tls;
	struct client clients[4];
	struct channel *channel;
	int there[4];

	(void)state;
	tls = another_peer(&credential);
	assert_int_equal(
		ask(&clients[0], hosts.a.daemon.tls, 0, &there[0], &open), HANDSHAKE_ACCEPTED);
	channel = fill_table(&open);
	assert_int_equal(ask(&clients[1], hosts.a.daemon.tls, 1u << 20, &there[1], &open),
		HANDSHAKE_REFUSED);
	assert_int_equal(clients[1].answer.refusal.reason, REASON_TOO_MANY);
	/* Others have their own; this one is refused for want of a token of its own. */
	assert_int_equal(ask(&clients[2], tls, 2u << 20, &there[2], &open), HANDSHAKE_REFUSED);
	assert_int_equal(clients[2].answer.refusal.reason, REASON_NO_SERVICE);
	channel_table_remove(hosts.b.daemon.channels, channel);
	assert_int_equal(ask(&clients[3], hosts.a.daemon.tls, 3u << 20, &there[3], &open),
		HANDSHAKE_ACCEPTED);
	for (size_t i = 0; i < 4; i++) {
		client_close(&clients[i]);
		close(there[i]);
	}
	channel_put(channel);
	tls_context_free(tls);
	credential_fini(&credential);
}

enum { BEYOND = 40 };

static void connections_that_a_worker_has_not_come_to_are_bounded(void **state)
{
	int fds[STRANGERS_MOST + BEYOND];
	static struct standstill standstill;

	(void)state;
	standstill_begin(&standstill, hosts.b.daemon.workers[0]);
	for (size_t i = 0; i < STRANGERS_MOST + BEYOND; i++)
		fds[i] = hosts_connect(&hosts);
	/* ... but for the newest, which the hosts of this test hold, too */
	for (size_t i = STRANGERS_MOST; i < STRANGERS_MOST + BEYOND - 1; i++)
		assert_end(fds[i]);
	for (size_t i = 0; i < STRANGERS_MOST; i++)
		assert_int_equal(recv(fds[i], &(char){0}, 1, MSG_DONTWAIT), -1);
	standstill_end(&standstill);
	for (size_t i = 0; i < STRANGERS_MOST + BEYOND; i++)
		close(fds[i]);
	/* They are counted out as they were counted in. */
	for (int waited_ms = 0; atomic_load(&hosts.b.daemon.workers[0]->arrival_count) > 0;
		waited_ms++) {
		assert_true(waited_ms < HOSTS_DEADLINE_MS);
		pause_ms(1);
	}
}

struct census {
	struct worker *worker;
	atomic_size_t count;
};

static void count_strangers(void *argument)
{
	struct census *census = argument;

	atomic_store(&census->count, census->worker->strangers.count);
}

static void wait_for_strangers(size_t count)
{
	static struct census census;

	census.worker = hosts.b.daemon.workers[0];
	atomic_store(&census.count, 0);
	for (int waited_ms = 0; atomic_load(&census.count) < count; waited_ms++) {
		assert_true(waited_ms < HOSTS_DEADLINE_MS);
		assert_true(loop_post(census.worker->loop, count_strangers, &census));
		pause_ms(1);
	}
}

static void links_that_have_carried_a_channel_make_room_for_new_ones(void **state)
{
	static struct client clients[STRANGERS_MOST];
	struct reason_message enough = {.reason = REASON_ENDED, .text = "enough"};
	unsigned char reset[MESSAGE_LONGEST_BYTES];
	size_t length = message_encode_reason(FRAME_RESET, &enough, reset);
	int there[STRANGERS_MOST];
	struct client late;
	int there_late;

	(void)state;
	hosts.b.peers[0].silence_timeout_ms = 60000;
	for (uint32_t i = 0; i < STRANGERS_MOST; i++)
		there[i] = client_open(&clients[i], i);
	for (size_t i = 0; i < STRANGERS_MOST; i++)
		client_say(&clients[i], reset, length);
	/* Nobody of them leaves the link. */
	wait_for_strangers(STRANGERS_MOST);
	there_late = client_open(&late, STRANGERS_MOST);
	client_close(&late);
	close(there_late);
	for (size_t i = 0; i < STRANGERS_MOST; i++) {
		client_close(&clients[i]);
		close(there[i]);
	}
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_FLOOD(name) cmocka_unit_test_setup_teardown(name, set_up_flood, tear_down_flood)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_FLOOD(a_flood_of_tiny_records_leaves_what_is_posted_to_its_worker_alone),
		TEST_FLOOD(a_flood_of_tiny_records_leaves_the_timers_of_its_worker_alone),
		TEST_FLOOD(a_flood_of_tiny_records_leaves_other_channels_of_its_worker_alone),
		TEST(a_peer_has_so_many_channels_and_no_more),
		TEST(connections_that_a_worker_has_not_come_to_are_bounded),
		TEST(links_that_have_carried_a_channel_make_room_for_new_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
