#include "tunnel/session.h"

#include <assert.h>
#include <stdio.h>

/* Deliveries are acknowledged together, but not later than this. */
#define ACK_DELAY_MS 20

/* Less of a window is not taken while more is to come. */
#define PIECE_LEAST_BYTES 16384
#define PIECE_LEAST_PART  4

/* The round trip is seen soon after a link is there, while it is likely to be quiet; an opening
 * does not wait for that. Then now and then while the local program takes much. */
#define ROUND_FIRST_MS 5
#define ROUND_AGAIN_MS 250

void session_init(struct session *session, const struct session_settings *settings,
	struct chunk_pool *pool, uint64_t peer_limit, uint64_t now_ms)
{
	*session = (struct session){
		.settings = *settings,
		.state = SESSION_OPEN,
		.peer_limit = peer_limit,
		.ack_due_ms = UINT64_MAX,
		.heard_ms = now_ms,
		.pinged_ms = now_ms,
		.round_due_ms = now_ms + ROUND_FIRST_MS,
		.ping_value = UINT64_MAX,
		.peer_rate = RATE_UNLIMITED,
		.rate_wanted = RATE_UNLIMITED,
	};
	replay_init(&session->to_peer, pool, settings->replay_bytes, settings->budget);
	delivery_init(&session->to_local, pool, settings->window.least_bytes);
	window_init(&session->window, &settings->window, settings->budget);
	frame_reader_init(&session->reader);
}

void session_fini(struct session *session)
{
	window_fini(&session->window);
	replay_fini(&session->to_peer);
	delivery_fini(&session->to_local);
}

static bool being_sent(const struct session *session, enum frame_type type)
{
	return session->control_length > 0 && session->control[0] == type;
}

static void notice_finish(struct session *session)
{
	if (session->state == SESSION_OPEN && replay_finished(&session->to_peer) &&
		session->to_local.eof_delivered &&
		session->delivered_told == session->to_local.delivered &&
		!being_sent(session, FRAME_ACK))
		session->state = SESSION_FINISHED;
}

/* The peer may send until here: what is delivered, and a window beyond. Of one that has ended, the
 * window is given back. */
static uint64_t limit_now(struct session *session)
{
	uint64_t delivered = session->to_local.delivered;
	uint64_t limit = session->to_local.limit;

	if (session->state != SESSION_OPEN)
		return limit;
	/* The end of the stream may lie beyond the limit. */
	return delivered +
		window_settle(&session->window, limit > delivered ? limit - delivered : 0);
}

void session_detach(struct session *session)
{
	replay_rewind(&session->to_peer);
	frame_reader_init(&session->reader);
	session->control_length = 0;
	if (session->state == SESSION_RESET_SENT)
		session->state = SESSION_RESETTING;
	session->ack_due_ms = UINT64_MAX;
	session->ping_due = false;
	session->pong_due = false;
	session->round_due_ms = UINT64_MAX;
	session->ping_value = UINT64_MAX;
	window_forget_round(&session->window);
}

void session_position(struct session *session, uint64_t *delivered, uint64_t *limit)
{
	session->ack_due_ms = UINT64_MAX;
	session->to_local.limit = limit_now(session);
	session->delivered_told = session->to_local.delivered;
	*delivered = session->delivered_told;
	*limit = session->to_local.limit;
}

bool session_can_attach(const struct session *session, uint64_t delivered)
{
	return delivered >= session->to_peer.acknowledged && delivered <= session->to_peer.sent;
}

bool session_ended_well(const struct session *session)
{
	return replay_finished(&session->to_peer) && session->to_local.eof_delivered;
}

void session_attach(
	struct session *session, uint64_t delivered, uint64_t peer_limit, uint64_t now_ms)
{
	struct error impossible;
	int acknowledged = replay_acknowledge(&session->to_peer, delivered, &impossible);

	assert(acknowledged == 0); /* see session_can_attach() */
	if (session->peer_limit < peer_limit)
		session->peer_limit = peer_limit;
	session->heard_ms = now_ms;
	session->pinged_ms = now_ms;
	session->round_due_ms = now_ms + ROUND_FIRST_MS;
	/* Whether it came over the link before cannot be known. */
	session->rate_due |= session->rate_told;
	notice_finish(session);
}

static int receive_ack(struct session *session, const struct frame_view *view, struct error *err)
{
	uint64_t limit;

	if (message_decode_limit(view, &limit, err) < 0 ||
		replay_acknowledge(&session->to_peer, view->header.offset, err) < 0)
		return -1;
	if (limit < session->peer_limit)
		return error_set(err, ERROR_PEER, "limit runs backwards");
	session->peer_limit = limit;
	return 0;
}

/* Only the answer to the last PING tells how long a round trip takes. */
static void receive_pong(struct session *session, uint64_t value)
{
	if (session->ping_value == UINT64_MAX || value != session->ping_value)
		return;
	window_see_round(&session->window, session->heard_ms - value);
	session->ping_value = UINT64_MAX;
}

/* It has ended here, and the peer is to know. */
static bool resets(const struct session *session)
{
	return session->state == SESSION_RESETTING || session->state == SESSION_RESET_SENT;
}

static int receive_frame(struct session *session, const struct frame_view *view, struct error *err)
{
	switch (view->header.type) {
	case FRAME_DATA:
		if (resets(session))
			return 0;
		return delivery_put(&session->to_local, view->header.offset, view->payload,
			view->header.length, err);
	case FRAME_ACK:
		return receive_ack(session, view, err);
	case FRAME_EOF:
		if (resets(session))
			return 0;
		return delivery_put_eof(&session->to_local, view->header.offset, err);
	case FRAME_RESET:
		if (message_decode_reason(view, &session->reset, err) < 0)
			return -1;
		session->state = SESSION_RESET;
		return 0;
	case FRAME_PING:
		session->pong_due = true;
		session->pong_value = view->header.offset;
		return 0;
	case FRAME_PONG:
		receive_pong(session, view->header.offset);
		return 0;
	case FRAME_RATE:
		session->peer_rate = view->header.offset;
		return 0;
	case FRAME_OPEN:
	case FRAME_ACCEPT:
	case FRAME_REFUSE:
	case FRAME_RESUME:
	case FRAME_RESUMED:
		break;
	}
	return error_set(
		err, ERROR_PEER, "frame of type %d on an open channel", (int)view->header.type);
}

int session_receive(struct session *session, const void *data, size_t length, uint64_t now_ms,
	struct error *err)
{
	const unsigned char *next = data;
	struct frame_view view;
	int found = 0;

	session->heard_ms = now_ms;
	while (session->state != SESSION_RESET &&
		(found = frame_reader_next(&session->reader, &next, &length, &view, err)) > 0) {
		if (receive_frame(session, &view, err) < 0) {
			frame_reader_fail(&session->reader);
			return -1;
		}
	}
	if (found < 0)
		return -1;
	notice_finish(session);
	return 0;
}

static size_t encode_ack(struct session *session)
{
	uint64_t delivered;
	uint64_t limit;

	session_position(session, &delivered, &limit);
	return message_encode_limit(FRAME_ACK, delivered, limit, session->control);
}

const void *session_unsent(struct session *session, size_t *length)
{
	if (session->control_length == 0) {
		if (session->state == SESSION_RESETTING) {
			session->control_length = message_encode_reason(
				FRAME_RESET, &session->reset, session->control);
		} else if (session->state != SESSION_OPEN) {
			return NULL;
		} else if (session->ack_due_ms == 0) {
			session->control_length = encode_ack(session);
		} else if (session->pong_due) {
			session->pong_due = false;
			session->control_length = message_encode_empty(
				FRAME_PONG, session->pong_value, session->control);
		} else if (session->ping_due) {
			session->ping_due = false;
			session->control_length = message_encode_empty(
				FRAME_PING, session->ping_value, session->control);
		} else if (session->rate_due) {
			session->rate_due = false;
			session->rate_told = true;
			session->control_length = message_encode_empty(
				FRAME_RATE, session->rate_wanted, session->control);
		} else {
			return replay_unsent(&session->to_peer, length);
		}
	}
	*length = session->control_length;
	return session->control;
}

void session_sent(struct session *session)
{
	if (session->control_length == 0) {
		replay_sent(&session->to_peer);
		return;
	}
	/* A frame that was being sent when the reset was asked for goes before it. */
	if (being_sent(session, FRAME_RESET))
		session->state = SESSION_RESET_SENT;
	session->control_length = 0;
	notice_finish(session);
}

bool session_left(struct session *session)
{
	if (session->state != SESSION_RESET_SENT)
		return false;
	session->state = SESSION_RESET;
	return true;
}

void session_ask_rate(struct session *session, uint64_t rate)
{
	if (rate == session->rate_wanted)
		return;
	session->rate_wanted = rate;
	session->rate_due = true;
}

/* Small pieces of a window that is nearly used up cost as much as large ones; while the peer owes
 * an ACK, more of it will come (RFC 1122, 4.2.3.4). */
static bool window_allows(const struct session *session)
{
	const struct replay *to_peer = &session->to_peer;
	uint64_t allowed =
		session->peer_limit > to_peer->taken ? session->peer_limit - to_peer->taken : 0;

	if (allowed == 0 || to_peer->acknowledged == to_peer->taken)
		return allowed > 0;
	return allowed >= PIECE_LEAST_BYTES ||
		allowed >= (session->peer_limit - to_peer->acknowledged) / PIECE_LEAST_PART;
}

bool session_wants_local(const struct session *session)
{
	return session->state == SESSION_OPEN && window_allows(session) &&
		replay_has_space(&session->to_peer);
}

void *session_space(struct session *session, size_t *length)
{
	uint64_t allowed = session->peer_limit - session->to_peer.taken;
	void *space = session_wants_local(session) ? replay_space(&session->to_peer, length) : NULL;

	if (space && *length > allowed)
		*length = (size_t)allowed;
	return space;
}

void session_take(struct session *session, size_t length)
{
	replay_take(&session->to_peer, length);
}

void session_leave_space(struct session *session)
{
	replay_leave_space(&session->to_peer);
}

int session_take_eof(struct session *session)
{
	return replay_take_eof(&session->to_peer);
}

int session_spans(const struct session *session, struct iovec *spans, int count)
{
	return delivery_spans(&session->to_local, spans, count);
}

/* An ACK is due at once, or within the delay, once something was delivered. */
static void owe_ack(struct session *session, uint64_t now_ms)
{
	uint64_t untold = session->to_local.delivered - session->delivered_told;

	if (session->to_local.eof_delivered || untold >= window_worth_telling(&session->window))
		session->ack_due_ms = 0;
	else if (session->ack_due_ms == UINT64_MAX)
		session->ack_due_ms = now_ms + ACK_DELAY_MS;
}

static void owe_ping(struct session *session, uint64_t now_ms)
{
	session->ping_due = true;
	session->pinged_ms = now_ms;
	session->ping_value = now_ms;
	session->round_due_ms = UINT64_MAX;
}

void session_delivered(struct session *session, size_t length, uint64_t now_ms)
{
	delivery_delivered(&session->to_local, length);
	window_use(&session->window, length, now_ms);
	if (session->window.borrowed > 0 && now_ms >= session->pinged_ms + ROUND_AGAIN_MS)
		owe_ping(session, now_ms);
	owe_ack(session, now_ms);
}

bool session_eof_due(const struct session *session)
{
	return delivery_eof_due(&session->to_local);
}

void session_delivered_eof(struct session *session, uint64_t now_ms)
{
	delivery_delivered_eof(&session->to_local);
	owe_ack(session, now_ms);
}

void session_reset(struct session *session, enum reason reason, const char *text)
{
	if (session->state != SESSION_OPEN)
		return;
	session->state = SESSION_RESETTING;
	replay_drop(&session->to_peer);
	delivery_drop(&session->to_local);
	window_fini(&session->window);
	session->reset.reason = reason;
	snprintf(session->reset.text, sizeof(session->reset.text), "%s", text);
}

/* @returns whether the peer, which is heard, has taken nothing for too long */
static bool refused_in_vain(struct session *session, uint64_t now_ms)
{
	uint64_t acknowledged = session->to_peer.acknowledged;

	if (!session->refusing || session->refusing_at != acknowledged) {
		session->refusing = true;
		session->refusing_at = acknowledged;
		session->refusing_ms = now_ms;
	}
	return session->heard_ms >= session->refusing_ms + session->settings.silence_ms;
}

void session_refuse(struct session *session, bool over, uint64_t now_ms)
{
	bool all_sent = session->to_peer.unsent == NULL;

	if (session->state != SESSION_OPEN)
		return;
	if (session->to_local.chunks.first) {
		if ((over && all_sent) || refused_in_vain(session, now_ms))
			session_reset(session, REASON_LOCAL_GONE, "the local program is gone");
	} else if (session_eof_due(session)) {
		session_delivered_eof(session, now_ms);
	}
}

uint32_t session_round_us(const struct session *session)
{
	uint64_t round_ms = session->window.round_ms;

	return round_ms == UINT64_MAX ? 0 : (uint32_t)(round_ms * 1000);
}

static uint64_t heartbeat_ms(const struct session *session)
{
	uint64_t last =
		session->heard_ms > session->pinged_ms ? session->heard_ms : session->pinged_ms;

	return last + session->settings.heartbeat_ms;
}

uint64_t session_next_ms(const struct session *session)
{
	uint64_t next = heartbeat_ms(session);
	uint64_t silent = session->heard_ms + session->settings.silence_ms;

	if (resets(session))
		return silent;
	if (session->state != SESSION_OPEN)
		return UINT64_MAX;
	if (silent < next)
		next = silent;
	if (session->round_due_ms < next)
		next = session->round_due_ms;
	/* What is due already waits for room on the link, not for the clock. */
	return session->ack_due_ms > 0 && session->ack_due_ms < next ? session->ack_due_ms : next;
}

int session_tick(struct session *session, uint64_t now_ms, struct error *err)
{
	if (session->state != SESSION_OPEN && !resets(session))
		return 0;
	if (session->ack_due_ms != UINT64_MAX && now_ms >= session->ack_due_ms)
		session->ack_due_ms = 0;
	if (now_ms >= session->heard_ms + session->settings.silence_ms)
		return error_set(err, ERROR_LINK, "the peer was silent for %llu ms",
			(unsigned long long)session->settings.silence_ms);
	if (now_ms >= heartbeat_ms(session) || now_ms >= session->round_due_ms)
		owe_ping(session, now_ms);
	return 0;
}
