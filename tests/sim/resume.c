#include "resume.h"

#include "fail.h"

/* As in redial.c */
#define SHORTEST_PAUSE_MS 20
#define LONGEST_PAUSE_MS  2000

static void pause(struct host *host)
{
	uint64_t pause_ms = random_from(host->random, host->pause_ms / 2, host->pause_ms * 3 / 2);

	host->redial_ms = host->now_ms + pause_ms;
	host->pause_ms =
		host->pause_ms * 2 < LONGEST_PAUSE_MS ? host->pause_ms * 2 : LONGEST_PAUSE_MS;
}

static void redial(struct host *host)
{
	struct resume_message *resume = &host->asking;

	*resume = (struct resume_message){.version = PROTOCOL_VERSION, .epoch = ++host->epoch};
	session_position(&host->session, &resume->delivered, &resume->limit);
	host->attempt = host_dial(host);
	if (!host->attempt) {
		pause(host);
		return;
	}
	handshake_init_resumer(&host->attempt->handshake, resume);
	host->attempt->given_up_ms = host->now_ms + host->plan->patience_ms;
	host->redial_ms = UINT64_MAX;
	host->moved = true;
}

void resume_wait(struct host *host)
{
	if (host->now_ms >= host->lost_ms + host->plan->resume_deadline_ms) {
		host->expired = true;
		/* What it has reset it has left already, and only the peer was to be told. */
		host_end(host, host->session.state == SESSION_RESETTING ? HOST_RESET : HOST_LOST);
		return;
	}
	host_deliver(host);
	if (host->number != 0 || host->attempt)
		return;
	if (host->redial_ms == UINT64_MAX)
		pause(host);
	if (host->now_ms >= host->redial_ms)
		redial(host);
}

static void over_attempt(struct host *host)
{
	host->stale = host->asking;
	host->stale_link = host->attempt->link->number;
	host->attempt = NULL;
	host->redial_ms = UINT64_MAX;
}

void resume_failed(struct host *host)
{
	over_attempt(host);
	pause(host);
}

void resume_refused(struct host *host)
{
	over_attempt(host);
	host->dismissed = true;
	if (host->session.state == SESSION_RESETTING)
		host_end(host, HOST_RESET);
	else
		host_end(host, session_ended_well(&host->session) ? HOST_FINISHED : HOST_LOST);
}

static void answer_unknown(struct link_end *end)
{
	handshake_refuse(&end->handshake, REASON_NO_SERVICE, "no such channel");
}

void resume_answer(struct host *host, struct link_end *end)
{
	const struct resume_message *resume = &end->handshake.resume;
	uint64_t delivered;
	uint64_t limit;

	if (!host->session_started || !host_open(host) || resume->epoch <= host->epoch ||
		!session_can_attach(&host->session, resume->delivered)) {
		answer_unknown(end);
		return;
	}
	host->epoch = resume->epoch;
	if (host->carrying)
		host_lose_link(host);
	session_position(&host->session, &delivered, &limit);
	handshake_accept_resume(&end->handshake, delivered, limit);
}

void resume_gain(struct host *host, struct link_end *end)
{
	const struct handshake *answer = &end->handshake;

	if (end->link->number <= host->newest_link)
		fail(host->now_ms, "host %zu: went back to an older link", host->number);
	host->newest_link = end->link->number;
	if (host->attempt)
		over_attempt(host);
	if (!session_can_attach(&host->session, answer->peer_delivered))
		fail(host->now_ms, "host %zu: the peer resumed at %llu", host->number,
			(unsigned long long)answer->peer_delivered);
	session_attach(&host->session, answer->peer_delivered, answer->peer_limit, host->now_ms);
	end->state = LINK_END_CARRYING;
	host->carrying = end;
	host->phase = HOST_CARRYING;
	host->heard_ms = host->now_ms;
	host->pause_ms = SHORTEST_PAUSE_MS;
	host->resumed_count++;
}

/* @resume comes over a connection as old as @link_number says, and nobody hears the answer. */
static bool send_alone(
	struct host *opener, const struct resume_message *resume, uint64_t link_number)
{
	struct sim_link *link = network_open(opener->network, opener->random);
	unsigned char frame[MESSAGE_LONGEST_BYTES];
	size_t length = message_encode_resume(resume, frame);

	if (!link)
		return false;
	(void)pipe_put(&link->pipes[0], frame, length, opener->now_ms + link->delay_ms);
	link->pipes[0].closed = true;
	link->held[0] = false;
	link->cut = true;
	link->number = link_number;
	return true;
}

bool resume_repeat(struct host *opener)
{
	return opener->stale.epoch > 0 && send_alone(opener, &opener->stale, opener->stale_link);
}

bool resume_lie(struct host *opener, const struct host *acceptor)
{
	uint64_t acknowledged = acceptor->session.to_peer.acknowledged;
	struct resume_message lie = {.version = PROTOCOL_VERSION, .epoch = UINT64_MAX};

	if (!acceptor->session_started)
		return false;
	if (acknowledged > 0 && random_once_in(opener->random, 2))
		lie.delivered = random_from(opener->random, 0, acknowledged - 1);
	else
		lie.delivered = acceptor->plan->write_bytes + 2;
	return send_alone(opener, &lie, 0);
}
