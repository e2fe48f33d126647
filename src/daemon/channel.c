#include "daemon/channel.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/descriptor.h"
#include "daemon/channel_link.h"
#include "daemon/channel_table.h"
#include "daemon/scheduler.h"
#include "io/socket.h"

/* How long a local program may take what came before a RESET */
#define LINGER_MS 2000

/* ... of every channel; its budget is its worker's, the rest its peer's */
static const struct session_settings session_settings = {
	/* Of a link of 10 Gbit/s, 50 MB are under way in 40 ms. */
	.replay_bytes = 128 << 20,
	.window = {.least_bytes = 128 << 10, .ample_bytes = 2 << 20, .most_bytes = 128 << 20},
};

static void on_local(uv_poll_t *local, int status, int events);

uint64_t channel_first_limit(void)
{
	return session_settings.window.least_bytes;
}

void channel_hold(struct channel *channel)
{
	atomic_fetch_add(&channel->references, 1);
}

void channel_put(struct channel *channel)
{
	if (atomic_fetch_sub(&channel->references, 1) > 1)
		return;
	loop_put(channel->loop);
	free(channel);
}

void channel_progress(struct channel *channel, struct channel_progress *progress)
{
	channel_report_progress(&channel->report, progress);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct channel *channel = handle->data;

	if (--channel->open_handles == 0)
		channel_put(channel);
}

/* A stream of a hypervisor that no migration of this daemon speaks for. */
static bool is_awaited(const struct channel *channel)
{
	const char *service = channel->report.name.service;

	return strcmp(service, "rendezvous") == 0 || strcmp(service, "tcp-migration") == 0;
}

/* ... over which libvirt says the last words of such a migration */
static bool is_libvirts(const struct channel *channel)
{
	return strcmp(channel->report.name.service, "libvirt") == 0;
}

/* The local program sees its socket close, and the channel's holders that it has ended. */
static void leave_program(struct channel *channel, const struct error *failure)
{
	if (channel->flow.local_fd < 0)
		return;
	if (is_awaited(channel))
		atomic_fetch_sub(&channel->worker->awaited_count, 1);
	if (is_libvirts(channel))
		atomic_fetch_sub(&channel->worker->libvirt_count, 1);
	channel_report_figures(&channel->report, &channel->flow.session);
	channel_report_ended(&channel->report, failure);
	channel->local_interest = 0;
	uv_close((uv_handle_t *)&channel->local, on_handle_closed);
	fd_close(&channel->flow.local_fd);
	/* Others of its migration may follow; what is left here is not theirs to wait for. */
	scheduler_leave(&channel->allotment);
	allotment_fini(&channel->allotment);
}

/* The end of the channel on this host */
void channel_end_with(struct channel *channel, const struct error *failure)
{
	if (channel->closing)
		return;
	channel->closing = true;
	leave_program(channel, failure);
	list_remove(&channel->place);
	atomic_fetch_sub(&channel->worker->channel_count, 1);
	uv_close((uv_handle_t *)&channel->timer, on_handle_closed);
	turn_leave(&channel->turn);
	session_fini(&channel->flow.session);
	redial_free(channel->redial);
	if (channel->flow.link && failure->code == ERROR_LINK)
		link_abort(channel->flow.link);
	else if (channel->flow.link)
		link_finish(channel->flow.link);
	channel->flow.link = NULL;
	if (channel->table)
		channel_table_remove(channel->table, channel);
	worker_tidy(channel->worker);
}

static void set_local_interest(struct channel *channel, int events)
{
	if (events == channel->local_interest)
		return;
	channel->local_interest = events;
	if (events)
		uv_poll_start(&channel->local, events, on_local);
	else
		uv_poll_stop(&channel->local);
}

static void on_timer(uv_timer_t *timer)
{
	struct channel *channel = timer->data;

	channel->timer_ms = UINT64_MAX;
	turns_ask(&channel->worker->turns, &channel->turn);
}

static uint64_t next_ms(const struct channel *channel)
{
	uint64_t next = UINT64_MAX;

	if (channel->flow.link)
		next = session_next_ms(&channel->flow.session);
	else if (channel->redial)
		next = redial_due_ms(channel->redial);
	return channel_deadline_runs(channel) && channel_deadline(channel) < next
		? channel_deadline(channel)
		: next;
}

/* When the next pass is due without an event. The timer may fire early, never late; it is not for
 * what is due at once: libuv would run it again before it looks at any socket. */
void channel_settle_next(struct channel *channel)
{
	uint64_t now_ms = loop_now_ms(channel->worker->loop);
	uint64_t due_ms = next_ms(channel);

	if (channel->flow.again)
		turns_ask(&channel->worker->turns, &channel->turn);
	if (due_ms >= channel->timer_ms)
		return;
	channel->timer_ms = due_ms;
	uv_timer_start(&channel->timer, on_timer, due_ms > now_ms ? due_ms - now_ms : 1, 0);
}

/* What to wait for follows from what the flow holds and wants, and from nothing else. */
void channel_settle_interest(struct channel *channel)
{
	int local;
	int link;

	flow_interest(&channel->flow, &local, &link);
	if (channel->lingering) {
		local = UV_WRITABLE;
		link = 0;
	}
	set_local_interest(channel, local);
	if (channel->flow.link)
		link_set_interest(channel->flow.link, link);
}

/* An error for a channel that one of both programs or hosts ended */
static void reset_error(const struct session *session, struct error *err)
{
	error_set(err, session->reset.reason == REASON_STOPPING ? ERROR_LINK : ERROR_PEER, "%s",
		session->reset.text);
}

static void on_linger_end(uv_timer_t *timer)
{
	struct channel *channel = timer->data;
	struct error err;

	reset_error(&channel->flow.session, &err);
	channel_end_with(channel, &err);
}

/* What came before the RESET is still delivered, if it is wanted; but a program that only writes
 * learns at once that nobody listens, and one that does neither loses its socket soon. */
static void linger(struct channel *channel)
{
	if (!channel->lingering) {
		channel->lingering = true;
		(void)shutdown(channel->flow.local_fd, SHUT_RD);
		uv_timer_start(&channel->timer, on_linger_end, LINGER_MS, 0);
	}
	channel_settle_interest(channel);
}

/* RESET was asked for: the program is left at once. What remains until the peer knows holds no
 * bytes. Only the opener can make another link for it, so an acceptor need not stay: whoever dials
 * in vain learns by that. @returns whether the channel has ended */
static bool settle_parting(struct channel *channel, const struct error *failure)
{
	if (channel->flow.session.state == SESSION_RESET_SENT && !channel->redial) {
		channel_end_with(channel, failure);
		return true;
	}
	leave_program(channel, failure);
	if (!channel->parting)
		channel->parted_ms =
			channel->flow.link ? loop_now_ms(channel->worker->loop) : channel->lost_ms;
	channel->parting = true;
	return false;
}

/* @returns whether the channel has ended */
static bool settle_end(struct channel *channel)
{
	struct session *session = &channel->flow.session;
	struct error err = {0};

	switch (session->state) {
	case SESSION_OPEN:
		return false;
	case SESSION_RESETTING:
	case SESSION_RESET_SENT:
		reset_error(session, &err);
		return settle_parting(channel, &err);
	case SESSION_FINISHED:
		channel_end_with(channel, &err);
		return true;
	case SESSION_RESET:
		if (flow_has_deliveries(&channel->flow)) {
			linger(channel);
			return true;
		}
		reset_error(session, &err);
		channel_end_with(channel, &err);
		return true;
	}
	return false;
}

/* RESET, and end here at once. */
void channel_part(struct channel *channel, enum reason reason, const struct error *failure)
{
	struct error ignored;

	session_reset(&channel->flow.session, reason, failure->message);
	if (channel->flow.link && flow_send(&channel->flow, &ignored) < 0)
		channel_lose_link(channel, &ignored);
	if (channel->flow.session.state == SESSION_RESET ||
		channel->flow.session.state == SESSION_FINISHED) {
		channel_end_with(channel, failure);
		return;
	}
	if (settle_parting(channel, failure))
		return;
	channel_settle_interest(channel);
	channel_settle_next(channel);
}

/* A pass failed: a lost link is waited for, anything else ends the channel on both hosts. */
static void wait_or_end(struct channel *channel, const struct error *err)
{
	struct error ignored;

	/* A peer that has reset the channel leaves its link. */
	if (err->code == ERROR_LINK && channel->flow.session.state == SESSION_RESET) {
		settle_end(channel);
		return;
	}
	if (err->code == ERROR_LINK) {
		channel_lose_link(channel, err);
		channel_wait_for_link(channel);
		return;
	}
	if (err->code != ERROR_PEER) {
		channel_part(channel, REASON_LOCAL_GONE, err);
		return;
	}
	/* Who breaks the protocol is not waited for. */
	session_reset(&channel->flow.session, REASON_PROTOCOL, err->message);
	(void)flow_send(&channel->flow, &ignored);
	channel_end_with(channel, err);
}

static void pass(struct turn *turn)
{
	struct channel *channel = LIST_MEMBER(turn, struct channel, turn);
	uint64_t now_ms = loop_now_ms(channel->worker->loop);
	struct error err;

	if (channel_deadline_runs(channel) && now_ms >= channel_deadline(channel) &&
		!channel_waits_on(channel)) {
		channel_expire(channel);
		return;
	}
	if (channel->flow.session.state == SESSION_RESET) {
		if (flow_deliver(&channel->flow, now_ms, &err) < 0)
			channel_end_with(channel, &err);
		else
			settle_end(channel);
		return;
	}
	if (!channel->flow.link) {
		channel_wait_for_link(channel);
		return;
	}
	allotment_apply(&channel->allotment, &channel->flow);
	if (flow_move(&channel->flow, channel->worker, now_ms, &err) < 0) {
		wait_or_end(channel, &err);
		return;
	}
	channel_report_figures(&channel->report, &channel->flow.session);
	worker_tidy(channel->worker);
	allotment_note(&channel->allotment, &channel->flow, now_ms);
	if (settle_end(channel))
		return;
	channel_settle_interest(channel);
	channel_settle_next(channel);
}

static void on_local(uv_poll_t *local, int status, int events)
{
	struct channel *channel = local->data;

	if (status < 0)
		channel->local_interest = 0; /* libuv has stopped; reading will tell the error */
	if (status < 0 || (events & UV_READABLE))
		channel->flow.local_ready = true;
	turns_ask(&channel->worker->turns, &channel->turn);
}

void channel_on_link(void *owner, int events)
{
	struct channel *channel = owner;

	if (events & UV_READABLE)
		channel->flow.link_ready = true;
	if (events & UV_WRITABLE)
		channel->flow.link_room = true;
	turns_ask(&channel->worker->turns, &channel->turn);
}

struct channel *channel_start(struct worker *worker, struct link *link, int local_fd,
	const struct channel_settings *settings, struct error *err)
{
	struct session_settings session = session_settings;
	struct channel *channel = calloc(1, sizeof(*channel));

	if (!channel || uv_poll_init(loop_uv(worker->loop), &channel->local, local_fd) != 0) {
		free(channel);
		close(local_fd);
		link_abort(link);
		redial_free(settings->redial);
		error_set(err, ERROR_LOCAL, "cannot watch the local socket");
		return NULL;
	}
	uv_timer_init(loop_uv(worker->loop), &channel->timer);
	turn_init(&channel->turn, pass);
	channel->local.data = channel;
	channel->timer.data = channel;
	channel->open_handles = 2;
	atomic_init(&channel->references, 2);
	channel->worker = worker;
	channel->loop = worker->loop;
	loop_hold(channel->loop);
	channel->flow.link = link;
	channel->flow.local_fd = local_fd;
	channel->redial = settings->redial;
	if (channel->redial)
		redial_set_owner(channel->redial, worker, &channel_redial_events, channel);
	channel->table = settings->table;
	channel->resume_deadline_ms = settings->resume_deadline_ms;
	channel->flow.link_room = true;
	channel->flow.link_ready = true;
	channel->flow.local_ready = true;
	pace_init(&channel->flow.pace);
	channel->timer_ms = UINT64_MAX;
	session.budget = worker->budget;
	session.silence_ms = settings->silence_timeout_ms;
	/* Each PING is answered, however often the peer sends its own: three chances to be heard.
	 */
	session.heartbeat_ms = 2 * settings->silence_timeout_ms / 7;
	session_init(&channel->flow.session, &session, &worker->pool, settings->peer_limit,
		loop_now_ms(worker->loop));
	list_append(&worker->channels, &channel->place);
	atomic_fetch_add(&worker->channel_count, 1);
	allotment_init(&channel->allotment, settings->name.service, settings->terms);
	scheduler_join(settings->scheduler, &channel->allotment);
	channel_take_link(channel, link);
	channel_report_begin(&channel->report, &settings->name);
	if (is_awaited(channel))
		atomic_fetch_add(&worker->awaited_count, 1);
	if (is_libvirts(channel))
		atomic_fetch_add(&worker->libvirt_count, 1);
	channel->flow.again = true;
	channel_settle_next(channel);
	return channel;
}

struct worker *channel_worker(const struct channel *channel)
{
	return channel->worker;
}

static void end_here(void *argument)
{
	struct channel *channel = argument;
	struct error err;

	error_set(&err, ERROR_CANCELLED, "ended by the migration");
	if (!channel->closing)
		channel_part(channel, REASON_ENDED, &err);
	channel_put(channel);
}

void channel_end(struct channel *channel)
{
	channel_hold(channel);
	if (!loop_post(channel->loop, end_here, channel))
		channel_put(channel);
}

void channel_stop_listed(struct list *place)
{
	struct channel *channel = LIST_MEMBER(place, struct channel, place);
	struct error err;
	struct error ignored;

	error_set(&err, ERROR_CANCELLED, "that host's culvertd is stopping");
	session_reset(&channel->flow.session, REASON_STOPPING, err.message);
	if (channel->flow.link)
		(void)flow_send(&channel->flow, &ignored);
	channel_end_with(channel, &err);
}
