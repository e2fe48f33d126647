#include "oracle.h"

#include "fail.h"

#define ACK_LATEST_MS 20

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
	uint64_t window = session->window.bytes;
	size_t to_peer_most = host->plan->settings.replay_bytes / CHUNK_BYTES;

	if (to_peer_most < 2)
		to_peer_most = 2;
	/* One chunk more for the EOF; and one that is partly delivered. */
	if (to_peer > to_peer_most + 1 || to_local > window / CHUNK_BYTES + 2)
		fail(host->now_ms, "host %zu: holds %zu and %zu chunks", host->number, to_peer,
			to_local);
	if (to_peer != session->to_peer.chunks.count || to_local != session->to_local.chunks.count)
		fail(host->now_ms, "host %zu: chunks are miscounted", host->number);
	if (session->to_peer.borrowed > 0 &&
		session->to_peer.borrowed + BUDGET_FLOOR_CHUNKS > to_peer)
		fail(host->now_ms, "host %zu: borrows %zu chunks for %zu", host->number,
			session->to_peer.borrowed, to_peer);
	if (host_open(host) &&
		session->to_local.received - session->to_local.delivered > window + 1)
		fail(host->now_ms, "host %zu: holds more than its window", host->number);
}

/* What the peer was promised is there for it, and lent. */
static void check_window(const struct host *host)
{
	const struct session *session = &host->session;
	const struct window *window = &session->window;
	const struct window_settings *settings = &host->plan->settings.window;
	uint64_t own_bytes = settings->least_bytes + window->borrowed * CHUNK_BYTES;

	if (!host_open(host) || session->state != SESSION_OPEN)
		return;
	if (window->bytes > settings->most_bytes || window->bytes > own_bytes ||
		window->bytes < settings->least_bytes)
		fail(host->now_ms, "host %zu: a window of %llu bytes with %zu chunks borrowed",
			host->number, (unsigned long long)window->bytes, window->borrowed);
	if (session->to_local.limit > session->to_local.delivered + window->bytes)
		fail(host->now_ms, "host %zu: promised more than its window", host->number);
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

void oracle_check_replay(const struct host *host)
{
	const struct replay *replay = &host->session.to_peer;
	const struct chunk *chunk = replay->chunks.first;
	uint64_t position = UINT64_MAX;
	struct frame_header first;
	struct error err;

	if (!host->session_started || !host_open(host) || host->session.state != SESSION_OPEN ||
		replay->acknowledged == replay->taken)
		return;
	if (!chunk || frame_header_decode(chunk->bytes, &first, &err) < 0 ||
		first.offset > replay->acknowledged)
		fail(host->now_ms, "host %zu: forgot what is not acknowledged", host->number);
	for (; chunk; chunk = chunk->next)
		position = check_chunk(host, chunk, position);
	if (position != replay->taken)
		fail(host->now_ms, "host %zu: did not keep what it took", host->number);
}

/* Who may take nothing has bytes of its own that wait to be acknowledged: that will wake it. */
static void check_not_starved(const struct host *host)
{
	const struct session *session = &host->session;
	const struct replay *replay = &session->to_peer;
	uint64_t left = session->peer_limit - replay->taken;

	if (session->state != SESSION_OPEN || replay->eof_taken ||
		replay->taken >= session->peer_limit || session_wants_local(session))
		return;
	if (replay->acknowledged == replay->taken)
		fail(host->now_ms, "host %zu: nothing would ever wake it", host->number);
	/* A small rest of its window is not worth it: the peer owes an ACK. */
	if (left < 16384 && left < (session->peer_limit - replay->acknowledged) / 4)
		return;
	if (replay->chunks.count < replay->chunk_count_largest &&
		replay->chunks.count < BUDGET_FLOOR_CHUNKS)
		fail(host->now_ms, "host %zu: was refused its floor", host->number);
}

static void check_dismissal(const struct host *host, const struct host *peer)
{
	if (host->dismissed && host_open(peer))
		fail(host->now_ms, "host %zu was refused another link, and its peer goes on",
			host->number);
}

/* Of the rates that the peer asks for, the newest counts: a link that is lost never brings back one
 * before it. */
static void check_rate(struct host *host, const struct host *peer)
{
	uint64_t rate = host->session.peer_rate;

	if (rate == RATE_UNLIMITED && host->rate_heard == 0)
		return;
	if (rate > peer->rate_asked || rate < host->rate_heard)
		fail(host->now_ms, "host %zu: rate %llu after %llu, but asked were %llu",
			host->number, (unsigned long long)rate,
			(unsigned long long)host->rate_heard, (unsigned long long)peer->rate_asked);
	host->rate_heard = rate;
}

/* Asked for, and neither sent nor waiting to be sent: the peer would never know. */
static void check_rate_sent(const struct host *host, const struct host *peer)
{
	const struct session *session = &host->session;

	if (host->phase == HOST_FINISHED && peer->phase == HOST_FINISHED && !session->rate_due &&
		host->rate_asked > 0 && !session->rate_told)
		fail(host->now_ms, "host %zu: its rate was forgotten", host->number);
}

void oracle_check(struct host *host, const struct host *peer)
{
	const struct session *session = &host->session;
	uint64_t delivered = peer->program.read + (peer->program.eof_read ? 1 : 0);
	uint64_t acknowledged = host->session_started ? session->to_peer.acknowledged : 0;

	if (acknowledged > delivered)
		fail(host->now_ms, "host %zu: %llu acknowledged, but %llu delivered", host->number,
			(unsigned long long)acknowledged, (unsigned long long)delivered);
	check_dismissal(host, peer);
	if (host->session_started && session->state == SESSION_RESETTING &&
		(session->to_peer.chunks.first || session->to_local.chunks.first))
		fail(host->now_ms, "host %zu: holds bytes of a channel that it has reset",
			host->number);
	if (!host->session_started)
		return;
	check_memory(host);
	check_window(host);
	check_rate(host, peer);
	if (host_open(host))
		check_not_starved(host);
	if (host->phase == HOST_CARRYING && session->state == SESSION_OPEN &&
		session->delivered_told < session->to_local.delivered &&
		session->ack_due_ms > host->now_ms + ACK_LATEST_MS)
		fail(host->now_ms, "host %zu: a delivery is not acknowledged", host->number);
}

static void check_finished(const struct host *host, const struct host *peer)
{
	if (peer->program.read != host->program.written || !peer->program.eof_read ||
		host->program.read != peer->program.written || !host->program.eof_read)
		fail(host->now_ms, "host %zu finished with bytes undelivered", host->number);
}

/* Faults come to an end. With time enough, a new link is found unless the peer has ended. */
static void check_expired(const struct host *host, const struct host *peer)
{
	if (host->expired && host->plan->resume_lasts && (host->number == 0 || host_open(peer)))
		fail(host->now_ms, "host %zu found no other link", host->number);
}

static void check_lost(const struct host *host, const struct host *peer)
{
	if (!host->network->cut)
		fail(host->now_ms, "host %zu lost a link that was not", host->number);
	check_expired(host, peer);
}

static void check_reset(const struct host *host, const struct host *peer)
{
	enum reason reason = host->session.reset.reason;
	bool gone = host->program.gone || peer->program.gone;

	check_expired(host, peer);
	if (!host->reset_asked && !peer->reset_asked)
		fail(host->now_ms, "host %zu was reset by nobody", host->number);
	if (reason != REASON_ENDED && (reason != REASON_LOCAL_GONE || !gone))
		fail(host->now_ms, "host %zu was reset for no reason", host->number);
}

void oracle_check_end(const struct host *host, const struct host *peer)
{
	switch (host->phase) {
	case HOST_FINISHED:
		check_finished(host, peer);
		check_rate_sent(host, peer);
		return;
	case HOST_REFUSED:
		if (!host->refuses && !peer->refuses)
			fail(host->now_ms, "host %zu was refused", host->number);
		return;
	case HOST_RESET:
		check_reset(host, peer);
		return;
	case HOST_LOST:
		check_lost(host, peer);
		return;
	case HOST_OPENING:
	case HOST_CARRYING:
	case HOST_WAITING:
		break;
	}
	fail(host->now_ms, "host %zu did not end", host->number);
}
