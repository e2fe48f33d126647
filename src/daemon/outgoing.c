#include "daemon/outgoing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/channel.h"
#include "daemon/contact.h"
#include "daemon/conversation.h"
#include "daemon/opening.h"
#include "daemon/outgoing_end.h"
#include "daemon/switchover.h"
#include "hypervisor/qemu.h"
#include "io/socket.h"

#define TURN_MS 100
/* A cancelled or failed QEMU tidies up before its settings may be put back. */
#define TIDY_MS 2000

static int check_cancelled(struct outgoing *outgoing, struct error *err)
{
	unsigned requests = migration_take_requests(outgoing->migration);

	outgoing->switch_requested |= (requests & REQUEST_SWITCH) != 0;
	if (requests & REQUEST_CANCEL)
		return error_set(err, ERROR_CANCELLED, "cancelled before memory moved");
	if (atomic_load(&outgoing->daemon->stopping))
		return error_set(err, ERROR_CANCELLED, "culvertd is stopping");
	return 0;
}

static int prepare_both(struct outgoing *outgoing, struct error *err)
{
	const struct migration_plan *plan = migration_plan(outgoing->migration);
	const char *their_version;
	json_t *result = NULL;
	int prepared;

	outgoing->qemu = qemu_open(outgoing->daemon->config->qmp_directory, plan->vm, err);
	if (!outgoing->qemu)
		return -1;
	outgoing->contact = contact_new(outgoing->daemon, outgoing->peer, err);
	if (!outgoing->contact || check_cancelled(outgoing, err) < 0)
		return -1;
	if (contact_ask(outgoing->contact, "prepare",
		    json_pack("{ss ss ss ss ss}", "id", plan->id, "vm", plan->destination_vm,
			    "source_vm", plan->vm, "mode", migration_mode_name(plan->mode), "qemu",
			    qemu_version(outgoing->qemu)),
		    &result, err) < 0)
		return -1;
	their_version = json_string_value(json_object_get(result, "qemu"));
	prepared = qemu_prepare(outgoing->qemu, ROLE_SOURCE, plan->mode, their_version, err);
	json_decref(result);
	if (prepared < 0)
		return -1;
	return check_cancelled(outgoing, err);
}

/* Lay the stream from QEMU to QEMU. */
static int connect_stream(struct outgoing *outgoing, struct error *err)
{
	CLEANUP_FD int for_qemu = -1;
	CLEANUP_FD int for_tunnel = -1;
	json_t *result = NULL;
	const char *token;
	int pair[2];

	if (contact_ask(outgoing->contact, "attach", NULL, &result, err) < 0)
		return -1;
	token = json_string_value(json_object_get(result, "token"));
	if (!token || strlen(token) > 127) {
		json_decref(result);
		return error_set(err, ERROR_PEER, "%s gave no token", outgoing->peer->name);
	}
	if (socket_pair(pair, err) == 0) {
		for_tunnel = pair[0];
		for_qemu = pair[1];
		socket_tune_hypervisor(for_qemu);
		if (qemu_attach(outgoing->qemu, for_qemu, err) == 0)
			outgoing->stream = opening_run(outgoing->daemon, outgoing->peer,
				"migration", token, fd_take(&for_tunnel), NULL, err);
	}
	json_decref(result);
	return outgoing->stream ? 0 : -1;
}

static int begin(struct outgoing *outgoing, struct error *err)
{
	if (check_cancelled(outgoing, err) < 0 || prepare_both(outgoing, err) < 0 ||
		connect_stream(outgoing, err) < 0 || check_cancelled(outgoing, err) < 0 ||
		contact_ask(outgoing->contact, "start", NULL, NULL, err) < 0)
		return -1;
	return qemu_start(outgoing->qemu, err);
}

static void cancel(struct outgoing *outgoing, enum error_code code, const char *why)
{
	struct error err;

	if (outgoing->cancel_taken)
		return;
	if (outgoing->cancel_why.code == ERROR_NONE)
		error_set(&outgoing->cancel_why, code, "%s", why);
	outgoing->cancel_taken = qemu_cancel(outgoing->qemu, &err) == 0;
	if (outgoing->cancel_taken)
		return;
	/* What asks for it is still there on the next turn. */
	log_event_limited(LOG_WARNING, "migration.cancel_failed", "migration=%s reason=\"%s\"",
		migration_plan(outgoing->migration)->id, err.message);
}

static void switch_now(struct outgoing *outgoing)
{
	const char *id = migration_plan(outgoing->migration)->id;
	struct error err;

	/* From here on no cancel is taken; one that came just before still counts. */
	migration_set_phase(outgoing->migration, PHASE_POSTCOPY, GUEST_SOURCE);
	if (migration_take_requests(outgoing->migration) & REQUEST_CANCEL) {
		migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
		outgoing->cancel_requested = true;
		cancel(outgoing, ERROR_CANCELLED, "cancelled");
		return;
	}
	if (contact_ask(outgoing->contact, "postcopy", json_pack("{sb}", "run", !outgoing->halted),
		    NULL, &err) < 0 ||
		qemu_switch_to_postcopy(outgoing->qemu, &err) < 0) {
		migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
		log_event(LOG_WARNING, "migration.switch_failed", "migration=%s reason=\"%s\"", id,
			err.message);
		return;
	}
	outgoing->switched = true;
	log_event(LOG_NOTICE, "migration.switch", "migration=%s elapsed_ms=%llu pass=%llu", id,
		(unsigned long long)migration_elapsed_ms(outgoing->migration),
		(unsigned long long)outgoing->figures.pass_count);
}

static void publish(struct outgoing *outgoing)
{
	struct channel_progress progress;
	struct tunnel_figures tunnel;

	migration_set_figures(outgoing->migration, &outgoing->figures);
	channel_progress(outgoing->stream, &progress);
	tunnel = (struct tunnel_figures){
		.to_peer_bytes = progress.to_peer_bytes,
		.to_local_bytes = progress.to_local_bytes,
		.links_lost = progress.links_lost,
		.replayed_bytes = progress.replayed_bytes,
		.resume_deadline_ms = outgoing->peer->resume_deadline_ms,
	};
	if (progress.lost_ms > 0)
		tunnel.linkless_ms = clock_now_ms() - progress.lost_ms + 1;
	migration_set_tunnel(outgoing->migration, &tunnel);
	if (outgoing->figures.state == MIGRATION_POSTCOPY && !outgoing->postcopy) {
		outgoing->postcopy = outgoing->switched = true;
		migration_set_phase(outgoing->migration, PHASE_POSTCOPY, GUEST_DESTINATION);
	}
}

/* Hear the destination; before post-copy, its loss ends the migration. */
static void hear_destination(struct outgoing *outgoing)
{
	struct error err;

	if (!outgoing->contact_lost &&
		contact_listen(outgoing->contact, 0, &outgoing->news, &err) < 0) {
		outgoing->contact_lost = true;
		outgoing->contact_failure = err;
	}
	if (outgoing->contact_lost && !outgoing->switched)
		cancel(outgoing, ERROR_LINK, outgoing->contact_failure.message);
	if (outgoing->news.stopping && !outgoing->switched) {
		error_set(&err, ERROR_LINK, "culvertd on %s is stopping", outgoing->peer->name);
		cancel(outgoing, ERROR_LINK, err.message);
	}
}

static void obey_operator(struct outgoing *outgoing)
{
	unsigned requests = migration_take_requests(outgoing->migration);

	outgoing->switch_requested |= (requests & REQUEST_SWITCH) != 0;
	outgoing->cancel_requested |= (requests & REQUEST_CANCEL) != 0;
	if (outgoing->switched)
		return;
	if (outgoing->cancel_requested)
		cancel(outgoing, ERROR_CANCELLED, "cancelled");
	else if (atomic_load(&outgoing->daemon->stopping))
		cancel(outgoing, ERROR_CANCELLED, "culvertd was stopped");
}

static bool source_decided(const struct outgoing *outgoing)
{
	switch (outgoing->figures.state) {
	case MIGRATION_COMPLETED:
	case MIGRATION_FAILED:
	case MIGRATION_PAUSED:
		return true;
	case MIGRATION_CANCELLED:
		return strcmp(outgoing->figures.status, "cancelled") == 0;
	case MIGRATION_NONE:
	case MIGRATION_SETUP:
	case MIGRATION_PRECOPY:
	case MIGRATION_POSTCOPY:
	case MIGRATION_OTHER:
		break;
	}
	return false;
}

/* A guest that somebody has stopped is not started on the other host. */
static void look_at_guest(struct outgoing *outgoing)
{
	struct error ignored;

	if (outgoing->figures.state == MIGRATION_PRECOPY)
		(void)qemu_guest_halted(outgoing->qemu, &outgoing->halted, &ignored);
}

/* No switch while the link is away: nobody would hear of it, and it cannot be taken back. */
static bool may_switch(const struct outgoing *outgoing)
{
	struct channel_progress progress;

	channel_progress(outgoing->stream, &progress);
	return !outgoing->switched && outgoing->cancel_why.code == ERROR_NONE &&
		outgoing->figures.state == MIGRATION_PRECOPY && progress.lost_ms == 0;
}

/* Until the source's QEMU has nothing more to do, or is gone */
static void follow(struct outgoing *outgoing)
{
	struct switchover switchover;

	switchover_init(&switchover, migration_plan(outgoing->migration));
	migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
	while (!source_decided(outgoing) && !atomic_load(&outgoing->daemon->ending)) {
		struct error err;
		bool due;

		if (qemu_query(outgoing->qemu, TURN_MS, &outgoing->figures, &err) < 0) {
			if (qemu_gone(outgoing->qemu))
				return;
			continue; /* too busy to answer: ask again */
		}
		publish(outgoing);
		look_at_guest(outgoing);
		hear_destination(outgoing);
		obey_operator(outgoing);
		due = switchover_due(
			&switchover, &outgoing->figures, migration_elapsed_ms(outgoing->migration));
		outgoing->switch_requested |= due;
		if (outgoing->switch_requested && may_switch(outgoing))
			switch_now(outgoing);
	}
}

/* Put QEMU's settings back, once it has tidied up. */
static void restore_source(struct outgoing *outgoing)
{
	struct timespec pause = {.tv_nsec = 100 * 1000000};

	for (int waited_ms = 0; waited_ms < TIDY_MS && !qemu_gone(outgoing->qemu);
		waited_ms += 100) {
		if (qemu_release(outgoing->qemu))
			return;
		nanosleep(&pause, NULL);
	}
}

static void log_outcome(const struct outgoing *outgoing, const struct migration_outcome *outcome)
{
	const struct migration_plan *plan = migration_plan(outgoing->migration);
	const struct migration_figures *figures = &outgoing->figures;
	bool failed = outcome->failure.code != ERROR_NONE;

	log_event(failed ? LOG_WARNING : LOG_NOTICE, "migration.ended",
		"migration=%s vm=%s direction=outgoing host=%s mode=%s elapsed_ms=%llu "
		"downtime_ms=%llu passes=%llu page_requests=%llu%s%s%s",
		plan->id, plan->vm, plan->host, migration_mode_name(plan->mode),
		(unsigned long long)migration_elapsed_ms(outgoing->migration),
		(unsigned long long)figures->downtime_ms, (unsigned long long)figures->pass_count,
		(unsigned long long)figures->page_requests, failed ? " reason=\"" : "",
		failed ? outcome->failure.message : "", failed ? "\"" : "");
}

static void run(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	struct error err;

	if (begin(outgoing, &err) < 0) {
		outgoing_end_before_start(outgoing, &err, outcome);
	} else {
		follow(outgoing);
		outgoing_end(outgoing, outcome);
	}
	if (outcome->guest == GUEST_SOURCE && outgoing->qemu)
		restore_source(outgoing);
	if (outcome->phase == PHASE_COMPLETED && migration_plan(outgoing->migration)->quit_source &&
		qemu_quit(outgoing->qemu, &err) < 0)
		log_event(LOG_WARNING, "migration.quit_failed", "migration=%s reason=\"%s\"",
			migration_plan(outgoing->migration)->id, err.message);
}

static void talk(void *argument)
{
	struct outgoing *outgoing = argument;
	struct migration_outcome outcome = {0};

	run(outgoing, &outcome);
	/* What it has of the guest must not run there. */
	if (outgoing->contact && outgoing->stream && outcome.guest == GUEST_SOURCE)
		contact_tell(outgoing->contact, "finish",
			json_pack("{ss sb}", "guest", "source", "run", 0));
	if (outgoing->stream) {
		if (outcome.phase != PHASE_COMPLETED && outcome.guest == GUEST_SOURCE)
			channel_end(outgoing->stream);
		channel_put(outgoing->stream);
	}
	contact_free(outgoing->contact);
	qemu_free(outgoing->qemu);
	log_outcome(outgoing, &outcome);
	migration_end(outgoing->migration, &outcome);
	free(outgoing);
}

int outgoing_start(
	struct daemon *daemon, const struct migration_plan *plan, char *id, struct error *err)
{
	const struct config_peer *peer = config_find_peer(daemon->config, plan->host);
	struct migration_outcome outcome = {.phase = PHASE_FAILED};
	struct outgoing *outgoing;

	if (!peer)
		return error_set(err, ERROR_USAGE,
			"unknown host '%s': culvert peers lists those in culvert.conf", plan->host);
	if (atomic_load(&daemon->stopping))
		return error_set(err, ERROR_LOCAL, "culvertd is stopping");
	outgoing = calloc(1, sizeof(*outgoing));
	if (!outgoing)
		return error_set(err, ERROR_LOCAL, "no memory");
	outgoing->daemon = daemon;
	outgoing->peer = peer;
	outgoing->migration = migrations_begin(daemon->migrations, plan, err);
	if (!outgoing->migration) {
		free(outgoing);
		return -1;
	}
	memcpy(id, migration_plan(outgoing->migration)->id, 9);
	log_event(LOG_NOTICE, "migration.outgoing", "migration=%s vm=%s host=%s mode=%s", id,
		plan->vm, plan->host, migration_mode_name(plan->mode));
	if (conversation_start(talk, outgoing, err) < 0) {
		outcome.failure = *err;
		migration_end(outgoing->migration, &outcome);
		free(outgoing);
		return -1;
	}
	return 0;
}
