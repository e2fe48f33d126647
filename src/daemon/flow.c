#include "daemon/flow.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "daemon/worker.h"
#include "io/socket.h"

/* Turns of one pass, so that no channel keeps the loop from the others */
#define TURNS_MOST 2
#define SPANS_MOST 16
/* ... and so that records of a byte each do not, either */
#define RECORDS_MOST 64

/* A local program is not asked for less at once: each turn has its price. */
#define PORTION_LEAST_BYTES 16384

/* (C) link -> to_local. @returns whether anything came, or -1 with @err set */
static int receive(struct flow *flow, unsigned char *scratch, uint64_t now_ms, struct error *err)
{
	struct tls_stream *stream = link_stream(flow->link);
	size_t filled = 0;
	enum io_result result = IO_OK;

	if (!flow->link_ready)
		return 0;
	for (int records = 0; records < RECORDS_MOST && filled < WORKER_SCRATCH_BYTES; records++) {
		size_t length = 0;

		result = tls_read(
			stream, scratch + filled, WORKER_SCRATCH_BYTES - filled, &length, err);
		if (result != IO_OK)
			break;
		filled += length;
	}
	flow->link_ready = result != IO_AGAIN;
	if (filled > 0) {
		struct error mine;

		if (session_receive(&flow->session, scratch, filled, now_ms, &mine) < 0) {
			*err = mine;
			return -1;
		}
	}
	if (flow->session.state == SESSION_RESET || flow->session.state == SESSION_FINISHED)
		return 0;
	if (result == IO_FAILED)
		return -1;
	if (result == IO_EOF && session_left(&flow->session))
		return 0;
	if (result == IO_EOF)
		return error_set(err, ERROR_LINK, "connection lost: closed by the peer");
	return filled > 0;
}

/* (D) to_local -> local socket. @returns 0, or -1 with @err set */
int flow_deliver(struct flow *flow, uint64_t now_ms, struct error *err)
{
	struct session *session = &flow->session;
	struct iovec spans[SPANS_MOST];
	int count;

	while (!flow->local_deaf && (count = session_spans(session, spans, SPANS_MOST)) > 0) {
		struct msghdr message = {.msg_iov = spans, .msg_iovlen = (size_t)count};
		ssize_t sent = sendmsg(flow->local_fd, &message, MSG_NOSIGNAL);

		if (sent >= 0)
			session_delivered(session, (size_t)sent, now_ms);
		else if (errno == EAGAIN)
			return 0;
		else if (errno == EPIPE || errno == ECONNRESET)
			flow->local_deaf = true;
		else if (errno != EINTR)
			return error_errno(err, "cannot write to the local socket");
	}
	if (flow->local_deaf) {
		session_refuse(session, flow->local_over, now_ms);
	} else if (session_eof_due(session)) {
		(void)shutdown(flow->local_fd, SHUT_WR);
		session_delivered_eof(session, now_ms);
	}
	return 0;
}

/* What TCP says of the link tells how fast it should go. */
static void sample_pace(struct flow *flow, struct worker *worker)
{
	struct pace_sample sample = {.now_us = clock_now_us()};
	struct socket_state state;

	if (!pace_wants_sample(&flow->pace, sample.now_us) ||
		!socket_link_state(link_descriptor(flow->link), &state))
		return;
	sample.arrived_bytes = state.acknowledged_bytes;
	sample.in_flight_us = state.in_flight_us;
	sample.round_trip_us = state.round_trip_us;
	sample.round_trip_least_us = state.round_trip_least_us;
	sample.peer_round_us = session_round_us(&flow->session);
	sample.wanted_us = worker_wanted_us(worker, sample.now_us);
	pace_note(&flow->pace, &sample);
}

/* (A) local socket -> to_peer.
 * @returns whether anything was taken, or -1 with @err set */
static int take(struct flow *flow, struct error *err)
{
	struct session *session = &flow->session;
	size_t portion = pace_portion(&flow->pace, PORTION_LEAST_BYTES, CHUNK_BYTES);
	size_t space_bytes;
	void *space = session_space(session, &space_bytes);
	ssize_t got;

	if (!space)
		return 0;
	if (space_bytes > portion)
		space_bytes = portion;
	got = recv(flow->local_fd, space, space_bytes, 0);
	if (got > 0) {
		session_take(session, (size_t)got);
		flow->local_ready = (size_t)got == space_bytes;
		return 1;
	}
	if (got == 0) {
		if (session_take_eof(session) < 0)
			return error_set(err, ERROR_LOCAL, "no memory");
		flow->local_over = true;
		return 1;
	}
	if (errno == EINTR)
		return 1;
	if (errno == EAGAIN) {
		flow->local_ready = false;
		session_leave_space(session);
		return 0;
	}
	if (errno == ECONNRESET) {
		/* Closed with our bytes unread; what it wrote before is still there to be read. */
		flow->local_deaf = true;
		return 1;
	}
	return error_errno(err, "cannot read from the local socket");
}

/* Seal what there is, as far as there is room. @returns 0, or -1 with @err set */
static int seal_frames(struct flow *flow, struct error *err)
{
	struct tls_stream *stream = link_stream(flow->link);
	size_t length;
	const void *frames;

	while ((frames = session_unsent(&flow->session, &length)) != NULL &&
		length <= tls_seal_room(stream)) {
		if (tls_seal(stream, frames, length, err) < 0)
			return -1;
		session_sent(&flow->session);
	}
	return 0;
}

/* Seal and send until there is no more, or the link takes no more. @returns 0, or -1 with @err */
int flow_send(struct flow *flow, struct error *err)
{
	struct tls_stream *stream = link_stream(flow->link);

	if (seal_frames(flow, err) < 0)
		return -1;
	while (tls_unsent(stream)) {
		switch (tls_flush(stream, err)) {
		case IO_FAILED:
			return -1;
		case IO_AGAIN:
		case IO_EOF:
			flow->link_room = false;
			return 0;
		case IO_OK:
			break;
		}
		flow->link_room = socket_link_has_room(link_descriptor(flow->link));
		if (seal_frames(flow, err) < 0)
			return -1;
	}
	return 0;
}

/* (A) and (B): take from the local program only what the link can take now. */
static int feed_link(struct flow *flow, struct error *err)
{
	if (flow_send(flow, err) < 0)
		return -1;
	for (int turn = 0; turn < TURNS_MOST; turn++) {
		int taken;

		if (!flow->link_room || !flow->local_ready)
			return 0;
		taken = take(flow, err);
		if (taken <= 0)
			return taken;
		if (flow_send(flow, err) < 0)
			return -1;
	}
	flow->again |= flow->link_room && flow->local_ready;
	return 0;
}

int flow_move(struct flow *flow, struct worker *worker, uint64_t now_ms, struct error *err)
{
	int received = 1;

	for (int turn = 0; received > 0 && turn < TURNS_MOST; turn++) {
		received = receive(flow, worker->scratch, now_ms, err);
		if (received < 0 || flow_deliver(flow, now_ms, err) < 0)
			return -1;
	}
	/* Only now: after a standstill of this host, what the peer said meanwhile waits in the
	 * socket. */
	if (session_tick(&flow->session, now_ms, err) < 0)
		return -1;
	/* TLS may hold decrypted bytes that poll() cannot see. */
	flow->again = flow->link_ready;
	sample_pace(flow, worker);
	return feed_link(flow, err);
}

bool flow_has_deliveries(const struct flow *flow)
{
	struct iovec span;

	return !flow->local_deaf && session_spans(&flow->session, &span, 1) > 0;
}

void flow_interest(const struct flow *flow, int *local, int *link)
{
	bool wants_local = session_wants_local(&flow->session);

	*local = 0;
	if (wants_local && flow->link_room)
		*local |= UV_READABLE;
	if (flow_has_deliveries(flow))
		*local |= UV_WRITABLE;
	*link = UV_READABLE;
	if (flow->link &&
		(tls_unsent(link_stream(flow->link)) || (wants_local && !flow->link_room)))
		*link |= UV_WRITABLE;
}

void flow_lose_link(struct flow *flow)
{
	flow->link = NULL;
	flow->link_room = false;
	flow->link_ready = false;
	flow->again = false;
	session_detach(&flow->session);
}

void flow_gain_link(struct flow *flow, struct link *link, uint64_t delivered, uint64_t peer_limit,
	uint64_t now_ms)
{
	flow->link = link;
	flow->link_room = true;
	flow->link_ready = true;
	flow->again = true;
	pace_init(&flow->pace);
	session_attach(&flow->session, delivered, peer_limit, now_ms);
}
