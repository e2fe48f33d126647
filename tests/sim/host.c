#include "host.h"

#include <string.h>

#include "fail.h"

#define ACK_LATEST_MS 20

static bool idles(struct host *host)
{
	return random_once_in(host->random, host->plan->idle_in);
}

static struct pipe *outgoing(struct host *host)
{
	return &host->link->pipes[host->number];
}

static struct pipe *incoming(struct host *host)
{
	return &host->link->pipes[1 - host->number];
}

void host_init(struct host *host, size_t number, const struct host_plan *plan,
	struct random *random, struct sim_link *link)
{
	struct open_message open = {.version = PROTOCOL_VERSION, .service = "control"};

	host->number = number;
	host->plan = plan;
	host->random = random;
	host->link = link;
	host->phase = HOST_HANDSHAKING;
	host->refuses = false;
	host->reset_asked = false;
	host->now_ms = 0;
	host->heard_ms = 0;
	host->program = (struct program){.host = number, .write_bytes = plan->write_bytes};
	host->session_started = false;
	host->sealed_begin = 0;
	host->sealed_end = 0;
	chunk_pool_init(&host->pool);
	open.limit = plan->settings.window_bytes;
	if (number == 0)
		handshake_init_opener(&host->handshake, &open);
	else
		handshake_init_acceptor(&host->handshake);
}

void host_fini(struct host *host)
{
	if (host->session_started)
		session_fini(&host->session);
	chunk_pool_fini(&host->pool);
}

static void lose_link(struct host *host)
{
	host->phase = HOST_LOST;
	host->link->cut = true;
	pipe_cut(outgoing(host), PIPE_BYTES);
	pipe_cut(incoming(host), PIPE_BYTES);
}

static void seal(struct host *host, const void *frames, size_t length)
{
	memmove(host->sealed, host->sealed + host->sealed_begin,
		host->sealed_end - host->sealed_begin);
	host->sealed_end -= host->sealed_begin;
	host->sealed_begin = 0;
	memcpy(host->sealed + host->sealed_end, frames, length);
	host->sealed_end += length;
	host->moved = true;
}

static size_t seal_room(const struct host *host)
{
	size_t held = host->sealed_end - host->sealed_begin;

	return host->plan->seal_bytes > held ? (size_t)host->plan->seal_bytes - held : 0;
}

static void flush(struct host *host)
{
	size_t length = host->sealed_end - host->sealed_begin;
	size_t most = (size_t)random_size(host->random, host->plan->flush_most_bytes);
	uint64_t arrives_ms = host->now_ms + host->link->delay_ms +
		random_from(host->random, 0, host->link->jitter_most_ms);

	length = pipe_put(outgoing(host), host->sealed + host->sealed_begin,
		length < most ? length : most, arrives_ms);
	host->sealed_begin += length;
	host->moved |= length > 0;
}

static size_t arrive(struct host *host, unsigned char *bytes, size_t most)
{
	size_t length = pipe_take(incoming(host), host->now_ms, bytes, most);

	if (length > 0) {
		host->heard_ms = host->now_ms;
		host->moved = true;
	}
	return length;
}

static void start_session(struct host *host)
{
	session_init(&host->session, &host->plan->settings, &host->pool, host->handshake.peer_limit,
		host->now_ms);
	host->session_started = true;
	host->heard_ms = host->now_ms;
	host->phase = HOST_CARRYING;
}

static void answer(struct host *host)
{
	if (host->refuses)
		handshake_refuse(&host->handshake, REASON_NO_SERVICE, "no such token");
	else
		handshake_accept(&host->handshake, host->plan->settings.window_bytes);
}

static void shake(struct host *host)
{
	struct handshake *handshake = &host->handshake;
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	const void *frame;
	size_t length;
	size_t most = handshake_wants(handshake);
	struct error err;

	if (most > host->plan->fragment_most_bytes)
		most = (size_t)host->plan->fragment_most_bytes;
	length = arrive(host, bytes, most);
	if (length > 0 && handshake_receive(handshake, bytes, length, &err) < 0)
		fail(host->now_ms, "host %zu: handshake: %s", host->number, err.message);
	if (length == 0 && pipe_at_end(incoming(host)))
		lose_link(host);
	if (handshake->state == HANDSHAKE_ASKED)
		answer(host);
	frame = handshake_unsent(handshake, &length);
	if (frame && host->phase == HOST_HANDSHAKING) {
		seal(host, frame, length);
		handshake_sent(handshake);
	}
	if (host->phase != HOST_HANDSHAKING)
		return;
	if (handshake->state == HANDSHAKE_REFUSED)
		host->phase = HOST_REFUSED;
	else if (handshake->state == HANDSHAKE_ACCEPTED)
		start_session(host);
}

static void receive(struct host *host)
{
	unsigned char bytes[1 << 17];
	size_t length = arrive(
		host, bytes, (size_t)random_size(host->random, host->plan->fragment_most_bytes));
	struct error err;

	/* Nothing here falsifies bytes: whatever arrives is the protocol. */
	if (length > 0 && session_receive(&host->session, bytes, length, host->now_ms, &err) < 0)
		fail(host->now_ms, "host %zu: receive: %s", host->number, err.message);
	if (length > 0 || !pipe_at_end(incoming(host)))
		return;
	if (!host->link->cut)
		fail(host->now_ms, "host %zu: the link ended without a word", host->number);
	lose_link(host);
}

static void drop_deliveries(struct host *host)
{
	struct session *session = &host->session;
	struct iovec span;
	bool dropped = false;

	while (session_spans(session, &span, 1) > 0) {
		host->program.read += span.iov_len;
		session_delivered(session, span.iov_len, host->now_ms);
		dropped = true;
	}
	if (session_eof_due(session)) {
		session_delivered_eof(session, host->now_ms);
		host->program.eof_read = true;
	}
	if (dropped)
		host_reset(host);
}

static size_t read_spans(struct host *host, const struct iovec *spans, int count)
{
	size_t wanted = (size_t)random_size(host->random, host->plan->delivery_most_bytes);
	size_t done = 0;

	for (int i = 0; i < count && done < wanted; i++) {
		size_t part = spans[i].iov_len;

		if (part == 0)
			fail(host->now_ms, "host %zu: an empty span", host->number);
		if (part > wanted - done)
			part = wanted - done;
		if (!program_read(&host->program, spans[i].iov_base, part))
			fail(host->now_ms, "host %zu: wrong bytes delivered after position %llu",
				host->number, (unsigned long long)host->program.read);
		done += part;
	}
	return done;
}

static void deliver(struct host *host)
{
	struct session *session = &host->session;
	struct iovec spans[8];
	int count = session_spans(session, spans, (int)random_from(host->random, 1, 8));
	size_t done;

	if (host->program.gone) {
		drop_deliveries(host);
		return;
	}
	if (host->now_ms < host->program.blocked_ms)
		return;
	done = read_spans(host, spans, count);
	if (done > 0) {
		session_delivered(session, done, host->now_ms);
		host->moved = true;
		if (random_once_in(host->random, host->plan->block_in))
			host->program.blocked_ms = host->now_ms +
				random_from(host->random, 1, host->plan->block_most_ms);
	}
	if (!session_eof_due(session))
		return;
	if (host->program.eof_read)
		fail(host->now_ms, "host %zu: the end was delivered twice", host->number);
	session_delivered_eof(session, host->now_ms);
	host->program.eof_read = true;
	host->moved = true;
}

static void take_end(struct host *host)
{
	if (session_take_eof(&host->session) < 0)
		fail(host->now_ms, "host %zu: no memory", host->number);
	host->program.eof_written = true;
	host->moved = true;
}

/* As a read of the local socket: the place is asked for before it is known what there is. */
static void take(struct host *host)
{
	struct program *program = &host->program;
	size_t burst = (size_t)random_size(host->random, host->plan->burst_most_bytes);
	uint64_t left = program->write_bytes - program->written;
	bool wanted = session_wants_local(&host->session);
	size_t space_bytes = 0;
	void *space = session_space(&host->session, &space_bytes);

	if (wanted != (space != NULL) || (space && space_bytes == 0))
		fail(host->now_ms, "host %zu: wanted %d, has a place of %zu bytes", host->number,
			wanted, space_bytes);
	if (!space || host->now_ms < program->quiet_ms || idles(host))
		return;
	if (left == 0 || program->gone) {
		take_end(host);
		return;
	}
	if (burst > space_bytes)
		burst = space_bytes;
	if (burst > left)
		burst = (size_t)left;
	program_write(program, space, burst);
	session_take(&host->session, burst);
	host->moved = true;
	if (random_once_in(host->random, host->plan->quiet_in))
		program->quiet_ms =
			host->now_ms + random_from(host->random, 1, host->plan->quiet_most_ms);
}

static void send(struct host *host)
{
	size_t length = 0;
	const void *frames;

	while ((frames = session_unsent(&host->session, &length)) != NULL) {
		if (length == 0)
			fail(host->now_ms, "host %zu: nothing to send is offered", host->number);
		if (length > seal_room(host) || idles(host))
			break;
		seal(host, frames, length);
		session_sent(&host->session);
	}
}

/* A link is given up when nothing was heard for so long, and not before. */
static void tick(struct host *host)
{
	struct error err;
	bool silent = host->now_ms >= host->heard_ms + host->plan->settings.silence_ms;
	bool lost = session_tick(&host->session, host->now_ms, &err) < 0;

	if (lost != silent)
		fail(host->now_ms, "host %zu: heard at %llu ms, %s", host->number,
			(unsigned long long)host->heard_ms, lost ? "but given up" : "but kept");
	if (lost)
		lose_link(host);
	else if (session_next_ms(&host->session) <= host->now_ms)
		fail(host->now_ms, "host %zu: the timer would never rest", host->number);
}

static void settle(struct host *host)
{
	if (host->phase != HOST_CARRYING)
		return;
	switch (host->session.state) {
	case SESSION_OPEN:
	case SESSION_RESETTING:
		return;
	case SESSION_FINISHED:
		host->phase = HOST_FINISHED;
		return;
	case SESSION_RESET:
		host->phase = HOST_RESET;
		return;
	}
}

static void carry(struct host *host)
{
	if (!idles(host))
		receive(host);
	settle(host);
	if (host->phase == HOST_CARRYING)
		tick(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		deliver(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		send(host);
	settle(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		take(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		send(host);
	settle(host);
}

/* What was sealed still leaves, what still arrives is not looked at. */
static void part(struct host *host)
{
	unsigned char bytes[4096];

	(void)arrive(host, bytes, sizeof(bytes));
	if (host->sealed_begin == host->sealed_end)
		outgoing(host)->closed = true;
}

void host_pass(struct host *host, uint64_t now_ms)
{
	host->now_ms = now_ms;
	host->moved = false;
	if (host->phase == HOST_HANDSHAKING)
		shake(host);
	else if (host->phase == HOST_CARRYING)
		carry(host);
	flush(host);
	if (host_ended(host))
		part(host);
}

static size_t count_chunks(const struct chunk_queue *queue)
{
	size_t count = 0;

	for (const struct chunk *chunk = queue->first; chunk; chunk = chunk->next)
		count++;
	return count;
}

static void check_memory(const struct host *host)
{
	const struct session *session = &host->session;
	size_t to_peer = count_chunks(&session->to_peer.chunks);
	size_t to_local = count_chunks(&session->to_local.chunks);
	uint64_t window = host->plan->settings.window_bytes;
	size_t to_peer_most = host->plan->settings.replay_bytes / CHUNK_BYTES;

	if (to_peer_most < 2)
		to_peer_most = 2;
	/* One chunk more for the EOF; and one that is partly delivered. */
	if (to_peer > to_peer_most + 1 || to_local > window / CHUNK_BYTES + 2)
		fail(host->now_ms, "host %zu: holds %zu and %zu chunks", host->number, to_peer,
			to_local);
	if (to_peer != session->to_peer.chunks.count || to_local != session->to_local.chunks.count)
		fail(host->now_ms, "host %zu: chunks are miscounted", host->number);
	if (delivery_held_bytes(&session->to_local) > window + 1)
		fail(host->now_ms, "host %zu: holds more than its window", host->number);
}

/* @returns the position after the frames in @chunk, the first of which begins at @position */
static uint64_t check_chunk(const struct host *host, const struct chunk *chunk, uint64_t position)
{
	uint32_t at = 0;

	while (at < chunk->end) {
		const unsigned char *payload = chunk->bytes + at + FRAME_HEADER_BYTES;
		struct frame_header header;
		struct error err;

		if (frame_header_decode(chunk->bytes + at, &header, &err) < 0 ||
			(position != UINT64_MAX && header.offset != position))
			fail(host->now_ms, "host %zu: a frame that is kept is wrong", host->number);
		if (!program_wrote(&host->program, header.offset, payload, header.length))
			fail(host->now_ms, "host %zu: bytes that are kept are wrong", host->number);
		position = header.offset + (header.type == FRAME_EOF ? 1 : header.length);
		at += FRAME_HEADER_BYTES + header.length;
	}
	return position;
}

void host_check_replay(const struct host *host)
{
	const struct replay *replay = &host->session.to_peer;
	const struct chunk *chunk = replay->chunks.first;
	uint64_t position = UINT64_MAX;
	struct frame_header first;
	struct error err;

	if (!host->session_started || replay->acknowledged == replay->taken)
		return;
	if (!chunk || frame_header_decode(chunk->bytes, &first, &err) < 0 ||
		first.offset > replay->acknowledged)
		fail(host->now_ms, "host %zu: forgot what is not acknowledged", host->number);
	for (; chunk; chunk = chunk->next)
		position = check_chunk(host, chunk, position);
	if (position != replay->taken)
		fail(host->now_ms, "host %zu: did not keep what it took", host->number);
}

void host_check(const struct host *host, const struct host *peer)
{
	const struct session *session = &host->session;
	uint64_t delivered = peer->program.read + (peer->program.eof_read ? 1 : 0);
	uint64_t acknowledged = host->session_started ? session->to_peer.acknowledged : 0;

	if (acknowledged > delivered)
		fail(host->now_ms, "host %zu: %llu acknowledged, but %llu delivered", host->number,
			(unsigned long long)acknowledged, (unsigned long long)delivered);
	if (!host->session_started)
		return;
	check_memory(host);
	if (session->state == SESSION_OPEN &&
		session->delivered_told < session->to_local.delivered &&
		session->ack_due_ms > host->now_ms + ACK_LATEST_MS)
		fail(host->now_ms, "host %zu: a delivery is not acknowledged", host->number);
}

static void hasten(uint64_t *next_ms, uint64_t event_ms, uint64_t now_ms)
{
	if (event_ms > now_ms && event_ms < *next_ms)
		*next_ms = event_ms;
}

uint64_t host_next_ms(const struct host *host)
{
	uint64_t next_ms = UINT64_MAX;

	hasten(&next_ms, pipe_next_ms(&host->link->pipes[1 - host->number]), host->now_ms);
	if (host->phase != HOST_CARRYING)
		return next_ms;
	hasten(&next_ms, session_next_ms(&host->session), host->now_ms);
	hasten(&next_ms, host->program.blocked_ms, host->now_ms);
	hasten(&next_ms, host->program.quiet_ms, host->now_ms);
	return next_ms;
}

void host_reset(struct host *host)
{
	if (host->phase != HOST_CARRYING || host->session.state != SESSION_OPEN)
		return;
	session_reset(&host->session, REASON_ENDED, "ended by the simulation");
	host->reset_asked = true;
	host->moved = true;
}

void host_program_gone(struct host *host)
{
	host->program.gone = true;
	host->program.quiet_ms = 0;
}
