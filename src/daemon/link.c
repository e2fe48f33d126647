#include "daemon/link.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/descriptor.h"
#include "io/socket.h"

/* From our end to the peer's */
#define FINISH_MS 2000
/* Reads of one turn from a peer that should have ended */
#define DRAIN_TURNS_MOST 8

enum link_state {
	LINK_CONNECTING,
	LINK_SECURING,
	LINK_ASKING,
	LINK_UP,
	LINK_FINISHING,
	LINK_MOVING,
	LINK_CLOSED,
};

struct link {
	struct stranger stranger; /* while it carries no channel */
	struct worker *worker;
	enum link_state state;
	bool acceptor;
	int fd;
	struct tls_stream *stream;
	struct handshake *handshake; /* until the first bytes of the channel that it led to */
	char identity[256];          /* the opener's expectation */
	char peer_text[400];
	const struct link_events *events;
	void (*ready)(void *owner, int events);
	void (*arrived)(struct link *link, void *owner);
	void *owner;
	uv_poll_t poll;
	uv_timer_t deadline;
	int interest;
	unsigned open_handles;
	uint64_t patience_ms; /* from connecting to the answer */
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_deadline(uv_timer_t *deadline);

static void arrive(void *argument);
static void free_link(struct link *link);

/* It has no handles any more. */
static void fail_to_arrive(struct link *link)
{
	struct error err;

	error_set(&err, ERROR_LINK, "culvertd is stopping");
	link->events->failed(link, &err, link->owner);
	free_link(link);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	if (--link->open_handles > 0)
		return;
	if (link->state != LINK_MOVING)
		free_link(link);
	else if (!loop_post(link->worker->loop, arrive, link))
		fail_to_arrive(link);
}

static void close_handles(struct link *link)
{
	strangers_leave(&link->worker->strangers, &link->stranger);
	link->interest = 0;
	uv_close((uv_handle_t *)&link->poll, on_handle_closed);
	uv_close((uv_handle_t *)&link->deadline, on_handle_closed);
}

static void close_link(struct link *link)
{
	if (link->state == LINK_CLOSED)
		return;
	link->state = LINK_CLOSED;
	close_handles(link);
}

static void drain(struct link *link);

static void start_finishing(struct link *link)
{
	link->state = LINK_FINISHING;
	strangers_enter(&link->worker->strangers, &link->stranger);
	uv_timer_start(&link->deadline, on_deadline, FINISH_MS, 0);
	drain(link);
}

/* An alert that says why is on its way: closing at once could take it from the peer. */
static void fail(struct link *link, const struct error *err)
{
	const struct link_events *events = link->events;
	void *owner = link->owner;

	start_finishing(link);
	events->failed(link, err, owner);
}

void link_set_interest(struct link *link, int events)
{
	if (events == link->interest || link->state == LINK_CLOSED)
		return;
	link->interest = events;
	if (events)
		uv_poll_start(&link->poll, events, on_poll);
	else
		uv_poll_stop(&link->poll);
}

static void on_deadline(uv_timer_t *deadline)
{
	struct link *link = deadline->data;
	struct error err;

	if (link->state == LINK_FINISHING) {
		close_link(link);
		return;
	}
	error_set(&err, ERROR_LINK, "no answer within %u s", (unsigned)(link->patience_ms / 1000));
	fail(link, &err);
}

static int enter_asking(struct link *link, struct error *err)
{
	char names[256];
	size_t length = strlen(link->peer_text);
	const void *question;

	tls_peer_names(link->stream, names, sizeof(names));
	snprintf(link->peer_text + length, sizeof(link->peer_text) - length, " (%s)", names);
	if (*link->identity && !tls_peer_is(link->stream, link->identity))
		return error_set(err, ERROR_IDENTITY,
			"the host there proves to be '%s', not '%s': check 'address' and "
			"'identity' of "
			"the peer in culvert.conf",
			names, link->identity);
	link->state = LINK_ASKING;
	question = handshake_unsent(link->handshake, &length);
	if (!question)
		return 0;
	handshake_sent(link->handshake);
	return tls_seal(link->stream, question, length, err);
}

static int read_frame(struct link *link, struct error *err)
{
	size_t wanted;

	while ((wanted = handshake_wants(link->handshake)) > 0) {
		unsigned char bytes[MESSAGE_LONGEST_BYTES];
		size_t length;

		switch (tls_read(link->stream, bytes, wanted, &length, err)) {
		case IO_OK:
			break;
		case IO_AGAIN:
			return 0;
		case IO_EOF:
			return error_set(err, ERROR_LINK, "closed by the peer without an answer");
		case IO_FAILED:
			return -1;
		}
		if (handshake_receive(link->handshake, bytes, length, err) < 0)
			return -1;
	}
	return 0;
}

/* The acceptor's refusal, as an error for whoever asked */
static int refusal_error(const struct reason_message *refusal, struct error *err)
{
	enum error_code code = ERROR_PEER;

	if (refusal->reason == REASON_NOT_PERMITTED)
		code = ERROR_IDENTITY;
	else if (refusal->reason == REASON_STOPPING)
		code = ERROR_LINK;
	return error_set(err, code, "refused there: %s", refusal->text);
}

/* Go as far as the socket allows. @returns 0, or -1 with @err set */
static int establish(struct link *link, struct error *err)
{
	if (link->state == LINK_CONNECTING) {
		if (socket_connected(link->fd, err) < 0)
			return -1;
		link->state = LINK_SECURING;
	}
	if (link->state == LINK_SECURING) {
		enum io_result result = tls_handshake(link->stream, err);

		if (result == IO_EOF)
			return error_set(err, ERROR_LINK, "closed by the peer");
		if (result == IO_FAILED)
			return -1;
		if (result == IO_OK && enter_asking(link, err) < 0)
			return -1;
	}
	if (link->state == LINK_ASKING && read_frame(link, err) < 0)
		return -1;
	return tls_flush(link->stream, err) == IO_FAILED ? -1 : 0;
}

/* @returns whether the link was handed over or closed */
static bool act_on_handshake(struct link *link)
{
	struct error err;

	switch (link->handshake->state) {
	case HANDSHAKE_WAITING:
		return false;
	case HANDSHAKE_ASKED:
		link->events->asked(link, link->handshake, link->owner);
		return true;
	case HANDSHAKE_ACCEPTED:
		link->state = LINK_UP;
		link->events->up(link, link->handshake, link->owner);
		return true;
	case HANDSHAKE_REFUSED:
		if (link->acceptor) {
			link_refuse(link, link->handshake->refusal.reason,
				link->handshake->refusal.text);
		} else {
			refusal_error(&link->handshake->refusal, &err);
			fail(link, &err);
		}
		return true;
	}
	return false;
}

/* The peer's end, or its silence, closes a link that has nothing more to say. */
static void drain(struct link *link)
{
	struct error err;
	ssize_t got = 1;
	enum io_result result = tls_flush(link->stream, &err);

	if (result == IO_OK)
		(void)shutdown(link->fd, SHUT_WR);
	link_set_interest(link, UV_READABLE | (result == IO_AGAIN ? UV_WRITABLE : 0));
	/* A peer that never stops sending must not keep the loop; the deadline ends it. */
	for (int turn = 0; got > 0 && turn < DRAIN_TURNS_MOST; turn++)
		got = recv(link->fd, link->worker->scratch, WORKER_SCRATCH_BYTES, 0);
	if (result == IO_FAILED || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		close_link(link);
}

static void forget_handshake(struct link *link)
{
	/* Whoever knows a channel's secret may resume it. */
	if (link->handshake)
		OPENSSL_cleanse(link->handshake, sizeof(*link->handshake));
	free(link->handshake);
	link->handshake = NULL;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct link *link = poll->data;
	struct error err;

	if (status < 0) {
		/* An error on the socket: reading or writing will tell which. */
		link->interest = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if (link->state == LINK_UP) {
		forget_handshake(link);
		link->ready(link->owner, events);
		return;
	}
	if (link->state == LINK_FINISHING) {
		drain(link);
		return;
	}
	if (link->handshake->state == HANDSHAKE_ASKED) {
		/* The answer is being made; more bytes, or an end, have to wait for it. */
		link_set_interest(link, 0);
		return;
	}
	if (establish(link, &err) < 0)
		fail(link, &err);
	else if (!act_on_handshake(link))
		link_set_interest(link,
			UV_READABLE |
				(link->state == LINK_CONNECTING || tls_unsent(link->stream)
						? UV_WRITABLE
						: 0));
}

/* @returns 0, or -1 with @err set: the link has no handles then */
static int open_handles(struct link *link, struct error *err)
{
	uv_loop_t *loop = loop_uv(link->worker->loop);

	if (uv_poll_init(loop, &link->poll, link->fd) != 0)
		return error_set(err, ERROR_LOCAL, "cannot watch a connection");
	uv_timer_init(loop, &link->deadline);
	link->poll.data = link;
	link->deadline.data = link;
	link->open_handles = 2;
	strangers_enter(&link->worker->strangers, &link->stranger);
	uv_timer_start(&link->deadline, on_deadline, LINK_PATIENCE_MS, 0);
	return 0;
}

static void free_link(struct link *link)
{
	tls_stream_free(link->stream);
	fd_close(&link->fd);
	forget_handshake(link);
	free(link);
}

static enum claim claim_of(const struct stranger *stranger)
{
	const struct link *link = LIST_MEMBER(stranger, const struct link, stranger);

	if (!link->acceptor || !link->handshake || link->handshake->state == HANDSHAKE_ACCEPTED)
		return link->state == LINK_FINISHING ? CLAIM_LAST : CLAIM_FIRM;
	if (link->state == LINK_FINISHING)
		return CLAIM_NONE;
	return link->handshake->state == HANDSHAKE_WAITING ? CLAIM_SILENT : CLAIM_FIRM;
}

static void expel(struct stranger *stranger, const char *why)
{
	struct link *link = LIST_MEMBER(stranger, struct link, stranger);
	bool owned = link->state != LINK_FINISHING;
	struct error err;

	close_link(link);
	if (!owned)
		return;
	error_set(&err, ERROR_LINK, "%s", why);
	link->events->failed(link, &err, link->owner);
}

static const struct stranger_events stranger_events = {.claim = claim_of, .expel = expel};

static struct link *link_new(struct worker *worker, struct tls_context *tls, int fd, bool acceptor,
	const struct link_events *events, void *owner, struct error *err)
{
	struct link *link = worker->stopping ? NULL : calloc(1, sizeof(*link));

	if (!link) {
		close(fd);
		error_set(err, worker->stopping ? ERROR_LINK : ERROR_LOCAL,
			worker->stopping ? "culvertd is stopping" : "no memory for a connection");
		return NULL;
	}
	link->fd = fd;
	link->patience_ms = LINK_PATIENCE_MS;
	link->worker = worker;
	link->acceptor = acceptor;
	link->events = events;
	link->owner = owner;
	stranger_init(&link->stranger, &stranger_events);
	link->stream = tls_stream_new(tls, fd, acceptor, err);
	if (link->stream)
		link->handshake = calloc(1, sizeof(*link->handshake));
	if (link->stream && !link->handshake)
		error_set(err, ERROR_LOCAL, "no memory for a connection");
	if (!link->handshake || open_handles(link, err) < 0) {
		free_link(link);
		return NULL;
	}
	tls_stream_use(link->stream, &worker->tls_memory);
	return link;
}

struct link *link_open(struct worker *worker, struct tls_context *tls,
	const struct sockaddr *address, socklen_t address_length, const char *identity,
	const struct handshake *question, uint64_t patience_ms, const struct link_events *events,
	void *owner, struct error *err)
{
	int fd = socket_connect(address, address_length, err);
	struct link *link = fd < 0 ? NULL : link_new(worker, tls, fd, false, events, owner, err);

	if (!link)
		return NULL;
	link->state = LINK_CONNECTING;
	snprintf(link->identity, sizeof(link->identity), "%s", identity);
	socket_address_text(address, address_length, link->peer_text, sizeof(link->peer_text));
	*link->handshake = *question;
	link->patience_ms = patience_ms;
	uv_timer_start(&link->deadline, on_deadline, patience_ms, 0);
	link_set_interest(link, UV_WRITABLE);
	return link;
}

int link_serve(struct worker *worker, struct tls_context *tls, int fd,
	const struct link_events *events, void *owner, struct error *err)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	struct link *link;

	if (!strangers_make_room(&worker->strangers)) {
		close(fd);
		return error_set(err, ERROR_LOCAL, "too many connections without a channel");
	}
	link = link_new(worker, tls, fd, true, events, owner, err);
	if (!link)
		return -1;
	link->state = LINK_SECURING;
	(void)getpeername(fd, (struct sockaddr *)&address, &length);
	socket_address_text(
		(struct sockaddr *)&address, length, link->peer_text, sizeof(link->peer_text));
	handshake_init_acceptor(link->handshake);
	link_set_interest(link, UV_READABLE);
	return 0;
}

static int seal_answer(struct link *link, struct error *err)
{
	size_t length;
	const void *answer = handshake_unsent(link->handshake, &length);

	handshake_sent(link->handshake);
	return tls_seal(link->stream, answer, length, err);
}

/* The answer leaves with the channel's first pass: the peer never knows of a channel that could not
 * be resumed yet. */
static void grant(struct link *link)
{
	struct error err;

	if (seal_answer(link, &err) < 0)
		fail(link, &err);
	else
		act_on_handshake(link);
}

void link_grant(struct link *link, uint64_t limit)
{
	handshake_accept(link->handshake, limit);
	grant(link);
}

void link_grant_resume(struct link *link, uint64_t delivered, uint64_t limit)
{
	handshake_accept_resume(link->handshake, delivered, limit);
	grant(link);
}

void link_refuse(struct link *link, enum reason reason, const char *text)
{
	const struct link_events *events = link->events;
	void *owner = link->owner;
	struct error err;

	if (link->handshake->state != HANDSHAKE_REFUSED)
		handshake_refuse(link->handshake, reason, text);
	if (seal_answer(link, &err) < 0)
		close_link(link);
	else
		link_finish(link);
	error_set(&err, ERROR_PEER, "refused: %s", text);
	events->failed(link, &err, owner);
}

static void arrive(void *argument)
{
	struct link *link = argument;
	struct error err;

	if (link->worker->stopping) {
		fail_to_arrive(link);
		return;
	}
	link->state = LINK_ASKING;
	tls_stream_use(link->stream, &link->worker->tls_memory);
	if (open_handles(link, &err) == 0) {
		link->arrived(link, link->owner);
		return;
	}
	link->events->failed(link, &err, link->owner);
	free_link(link);
}

void link_move(
	struct link *link, struct worker *worker, void (*arrived)(struct link *link, void *owner))
{
	if (worker == link->worker) {
		arrived(link, link->owner);
		return;
	}
	link->state = LINK_MOVING;
	link->arrived = arrived;
	tls_stream_use(link->stream, NULL);
	close_handles(link);
	link->worker = worker;
}

bool link_was_refused(const struct link *link)
{
	return link->handshake->state == HANDSHAKE_REFUSED;
}

bool link_has_asked(const struct link *link)
{
	return link->handshake->unsent_length == 0;
}

bool link_peer_is(const struct link *link, const char *identity)
{
	return tls_peer_is(link->stream, identity);
}

const char *link_peer_text(const struct link *link)
{
	return link->peer_text;
}

void link_carry(struct link *link, void (*ready)(void *owner, int events), void *owner)
{
	assert(link->state == LINK_UP);
	link->ready = ready;
	link->owner = owner;
	uv_timer_stop(&link->deadline);
	strangers_leave(&link->worker->strangers, &link->stranger);
}

struct tls_stream *link_stream(struct link *link)
{
	return link->stream;
}

int link_descriptor(const struct link *link)
{
	return link->fd;
}

void link_finish(struct link *link)
{
	tls_finish(link->stream);
	start_finishing(link);
}

void link_abort(struct link *link)
{
	close_link(link);
}
