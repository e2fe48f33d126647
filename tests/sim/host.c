#include "host.h"

#include "fail.h"
#include "resume.h"

static bool idles(struct host *host)
{
	return random_once_in(host->random, host->plan->idle_in);
}

struct link_end *host_dial(struct host *host)
{
	struct sim_link *link = network_open(host->network, host->random);
	struct link_end *end;

	if (!link)
		return NULL;
	end = &host->ends[link - host->network->links];
	link_end_init(end, host->number, link);
	/* Some connections are made, and get nowhere for long. */
	if (link->number > 0 && random_once_in(host->random, 6))
		link->pipes[0].stall_ms = host->now_ms +
			random_size(host->random, 2 * host->plan->settings.silence_ms);
	return end;
}

static void open_channel(struct host *host)
{
	struct open_message open = {.version = PROTOCOL_VERSION, .service = "control"};
	struct link_end *end = host_dial(host);

	open.limit = host->plan->settings.window.least_bytes;
	handshake_init_opener(&end->handshake, &open);
}

void host_init(struct host *host, size_t number, const struct host_plan *plan,
	struct random *random, struct network *network)
{
	host->number = number;
	host->plan = plan;
	host->random = random;
	host->network = network;
	host->phase = HOST_OPENING;
	host->refuses = false;
	host->reset_asked = false;
	host->now_ms = 0;
	host->heard_ms = 0;
	host->program = (struct program){.host = number, .write_bytes = plan->write_bytes};
	host->session_started = false;
	host->rate_asked = 0;
	host->rate_heard = 0;
	for (size_t i = 0; i < LINKS_MOST; i++)
		host->ends[i].state = LINK_END_CLOSED;
	host->carrying = NULL;
	host->attempt = NULL;
	host->epoch = 0;
	host->stale.epoch = 0;
	host->newest_link = 0;
	host->resumed_count = 0;
	host->pause_ms = 20;
	host->expired = false;
	host->dismissed = false;
	host->window_bytes = plan->settings.window.least_bytes;
	host->window_grew = false;
	host->window_shrank = false;
	chunk_pool_init(&host->pool);
	if (number == 0)
		open_channel(host);
}

void host_fini(struct host *host)
{
	chunk_pool_fini(&host->pool);
}

static void abort_end(struct host *host, struct link_end *end)
{
	link_end_abort(end, host->random);
	host->network->cut = true;
	host->moved = true;
}

void host_lose_link(struct host *host)
{
	abort_end(host, host->carrying);
	host->carrying = NULL;
	host->phase = HOST_WAITING;
	host->lost_ms = host->now_ms;
	host->redial_ms = UINT64_MAX;
	session_detach(&host->session);
}

void host_end(struct host *host, enum host_phase phase)
{
	host->phase = phase;
	host->moved = true;
	if (host->attempt)
		abort_end(host, host->attempt);
	if (host->carrying)
		link_end_finish(host->carrying);
	host->attempt = NULL;
	host->carrying = NULL;
	if (host->session_started)
		session_fini(&host->session);
}

static size_t arrive(struct host *host, struct link_end *end, unsigned char *bytes, size_t most)
{
	size_t length = link_end_take(end, host->now_ms, bytes, most);

	host->moved |= length > 0;
	return length;
}

static void start_session(struct host *host, struct link_end *end)
{
	session_init(&host->session, &host->plan->settings, &host->pool, end->handshake.peer_limit,
		host->now_ms);
	host->session_started = true;
	host->heard_ms = host->now_ms;
	host->phase = HOST_CARRYING;
	host->carrying = end;
	end->state = LINK_END_CARRYING;
}

static void answer(struct host *host, struct link_end *end)
{
	if (end->handshake.resuming)
		resume_answer(host, end);
	else if (host->refuses)
		handshake_refuse(&end->handshake, REASON_NO_SERVICE, "no such token");
	else
		handshake_accept(&end->handshake, host->plan->settings.window.least_bytes);
}

/* The link ended, or took too long, before the answer. */
static void fail_asking(struct host *host, struct link_end *end)
{
	bool attempted = end == host->attempt;

	abort_end(host, end);
	if (attempted)
		resume_failed(host);
	else if (host->phase == HOST_OPENING)
		host_end(host, HOST_LOST);
}

static void settle_asking(struct host *host, struct link_end *end)
{
	switch (end->handshake.state) {
	case HANDSHAKE_WAITING:
	case HANDSHAKE_ASKED:
		return;
	case HANDSHAKE_ACCEPTED:
		if (end->handshake.resuming)
			resume_gain(host, end);
		else
			start_session(host, end);
		return;
	case HANDSHAKE_REFUSED:
		link_end_finish(end);
		if (end == host->attempt)
			resume_refused(host);
		else if (!end->handshake.resuming)
			host_end(host, HOST_REFUSED);
		return;
	}
}

static void shake(struct host *host, struct link_end *end)
{
	struct handshake *handshake = &end->handshake;
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	const void *frame;
	size_t length;
	size_t most = handshake_wants(handshake);
	struct error err;

	if (most > host->plan->fragment_most_bytes)
		most = (size_t)host->plan->fragment_most_bytes;
	length = arrive(host, end, bytes, most);
	if (length > 0 && handshake_receive(handshake, bytes, length, &err) < 0)
		fail(host->now_ms, "host %zu: handshake: %s", host->number, err.message);
	if (length == 0 && (link_end_over(end, host->now_ms) || host->now_ms >= end->given_up_ms)) {
		fail_asking(host, end);
		return;
	}
	if (handshake->state == HANDSHAKE_ASKED)
		answer(host, end);
	frame = handshake_unsent(handshake, &length);
	if (frame) {
		link_end_seal(end, frame, length);
		handshake_sent(handshake);
		host->moved = true;
	}
	settle_asking(host, end);
}

static void receive(struct host *host)
{
	unsigned char bytes[1 << 17];
	size_t length = arrive(host, host->carrying, bytes,
		(size_t)random_size(host->random, host->plan->fragment_most_bytes));
	struct error err;

	if (length > 0)
		host->heard_ms = host->now_ms;
	/* Nothing here falsifies bytes: whatever arrives is the protocol. */
	if (length > 0 && session_receive(&host->session, bytes, length, host->now_ms, &err) < 0)
		fail(host->now_ms, "host %zu: receive: %s", host->number, err.message);
	if (length > 0 || !link_end_over(host->carrying, host->now_ms))
		return;
	if (!host->carrying->link->cut && session_left(&host->session)) {
		host->moved = true;
		return;
	}
	/* A peer that knows by now that all has passed waits for no RESET. */
	if (host->session.state != SESSION_OPEN && host->session.state != SESSION_RESET_SENT)
		return;
	if (!host->carrying->link->cut)
		fail(host->now_ms, "host %zu: the link ended without a word", host->number);
	host_lose_link(host);
}

/* A program that is gone takes nothing; only the end it would not have seen anyway. */
static void refuse_deliveries(struct host *host)
{
	struct session *session = &host->session;
	bool eof_due = session_eof_due(session);
	bool open = session->state == SESSION_OPEN;

	session_refuse(session, host->program.eof_written, host->now_ms);
	if (eof_due && !session_eof_due(session)) {
		host->program.eof_read = true;
		host->moved = true;
	}
	if (open && session->state == SESSION_RESETTING) {
		host->reset_asked = true;
		host->moved = true;
	}
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

void host_deliver(struct host *host)
{
	struct session *session = &host->session;
	struct iovec spans[8];
	int count = session_spans(session, spans, (int)random_from(host->random, 1, 8));
	size_t done;

	if (host->program.gone) {
		refuse_deliveries(host);
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
	if (!space || host->now_ms < program->quiet_ms || idles(host)) {
		if (space && idles(host))
			session_leave_space(&host->session);
		return;
	}
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

static size_t seal_room(const struct host *host)
{
	size_t held = link_end_held_bytes(host->carrying);

	return host->plan->seal_bytes > held ? (size_t)host->plan->seal_bytes - held : 0;
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
		link_end_seal(host->carrying, frames, length);
		session_sent(&host->session);
		host->moved = true;
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
		host_lose_link(host);
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
		host_end(host, HOST_FINISHED);
		return;
	case SESSION_RESET_SENT:
		/* Only the opener can make another link for it. */
		if (host->number == 0)
			return;
		host_end(host, HOST_RESET);
		return;
	case SESSION_RESET:
		host_end(host, HOST_RESET);
		return;
	}
}

static void ask_rate(struct host *host)
{
	if (host->rate_asked < host->plan->asks_most &&
		random_once_in(host->random, host->plan->ask_in))
		session_ask_rate(&host->session, ++host->rate_asked);
}

static void carry(struct host *host)
{
	settle(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		receive(host);
	settle(host);
	if (host->phase == HOST_CARRYING)
		tick(host);
	if (host->phase == HOST_CARRYING)
		ask_rate(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		host_deliver(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		send(host);
	settle(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		take(host);
	if (host->phase == HOST_CARRYING && !idles(host))
		send(host);
	settle(host);
}

static void serve_arrivals(struct host *host)
{
	for (size_t i = 0; i < LINKS_MOST; i++) {
		struct sim_link *link = &host->network->links[i];
		struct link_end *end = &host->ends[i];

		if (!link->held[1] || link->served)
			continue;
		link->served = true;
		link_end_init(end, host->number, link);
		handshake_init_acceptor(&end->handshake);
	}
}

static void step(struct host *host, struct link_end *end)
{
	if (end->state == LINK_END_ASKING)
		shake(host, end);
	if (end->state == LINK_END_CLOSED)
		return;
	host->moved |=
		link_end_flush(end, (size_t)random_size(host->random, host->plan->flush_most_bytes),
			host->now_ms, host->random) > 0;
	if (end->state == LINK_END_PARTING)
		link_end_part(end, host->now_ms);
}

static void watch_window(struct host *host)
{
	uint64_t bytes = host->session.window.bytes;

	host->window_grew |= bytes > host->window_bytes;
	host->window_shrank |= bytes < host->window_bytes;
	host->window_bytes = bytes;
}

void host_pass(struct host *host, uint64_t now_ms)
{
	host->now_ms = now_ms;
	host->moved = false;
	if (host->number == 1)
		serve_arrivals(host);
	if (host->phase == HOST_CARRYING)
		carry(host);
	if (host->phase == HOST_CARRYING && host->session.state == SESSION_OPEN)
		watch_window(host);
	if (host->phase == HOST_WAITING)
		resume_wait(host);
	for (size_t i = 0; i < LINKS_MOST; i++)
		step(host, &host->ends[i]);
}

static void hasten(uint64_t *next_ms, uint64_t event_ms, uint64_t now_ms)
{
	if (event_ms > now_ms && event_ms < *next_ms)
		*next_ms = event_ms;
}

uint64_t host_next_ms(const struct host *host)
{
	uint64_t next_ms = UINT64_MAX;

	for (size_t i = 0; i < LINKS_MOST; i++) {
		const struct link_end *end = &host->ends[i];

		if (end->state == LINK_END_CLOSED)
			continue;
		hasten(&next_ms, pipe_next_ms(link_end_incoming(end)), host->now_ms);
		hasten(&next_ms, end->given_up_ms, host->now_ms);
	}
	if (host->phase == HOST_CARRYING) {
		hasten(&next_ms, session_next_ms(&host->session), host->now_ms);
	} else if (host->phase == HOST_WAITING) {
		hasten(&next_ms, host->lost_ms + host->plan->resume_deadline_ms, host->now_ms);
		hasten(&next_ms, host->redial_ms, host->now_ms);
	} else {
		return next_ms;
	}
	hasten(&next_ms, host->program.blocked_ms, host->now_ms);
	hasten(&next_ms, host->program.quiet_ms, host->now_ms);
	return next_ms;
}

void host_reset(struct host *host)
{
	if (!host->session_started || !host_open(host) || host->session.state != SESSION_OPEN)
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
