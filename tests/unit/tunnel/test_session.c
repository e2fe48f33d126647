/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tunnel/session.h"

enum { WINDOW = 1000, HEARTBEAT_MS = 500, SILENCE_MS = 3000, ROUND_FIRST_MS = 5 };

static const struct session_settings settings = {.replay_bytes = 4 * CHUNK_BYTES,
	.window = {.least_bytes = WINDOW, .most_bytes = WINDOW},
	.heartbeat_ms = HEARTBEAT_MS,
	.silence_ms = SILENCE_MS};

struct fixture {
	struct chunk_pool pool;
	struct session session;
	uint64_t now_ms;
	struct error err;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->now_ms = 10000;
	chunk_pool_init(&fixture->pool);
	session_init(&fixture->session, &settings, &fixture->pool, WINDOW, fixture->now_ms);
	*state = fixture;
	return 0;
}

static void see_round(struct fixture *fixture, uint64_t round_ms);

/* The first PING is answered. */
static int set_up_seen(void **state)
{
	set_up(state);
	see_round(*state, 0);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	session_fini(&fixture->session);
	chunk_pool_fini(&fixture->pool);
	free(fixture);
	return 0;
}

static int receive(struct fixture *fixture, enum frame_type type, uint64_t offset,
	const void *payload, size_t length)
{
	unsigned char bytes[FRAME_HEADER_BYTES + 2 * WINDOW];
	struct frame_header header = {.type = type, .length = (uint32_t)length, .offset = offset};

	frame_header_encode(&header, bytes);
	memcpy(bytes + FRAME_HEADER_BYTES, payload, length);
	return session_receive(&fixture->session, bytes, FRAME_HEADER_BYTES + length,
		fixture->now_ms, &fixture->err);
}

static int receive_ack(struct fixture *fixture, uint64_t offset, uint64_t limit)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	size_t length = message_encode_limit(FRAME_ACK, offset, limit, bytes);

	return session_receive(&fixture->session, bytes, length, fixture->now_ms, &fixture->err);
}

static void receive_text(struct fixture *fixture, uint64_t offset, const char *text)
{
	assert_int_equal(receive(fixture, FRAME_DATA, offset, text, strlen(text)), 0);
}

/* The type of the first frame that is to be sent, or 0 */
static int peek(struct fixture *fixture, struct frame_view *view)
{
	size_t length;
	const unsigned char *frame = session_unsent(&fixture->session, &length);

	if (!frame)
		return 0;
	assert_int_equal(frame_header_decode(frame, &view->header, &fixture->err), 0);
	view->payload = frame + FRAME_HEADER_BYTES;
	return (int)view->header.type;
}

static int send(struct fixture *fixture, struct frame_view *view)
{
	int type = peek(fixture, view);

	if (type)
		session_sent(&fixture->session);
	return type;
}

static void take(struct fixture *fixture, const char *text)
{
	size_t length;
	void *space = session_space(&fixture->session, &length);

	assert_non_null(space);
	assert_true(length >= strlen(text));
	memcpy(space, text, strlen(text));
	session_take(&fixture->session, strlen(text));
}

static void advance(struct fixture *fixture, uint64_t ms)
{
	fixture->now_ms += ms;
	assert_int_equal(session_tick(&fixture->session, fixture->now_ms, &fixture->err), 0);
}

static void see_round(struct fixture *fixture, uint64_t round_ms)
{
	struct frame_view view;

	advance(fixture, ROUND_FIRST_MS);
	assert_int_equal(send(fixture, &view), FRAME_PING);
	fixture->now_ms += round_ms;
	assert_int_equal(receive(fixture, FRAME_PONG, view.header.offset, "", 0), 0);
}

static void no_byte_is_taken_beyond_the_peers_limit(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	assert_non_null(session_space(&fixture->session, &length));
	assert_int_equal(length, WINDOW);
	session_take(&fixture->session, WINDOW);
	assert_false(session_wants_local(&fixture->session));
	assert_null(session_space(&fixture->session, &length));
}

static void a_raised_limit_lets_more_be_taken(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	session_space(&fixture->session, &length);
	session_take(&fixture->session, WINDOW);
	assert_int_equal(receive_ack(fixture, 0, WINDOW + WINDOW), 0);
	assert_true(session_wants_local(&fixture->session));
	assert_non_null(session_space(&fixture->session, &length));
	assert_int_equal(length, WINDOW);
}

static void a_small_rest_of_a_window_waits_for_the_ack_that_is_owed(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	session_space(&fixture->session, &length);
	session_take(&fixture->session, WINDOW);
	while (session_unsent(&fixture->session, &length))
		session_sent(&fixture->session);
	assert_int_equal(receive_ack(fixture, 1, WINDOW + 1), 0);
	assert_false(session_wants_local(&fixture->session));
	assert_null(session_space(&fixture->session, &length));
	/* Nothing is owed: what there is, is taken. */
	assert_int_equal(receive_ack(fixture, WINDOW, WINDOW + 1), 0);
	assert_non_null(session_space(&fixture->session, &length));
	assert_int_equal(length, 1);
}

static void the_largest_limit_does_not_wrap(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	assert_int_equal(receive_ack(fixture, 0, UINT64_MAX), 0);
	assert_non_null(session_space(&fixture->session, &length));
	assert_int_equal(length, FRAME_DATA_LONGEST_BYTES);
}

static void the_end_passes_at_the_limit(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;
	size_t length;

	session_space(&fixture->session, &length);
	session_take(&fixture->session, WINDOW);
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	assert_int_equal(session_take_eof(&fixture->session), 0);
	assert_int_equal(send(fixture, &view), FRAME_EOF);
	assert_int_equal(view.header.offset, WINDOW);
	assert_null(session_space(&fixture->session, &length));
}

static void a_limit_that_runs_backwards_is_refused(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(receive_ack(fixture, 0, WINDOW - 1), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void an_ack_of_what_was_not_sent_is_refused(void **state)
{
	struct fixture *fixture = *state;

	take(fixture, "hello");
	assert_int_equal(receive_ack(fixture, 5, WINDOW), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void what_is_not_delivered_is_not_acknowledged(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	receive_text(fixture, 0, "hello");
	advance(fixture, 400);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_delivery_is_acknowledged_within_20_ms(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;
	uint64_t limit;

	receive_text(fixture, 0, "hello");
	session_delivered(&fixture->session, 3, fixture->now_ms);
	assert_int_equal(peek(fixture, &view), 0);
	assert_int_equal(session_next_ms(&fixture->session), fixture->now_ms + 20);
	advance(fixture, 20);
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(view.header.offset, 3);
	assert_int_equal(message_decode_limit(&view, &limit, &fixture->err), 0);
	assert_int_equal(limit, WINDOW + 3);
	assert_int_equal(peek(fixture, &view), 0);
}

static void half_of_a_small_window_is_acknowledged_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;
	char much[WINDOW] = {0};

	assert_int_equal(receive(fixture, FRAME_DATA, 0, much, WINDOW), 0);
	session_delivered(&fixture->session, WINDOW / 2 - 1, fixture->now_ms);
	assert_int_equal(peek(fixture, &view), 0);
	session_delivered(&fixture->session, 1, fixture->now_ms);
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(view.header.offset, WINDOW / 2);
}

static void a_delivered_end_is_acknowledged_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(receive(fixture, FRAME_EOF, 0, "", 0), 0);
	assert_true(session_eof_due(&fixture->session));
	session_delivered_eof(&fixture->session, fixture->now_ms);
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(view.header.offset, 1);
}

static void an_ack_goes_before_data(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	take(fixture, "hello");
	assert_int_equal(receive(fixture, FRAME_EOF, 0, "", 0), 0);
	session_delivered_eof(&fixture->session, fixture->now_ms);
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(send(fixture, &view), FRAME_DATA);
}

static void an_ack_that_waits_for_the_link_does_not_spin_the_timer(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(receive(fixture, FRAME_EOF, 0, "", 0), 0);
	session_delivered_eof(&fixture->session, fixture->now_ms);
	assert_true(session_next_ms(&fixture->session) > fixture->now_ms);
}

static void bytes_beyond_the_window_are_refused(void **state)
{
	struct fixture *fixture = *state;
	char much[WINDOW + 1] = {0};

	assert_int_equal(receive(fixture, FRAME_DATA, 0, much, WINDOW + 1), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void a_frame_of_the_handshake_is_refused(void **state)
{
	struct fixture *fixture = *state;
	static const char payload[66];

	assert_int_equal(receive(fixture, FRAME_RESUME, 0, payload, 66), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void a_failure_is_for_good(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(receive(fixture, FRAME_DATA, 1, "x", 1), -1);
	assert_int_equal(receive(fixture, FRAME_DATA, 0, "x", 1), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void a_ping_is_answered_with_its_value(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(receive(fixture, FRAME_PING, 0xabcdef, "", 0), 0);
	assert_int_equal(send(fixture, &view), FRAME_PONG);
	assert_int_equal(view.header.offset, 0xabcdef);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_flood_of_pings_is_answered_once(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(receive(fixture, FRAME_PING, i, "", 0), 0);
	assert_int_equal(send(fixture, &view), FRAME_PONG);
	assert_int_equal(view.header.offset, 999);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_rate_is_asked_for_once_and_again_when_it_changes(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	session_ask_rate(&fixture->session, RATE_UNLIMITED);
	assert_int_equal(peek(fixture, &view), 0);
	session_ask_rate(&fixture->session, 5000);
	session_ask_rate(&fixture->session, 4000);
	assert_int_equal(send(fixture, &view), FRAME_RATE);
	assert_int_equal(view.header.offset, 4000);
	session_ask_rate(&fixture->session, 4000);
	assert_int_equal(peek(fixture, &view), 0);
	session_ask_rate(&fixture->session, RATE_UNLIMITED);
	assert_int_equal(send(fixture, &view), FRAME_RATE);
	assert_int_equal(view.header.offset, UINT64_MAX);
}

static void of_a_flood_of_rates_the_last_counts(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(fixture->session.peer_rate, RATE_UNLIMITED);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(receive(fixture, FRAME_RATE, i, "", 0), 0);
	assert_int_equal(fixture->session.peer_rate, 999);
	assert_int_equal(peek(fixture, &view), 0);
	session_detach(&fixture->session);
	assert_int_equal(fixture->session.peer_rate, 999);
}

static void a_rate_is_asked_for_again_over_the_new_link(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	session_ask_rate(&fixture->session, 5000);
	assert_int_equal(send(fixture, &view), FRAME_RATE);
	session_ask_rate(&fixture->session, RATE_UNLIMITED);
	assert_int_equal(peek(fixture, &view), FRAME_RATE);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	assert_int_equal(send(fixture, &view), FRAME_RATE);
	assert_int_equal(view.header.offset, UINT64_MAX);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_new_link_of_a_channel_without_rates_begins_with_none(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_quiet_peer_is_sent_one_ping_a_heartbeat(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(session_next_ms(&fixture->session), fixture->now_ms + HEARTBEAT_MS);
	advance(fixture, HEARTBEAT_MS);
	assert_int_equal(send(fixture, &view), FRAME_PING);
	advance(fixture, HEARTBEAT_MS - 1);
	assert_int_equal(peek(fixture, &view), 0);
	advance(fixture, 1);
	assert_int_equal(send(fixture, &view), FRAME_PING);
}

static void a_peer_that_is_heard_is_not_sent_a_ping(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	fixture->now_ms += HEARTBEAT_MS - 1;
	assert_int_equal(receive(fixture, FRAME_PONG, 0, "", 0), 0);
	advance(fixture, HEARTBEAT_MS - 1);
	assert_int_equal(peek(fixture, &view), 0);
}

static void the_round_trip_is_seen_soon_after_the_opening(void **state)
{
	struct fixture *fixture = *state;

	see_round(fixture, 40);
	assert_int_equal(fixture->session.window.round_ms, 40);
}

static void only_the_answer_to_the_last_ping_tells_the_round_trip(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	advance(fixture, ROUND_FIRST_MS);
	assert_int_equal(send(fixture, &view), FRAME_PING);
	fixture->now_ms += 40;
	assert_int_equal(receive(fixture, FRAME_PONG, view.header.offset + 40, "", 0), 0);
	assert_int_equal(receive(fixture, FRAME_PONG, UINT64_MAX, "", 0), 0);
	assert_int_equal(fixture->session.window.round_ms, UINT64_MAX);
	assert_int_equal(receive(fixture, FRAME_PONG, view.header.offset, "", 0), 0);
	assert_int_equal(fixture->session.window.round_ms, 40);
	fixture->now_ms += 1;
	assert_int_equal(receive(fixture, FRAME_PONG, view.header.offset, "", 0), 0);
	assert_int_equal(fixture->session.window.round_ms, 40);
}

static void a_new_link_has_a_round_trip_of_its_own(void **state)
{
	struct fixture *fixture = *state;

	see_round(fixture, 40);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	see_round(fixture, 90);
	assert_int_equal(fixture->session.window.round_ms, 90);
}

static void a_peer_silent_for_too_long_has_lost_its_link(void **state)
{
	struct fixture *fixture = *state;

	advance(fixture, SILENCE_MS - 1);
	assert_int_equal(session_next_ms(&fixture->session), fixture->now_ms + 1);
	assert_int_equal(session_tick(&fixture->session, fixture->now_ms + 1, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_LINK);
}

static void a_reset_that_cannot_be_sent_ends_with_the_silence(void **state)
{
	struct fixture *fixture = *state;

	session_reset(&fixture->session, REASON_ENDED, "enough");
	assert_int_equal(session_next_ms(&fixture->session), fixture->now_ms + SILENCE_MS);
	assert_int_equal(
		session_tick(&fixture->session, fixture->now_ms + SILENCE_MS, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_LINK);
}

static void a_reset_goes_before_data_and_ends_the_session(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;
	struct reason_message reset;

	take(fixture, "hello");
	session_reset(&fixture->session, REASON_LOCAL_GONE, "gone");
	assert_int_equal(fixture->session.state, SESSION_RESETTING);
	assert_int_equal(send(fixture, &view), FRAME_RESET);
	assert_int_equal(message_decode_reason(&view, &reset, &fixture->err), 0);
	assert_int_equal(reset.reason, REASON_LOCAL_GONE);
	assert_string_equal(reset.text, "gone");
	assert_int_equal(fixture->session.state, SESSION_RESET_SENT);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_reset_is_sent_though_an_ack_was_waiting(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(receive(fixture, FRAME_EOF, 0, "", 0), 0);
	session_delivered_eof(&fixture->session, fixture->now_ms);
	assert_int_equal(peek(fixture, &view), FRAME_ACK);
	session_reset(&fixture->session, REASON_ENDED, "enough");
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(send(fixture, &view), FRAME_RESET);
	assert_int_equal(fixture->session.state, SESSION_RESET_SENT);
}

static void a_second_reset_changes_nothing(void **state)
{
	struct fixture *fixture = *state;

	session_reset(&fixture->session, REASON_ENDED, "first");
	session_reset(&fixture->session, REASON_STOPPING, "second");
	assert_int_equal(fixture->session.reset.reason, REASON_ENDED);
	assert_string_equal(fixture->session.reset.text, "first");
}

static void a_reset_drops_what_is_held(void **state)
{
	struct fixture *fixture = *state;
	struct iovec span;

	take(fixture, "page");
	receive_text(fixture, 0, "request");
	assert_int_equal(receive(fixture, FRAME_EOF, 7, "", 0), 0);
	session_reset(&fixture->session, REASON_ENDED, "enough");
	assert_null(fixture->session.to_peer.chunks.first);
	assert_int_equal(session_spans(&fixture->session, &span, 1), 0);
	assert_false(session_eof_due(&fixture->session));
}

static void what_comes_after_a_reset_is_not_kept(void **state)
{
	struct fixture *fixture = *state;
	struct iovec span;

	receive_text(fixture, 0, "request");
	session_reset(&fixture->session, REASON_ENDED, "enough");
	receive_text(fixture, 7, "another");
	assert_int_equal(receive(fixture, FRAME_EOF, 14, "", 0), 0);
	assert_int_equal(session_spans(&fixture->session, &span, 1), 0);
	assert_false(session_eof_due(&fixture->session));
}

static void a_reset_waits_for_the_next_link_and_still_takes_an_acknowledgement(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	take(fixture, "page");
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	session_detach(&fixture->session);
	session_reset(&fixture->session, REASON_ENDED, "enough");
	assert_true(session_can_attach(&fixture->session, 4));
	session_attach(&fixture->session, 4, WINDOW, fixture->now_ms);
	assert_int_equal(send(fixture, &view), FRAME_RESET);
	assert_int_equal(fixture->session.state, SESSION_RESET_SENT);
}

static void a_reset_of_the_peer_ends_the_session(void **state)
{
	struct fixture *fixture = *state;
	struct iovec span;

	receive_text(fixture, 0, "hello");
	assert_int_equal(receive(fixture, FRAME_RESET, 0, "\2\2no", 4), 0);
	assert_int_equal(fixture->session.state, SESSION_RESET);
	assert_int_equal(fixture->session.reset.reason, REASON_STOPPING);
	assert_string_equal(fixture->session.reset.text, "no");
	/* What came before it is still there. */
	assert_int_equal(session_spans(&fixture->session, &span, 1), 1);
	assert_int_equal(session_next_ms(&fixture->session), UINT64_MAX);
}

static void a_malformed_reset_is_refused(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(receive(fixture, FRAME_RESET, 0, "\0\2no", 4), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
}

static void nothing_is_taken_once_it_is_reset(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	session_reset(&fixture->session, REASON_ENDED, "enough");
	assert_false(session_wants_local(&fixture->session));
	assert_null(session_space(&fixture->session, &length));
}

static void one_direction_goes_on_after_the_other_ended(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(session_take_eof(&fixture->session), 0);
	assert_int_equal(send(fixture, &view), FRAME_EOF);
	assert_int_equal(receive_ack(fixture, 1, WINDOW), 0);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
	receive_text(fixture, 0, "hello");
	session_delivered(&fixture->session, 5, fixture->now_ms);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
}

/* Both ends have passed but for our ACK of the peer's. */
static void end_but_for_our_ack(struct fixture *fixture)
{
	struct frame_view view;

	assert_int_equal(session_take_eof(&fixture->session), 0);
	assert_int_equal(send(fixture, &view), FRAME_EOF);
	assert_int_equal(receive(fixture, FRAME_EOF, 0, "", 0), 0);
	session_delivered_eof(&fixture->session, fixture->now_ms);
}

static void it_has_finished_when_both_ends_are_acknowledged(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	end_but_for_our_ack(fixture);
	assert_int_equal(receive_ack(fixture, 1, WINDOW), 0);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(fixture->session.state, SESSION_FINISHED);
}

static void it_has_not_finished_while_its_last_ack_waits_for_the_link(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	end_but_for_our_ack(fixture);
	assert_int_equal(peek(fixture, &view), FRAME_ACK);
	assert_int_equal(receive_ack(fixture, 1, WINDOW), 0);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(fixture->session.state, SESSION_FINISHED);
}

/* Hand over half of a DATA frame. */
static void receive_half(struct fixture *fixture, uint64_t offset)
{
	unsigned char bytes[FRAME_HEADER_BYTES + 2] = {0};
	struct frame_header header = {.type = FRAME_DATA, .length = 4, .offset = offset};

	frame_header_encode(&header, bytes);
	memcpy(bytes + FRAME_HEADER_BYTES, "pa", 2);
	assert_int_equal(session_receive(&fixture->session, bytes, sizeof(bytes), fixture->now_ms,
				 &fixture->err),
		0);
}

static void a_frame_that_came_by_half_is_forgotten_with_its_link(void **state)
{
	struct fixture *fixture = *state;
	struct iovec span;

	receive_half(fixture, 0);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	receive_text(fixture, 0, "page");
	assert_int_equal(session_spans(&fixture->session, &span, 1), 1);
	assert_int_equal(span.iov_len, 4);
	assert_memory_equal(span.iov_base, "page", 4);
}

static void a_frame_that_was_being_sent_is_forgotten_with_its_link(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(receive(fixture, FRAME_PING, 7, "", 0), 0);
	assert_int_equal(peek(fixture, &view), FRAME_PONG);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_new_link_goes_on_after_what_the_peer_has(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	take(fixture, "hello");
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	take(fixture, "world!");
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 5, WINDOW + 5, fixture->now_ms);
	assert_int_equal(fixture->session.to_peer.acknowledged, 5);
	assert_int_equal(fixture->session.peer_limit, WINDOW + 5);
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	assert_int_equal(view.header.offset, 0);
	assert_int_equal(receive_ack(fixture, 11, WINDOW + 11), 0);
}

static void an_ack_on_a_new_link_may_reach_what_the_old_one_carried(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	take(fixture, "hello");
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	assert_int_equal(receive_ack(fixture, 5, WINDOW), 0);
	assert_int_equal(peek(fixture, &view), 0);
}

static void a_limit_that_the_new_link_tells_late_is_not_taken_back(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(receive_ack(fixture, 0, WINDOW + 100), 0);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	assert_int_equal(fixture->session.peer_limit, WINDOW + 100);
}

static void only_a_position_between_acknowledged_and_sent_can_be_resumed(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	take(fixture, "hello");
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	assert_int_equal(receive_ack(fixture, 2, WINDOW), 0);
	take(fixture, "world!");
	session_detach(&fixture->session);
	assert_false(session_can_attach(&fixture->session, 1));
	assert_true(session_can_attach(&fixture->session, 2));
	assert_true(session_can_attach(&fixture->session, 5));
	assert_false(session_can_attach(&fixture->session, 6));
	assert_false(session_can_attach(&fixture->session, UINT64_MAX));
}

static void a_position_tells_what_was_delivered_and_not_what_came(void **state)
{
	struct fixture *fixture = *state;
	uint64_t delivered;
	uint64_t limit;

	receive_text(fixture, 0, "hello");
	session_detach(&fixture->session);
	session_delivered(&fixture->session, 3, fixture->now_ms);
	session_position(&fixture->session, &delivered, &limit);
	assert_int_equal(delivered, 3);
	assert_int_equal(limit, WINDOW + 3);
}

static void what_is_delivered_after_the_position_was_told_is_acknowledged(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;
	uint64_t delivered;
	uint64_t limit;

	receive_text(fixture, 0, "hello");
	session_detach(&fixture->session);
	session_position(&fixture->session, &delivered, &limit);
	session_delivered(&fixture->session, 5, fixture->now_ms);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	see_round(fixture, 0);
	assert_int_equal(session_next_ms(&fixture->session), fixture->now_ms + 15);
	advance(fixture, 15);
	assert_int_equal(send(fixture, &view), FRAME_ACK);
	assert_int_equal(view.header.offset, 5);
}

static void what_the_peer_sends_again_is_delivered_once(void **state)
{
	struct fixture *fixture = *state;

	receive_text(fixture, 0, "hello");
	session_delivered(&fixture->session, 5, fixture->now_ms);
	session_detach(&fixture->session);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	receive_text(fixture, 0, "hello");
	receive_text(fixture, 5, "world!");
	assert_int_equal(
		fixture->session.to_local.received - fixture->session.to_local.delivered, 6);
}

static void a_new_link_is_given_the_whole_silence(void **state)
{
	struct fixture *fixture = *state;

	advance(fixture, SILENCE_MS - 1);
	session_detach(&fixture->session);
	fixture->now_ms += 60000;
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	advance(fixture, SILENCE_MS - 1);
	assert_int_equal(session_tick(&fixture->session, fixture->now_ms + 1, &fixture->err), -1);
}

static void a_reset_that_was_not_sent_goes_over_the_new_link(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	session_reset(&fixture->session, REASON_ENDED, "enough");
	assert_int_equal(peek(fixture, &view), FRAME_RESET);
	session_detach(&fixture->session);
	assert_int_equal(fixture->session.state, SESSION_RESETTING);
	session_attach(&fixture->session, 0, WINDOW, fixture->now_ms);
	assert_int_equal(send(fixture, &view), FRAME_RESET);
	assert_int_equal(fixture->session.state, SESSION_RESET_SENT);
}

static void it_finishes_by_the_positions_alone(void **state)
{
	struct fixture *fixture = *state;
	uint64_t delivered;
	uint64_t limit;

	end_but_for_our_ack(fixture);
	session_detach(&fixture->session);
	session_position(&fixture->session, &delivered, &limit);
	assert_int_equal(delivered, 1);
	session_attach(&fixture->session, 1, WINDOW, fixture->now_ms);
	assert_int_equal(fixture->session.state, SESSION_FINISHED);
}

/* A program that is gone, and bytes that wait for it */

static void bytes_for_a_program_that_is_over_reset_the_channel_after_its_last(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	take(fixture, "last");
	assert_int_equal(receive(fixture, FRAME_DATA, 0, "x", 1), 0);
	session_refuse(&fixture->session, true, fixture->now_ms);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	session_refuse(&fixture->session, true, fixture->now_ms);
	assert_int_equal(fixture->session.state, SESSION_RESETTING);
	assert_int_equal(fixture->session.to_local.delivered, 0);
}

/* The clock goes on; the peer is heard and takes nothing. */
static void refuse_for(struct fixture *fixture, uint64_t time_ms)
{
	fixture->now_ms += time_ms;
	assert_int_equal(receive(fixture, FRAME_PONG, 0, "", 0), 0);
	session_refuse(&fixture->session, false, fixture->now_ms);
}

static void two_programs_that_are_gone_do_not_wait_for_each_other(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(receive(fixture, FRAME_DATA, 0, "x", 1), 0);
	refuse_for(fixture, 0);
	refuse_for(fixture, SILENCE_MS - 1);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
	refuse_for(fixture, 1);
	assert_int_equal(fixture->session.state, SESSION_RESETTING);
}

static void a_peer_that_takes_slowly_still_gets_what_a_gone_program_wrote(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	take(fixture, "last");
	assert_int_equal(send(fixture, &view), FRAME_DATA);
	assert_int_equal(receive(fixture, FRAME_DATA, 0, "x", 1), 0);
	for (uint64_t taken = 0; taken <= 4; taken++) {
		assert_int_equal(receive_ack(fixture, taken, WINDOW), 0);
		refuse_for(fixture, SILENCE_MS - 1);
	}
	assert_int_equal(fixture->session.state, SESSION_OPEN);
}

static void a_lost_link_is_no_peer_that_takes_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(receive(fixture, FRAME_DATA, 0, "x", 1), 0);
	refuse_for(fixture, 0);
	session_detach(&fixture->session);
	session_refuse(&fixture->session, false, fixture->now_ms + 100 * SILENCE_MS);
	assert_int_equal(fixture->session.state, SESSION_OPEN);
}

static void it_has_ended_well_when_only_our_word_is_missing(void **state)
{
	struct fixture *fixture = *state;

	end_but_for_our_ack(fixture);
	assert_int_equal(receive_ack(fixture, 1, WINDOW), 0);
	session_detach(&fixture->session);
	assert_true(session_ended_well(&fixture->session));
}

static void it_has_not_ended_well_while_the_peers_word_is_missing(void **state)
{
	struct fixture *fixture = *state;

	end_but_for_our_ack(fixture);
	session_detach(&fixture->session);
	assert_false(session_ended_well(&fixture->session));
}

static void it_has_not_ended_well_while_the_peers_end_is_missing(void **state)
{
	struct fixture *fixture = *state;
	struct frame_view view;

	assert_int_equal(session_take_eof(&fixture->session), 0);
	assert_int_equal(send(fixture, &view), FRAME_EOF);
	session_detach(&fixture->session);
	assert_false(session_ended_well(&fixture->session));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_seen, tear_down)
		TEST(no_byte_is_taken_beyond_the_peers_limit),
		TEST(a_raised_limit_lets_more_be_taken),
		TEST(a_small_rest_of_a_window_waits_for_the_ack_that_is_owed),
		TEST(the_largest_limit_does_not_wrap),
		TEST(the_end_passes_at_the_limit),
		TEST(a_limit_that_runs_backwards_is_refused),
		TEST(an_ack_of_what_was_not_sent_is_refused),
		TEST(what_is_not_delivered_is_not_acknowledged),
		TEST(a_delivery_is_acknowledged_within_20_ms),
		TEST(half_of_a_small_window_is_acknowledged_at_once),
		TEST(a_delivered_end_is_acknowledged_at_once),
		TEST(an_ack_goes_before_data),
		TEST(an_ack_that_waits_for_the_link_does_not_spin_the_timer),
		TEST(bytes_beyond_the_window_are_refused),
		TEST(a_frame_of_the_handshake_is_refused),
		TEST(a_failure_is_for_good),
		TEST(a_ping_is_answered_with_its_value),
		TEST(a_flood_of_pings_is_answered_once),
		TEST(a_rate_is_asked_for_once_and_again_when_it_changes),
		TEST(of_a_flood_of_rates_the_last_counts),
		TEST(a_rate_is_asked_for_again_over_the_new_link),
		TEST(a_new_link_of_a_channel_without_rates_begins_with_none),
		TEST(a_quiet_peer_is_sent_one_ping_a_heartbeat),
		TEST(a_peer_that_is_heard_is_not_sent_a_ping),
		TEST(a_peer_silent_for_too_long_has_lost_its_link),
		TEST(a_reset_that_cannot_be_sent_ends_with_the_silence),
		TEST(a_reset_goes_before_data_and_ends_the_session),
		TEST(a_reset_is_sent_though_an_ack_was_waiting),
		TEST(a_second_reset_changes_nothing),
		TEST(a_reset_drops_what_is_held),
		TEST(what_comes_after_a_reset_is_not_kept),
		TEST(a_reset_waits_for_the_next_link_and_still_takes_an_acknowledgement),
		TEST(a_reset_of_the_peer_ends_the_session),
		TEST(a_malformed_reset_is_refused),
		TEST(nothing_is_taken_once_it_is_reset),
		TEST(one_direction_goes_on_after_the_other_ended),
		TEST(it_has_finished_when_both_ends_are_acknowledged),
		TEST(it_has_not_finished_while_its_last_ack_waits_for_the_link),
		TEST(a_frame_that_came_by_half_is_forgotten_with_its_link),
		TEST(a_frame_that_was_being_sent_is_forgotten_with_its_link),
		TEST(a_new_link_goes_on_after_what_the_peer_has),
		TEST(an_ack_on_a_new_link_may_reach_what_the_old_one_carried),
		TEST(a_limit_that_the_new_link_tells_late_is_not_taken_back),
		TEST(only_a_position_between_acknowledged_and_sent_can_be_resumed),
		TEST(a_position_tells_what_was_delivered_and_not_what_came),
		TEST(what_is_delivered_after_the_position_was_told_is_acknowledged),
		TEST(what_the_peer_sends_again_is_delivered_once),
		TEST(a_new_link_is_given_the_whole_silence),
		TEST(a_reset_that_was_not_sent_goes_over_the_new_link),
		TEST(it_finishes_by_the_positions_alone),
		TEST(bytes_for_a_program_that_is_over_reset_the_channel_after_its_last),
		TEST(two_programs_that_are_gone_do_not_wait_for_each_other),
		TEST(a_peer_that_takes_slowly_still_gets_what_a_gone_program_wrote),
		TEST(a_lost_link_is_no_peer_that_takes_nothing),
		TEST(it_has_ended_well_when_only_our_word_is_missing),
		TEST(it_has_not_ended_well_while_the_peers_word_is_missing),
		TEST(it_has_not_ended_well_while_the_peers_end_is_missing),
#undef TEST
		cmocka_unit_test_setup_teardown(
			the_round_trip_is_seen_soon_after_the_opening, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			only_the_answer_to_the_last_ping_tells_the_round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_new_link_has_a_round_trip_of_its_own, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
