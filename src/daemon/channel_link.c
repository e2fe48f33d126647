#include "daemon/channel_link.h"

#include <stdatomic.h>
#include <stdio.h>

#include "daemon/channel_table.h"
#include "io/socket.h"

/* How often one that waits past its deadline is looked at */
#define PATIENT_TURN_MS 1000

uint64_t channel_deadline(const struct channel *channel)
{
	uint64_t since_ms = channel->parting ? channel->parted_ms : channel->lost_ms;
	uint64_t deadline_ms = since_ms + channel->resume_deadline_ms;

	return channel->patient_ms > deadline_ms && !channel->parting ? channel->patient_ms
								      : deadline_ms;
}

static bool is_patient(const struct channel *channel)
{
	return channel->allotment.terms && atomic_load(&channel->allotment.terms->patient);
}

bool channel_deadline_runs(const struct channel *channel)
{
	return !channel->flow.link || channel->parting;
}

bool channel_waits_on(struct channel *channel)
{
	if (channel->parting || !is_patient(channel) ||
		(channel->table && channel_table_is_orphan(channel->table, channel)))
		return false;
	channel->patient_ms = loop_now_ms(channel->worker->loop) + PATIENT_TURN_MS;
	return true;
}

void channel_lose_link(struct channel *channel, const struct error *why)
{
	if (!channel->parting)
		channel_report_lost(&channel->report, why);
	if (channel->flow.link)
		link_abort(channel->flow.link);
	snprintf(channel->lost_why, sizeof(channel->lost_why), "%s", why->message);
	flow_lose_link(&channel->flow);
	channel->lost_ms = loop_now_ms(channel->worker->loop);
	if (channel->redial)
		redial_begin(channel->redial);
}

void channel_take_link(struct channel *channel, struct link *link)
{
	uint64_t silence_ms = channel->flow.session.settings.silence_ms;

	/* The session hears sooner of a peer that is silent; a peer that is heard and hears nothing
	 * is for the kernel to find out. */
	socket_set_patience(link_descriptor(link), silence_ms + silence_ms / 4);
	link_carry(link, channel_on_link, channel);
}

/* A new link is proven: go on where both sides are. */
static void gain_link(
	struct channel *channel, struct link *link, uint64_t delivered, uint64_t limit)
{
	uint64_t now_ms = loop_now_ms(channel->worker->loop);

	if (!channel->parting)
		channel_report_resumed(&channel->report, now_ms - channel->lost_ms,
			channel->flow.session.to_peer.sent - delivered);
	flow_gain_link(&channel->flow, link, delivered, limit, now_ms);
	allotment_renew(&channel->allotment);
	channel_take_link(channel, link);
	channel_settle_next(channel);
}

static void on_redialled(struct link *link, const struct handshake *answer, void *owner)
{
	struct channel *channel = owner;
	struct error err;

	if (session_can_attach(&channel->flow.session, answer->peer_delivered)) {
		gain_link(channel, link, answer->peer_delivered, answer->peer_limit);
		return;
	}
	link_abort(link);
	error_set(&err, ERROR_PEER, "the peer resumed at an impossible position");
	channel_end_with(channel, &err);
}

/* The peer proved itself and knows nothing of this channel: it has ended there. */
static void on_redial_refused(const struct error *why, void *owner)
{
	struct channel *channel = owner;
	struct error err;

	error_set(&err, session_ended_well(&channel->flow.session) ? ERROR_NONE : ERROR_LINK,
		"the channel did not outlive its lost connection: %s", why->message);
	channel_end_with(channel, &err);
}

static void on_redial_failed(void *owner)
{
	channel_settle_next(owner);
}

const struct redial_events channel_redial_events = {
	.up = on_redialled, .refused = on_redial_refused, .failed = on_redial_failed};

void channel_expire(struct channel *channel)
{
	struct error err;

	/* The last word may be on its way over a link that there is. */
	error_set(&err, channel->flow.link ? ERROR_CANCELLED : ERROR_LINK,
		"%s, and no other to %s within %llu s", channel->lost_why,
		channel->report.name.peer, (unsigned long long)channel->resume_deadline_ms / 1000);
	channel_end_with(channel, &err);
}

void channel_wait_for_link(struct channel *channel)
{
	uint64_t now_ms = loop_now_ms(channel->worker->loop);
	uint64_t delivered;
	uint64_t limit;
	struct error err;

	if (flow_deliver(&channel->flow, now_ms, &err) < 0)
		channel_part(channel, REASON_LOCAL_GONE, &err);
	if (channel->redial && now_ms >= redial_due_ms(channel->redial)) {
		session_position(&channel->flow.session, &delivered, &limit);
		redial_try(channel->redial, delivered, limit);
	}
	channel_report_figures(&channel->report, &channel->flow.session);
	channel_settle_interest(channel);
	channel_settle_next(channel);
}

void channel_resume(struct channel *channel, struct link *link, const struct resume_message *resume)
{
	struct error why;
	uint64_t delivered;
	uint64_t limit;

	if (channel->closing || channel->flow.session.state == SESSION_RESET ||
		resume->epoch <= channel->epoch ||
		!session_can_attach(&channel->flow.session, resume->delivered)) {
		link_refuse(link, REASON_NO_SERVICE, CHANNEL_UNKNOWN);
		return;
	}
	channel->epoch = resume->epoch;
	if (channel->flow.link) {
		error_set(&why, ERROR_LINK, "the peer came back over a new connection");
		channel_lose_link(channel, &why);
	}
	session_position(&channel->flow.session, &delivered, &limit);
	link_grant_resume(link, delivered, limit);
}

void channel_resumed(struct channel *channel, struct link *link, const struct handshake *answer)
{
	if (channel->closing || channel->flow.link)
		link_abort(link);
	else
		gain_link(channel, link, answer->peer_delivered, answer->peer_limit);
}
