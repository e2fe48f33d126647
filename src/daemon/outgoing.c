#include "daemon/outgoing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "daemon/conversation.h"
#include "daemon/outgoing_begin.h"
#include "daemon/outgoing_disks.h"
#include "daemon/outgoing_end.h"
#include "daemon/outgoing_kept.h"
#include "daemon/outgoing_reach.h"
#include "daemon/outgoing_recover.h"
#include "daemon/outgoing_stream.h"
#include "daemon/switchover.h"
#include "hypervisor/qemu.h"

#define TURN_MS 100
/* A cancelled or failed QEMU tidies up before its settings may be put back. */
#define TIDY_MS 2000

static void cancel(struct outgoing *outgoing, enum error_code code, const char *why)
{
	struct error err;

	if (outgoing->cancel_taken)
		return;
	if (outgoing->cancel_why.code == ERROR_NONE)
		error_set(&outgoing->cancel_why, code, "%s", why);
	outgoing->cancelled_at_switch |= strcmp(outgoing->figures.status, QEMU_PRE_SWITCHOVER) == 0;
	outgoing->cancel_taken = qemu_cancel(outgoing->qemu, &err) == 0;
	if (outgoing->cancel_taken)
		return;
	/* What asks for it is still there on the next turn. */
	log_event_limited(LOG_WARNING, "migration.cancel_failed", "migration=%s reason=\"%s\"",
		outgoing->plan.id, err.message);
}

static void switch_now(struct outgoing *outgoing)
{
	const char *id = outgoing->plan.id;
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
		log_event_limited(LOG_WARNING, "migration.switch_failed",
			"migration=%s reason=\"%s\"", id, err.message);
		return;
	}
	outgoing->switched = true;
	log_event(LOG_NOTICE, "migration.switch", "migration=%s elapsed_ms=%llu pass=%llu", id,
		(unsigned long long)migration_elapsed_ms(outgoing->migration),
		(unsigned long long)outgoing->figures.pass_count);
}

static void publish(struct outgoing *outgoing)
{
	migration_set_figures(outgoing->migration, &outgoing->figures);
	outgoing_stream_publish(outgoing);
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

/* A guest that somebody has stopped is not started on the other host, whoever leads it there. */
static void look_at_guest(struct outgoing *outgoing)
{
	bool halted = outgoing->halted;
	struct error err;

	if (outgoing->figures.state == MIGRATION_PRECOPY &&
		qemu_guest_halted(outgoing->qemu, &halted, &err) == 0)
		outgoing->halted = halted;
	/* What could not be written is tried again on the next turn. */
	if (outgoing->halted != outgoing->halted_noted &&
		outgoing_write_journal(outgoing, &err) < 0)
		log_event_limited(LOG_WARNING, "migration.not_noted", "migration=%s reason=\"%s\"",
			outgoing->plan.id, err.message);
}

/* No switch while the link is away: nobody would hear of it, and it cannot be taken back. */
static bool may_switch(const struct outgoing *outgoing)
{
	return !outgoing->switched && outgoing->cancel_why.code == ERROR_NONE &&
		outgoing->figures.state == MIGRATION_PRECOPY &&
		strcmp(outgoing->figures.status, QEMU_PRE_SWITCHOVER) != 0 &&
		outgoing_stream_linked(outgoing);
}

static void attend_disks(struct outgoing *outgoing)
{
	struct error err;

	if (outgoing->disks.count == 0)
		return;
	if (outgoing->cancel_why.code == ERROR_NONE && outgoing_disks_turn(outgoing, &err) < 0) {
		/* It has not begun to switch, whatever it was told: it waits before that. */
		if (outgoing->switched)
			migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
		outgoing->switched = false;
		cancel(outgoing, err.code, err.message);
	} else if (outgoing->cancel_why.code != ERROR_NONE) {
		cancel(outgoing, outgoing->cancel_why.code, outgoing->cancel_why.message);
	}
}

/* Until the source's QEMU has nothing more to do, or is gone */
static void follow(struct outgoing *outgoing)
{
	struct switchover switchover;

	switchover_init(&switchover, &outgoing->plan);
	while (outgoing_has_source(outgoing) && !source_decided(outgoing) &&
		!atomic_load(&outgoing->daemon->ending)) {
		struct error err;
		bool due;

		if (qemu_query(outgoing->qemu, TURN_MS, &outgoing->figures, &err) < 0)
			continue; /* too busy to answer: ask again */
		attend_disks(outgoing);
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
	const struct migration_plan *plan = &outgoing->plan;
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

/* Follow QEMU, and bring a post-copy that was interrupted to go on, until nothing more can be done.
 */
static void lead(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	for (;;) {
		follow(outgoing);
		if (!outgoing_has_source(outgoing) || outgoing->figures.state != MIGRATION_PAUSED ||
			!outgoing_recover(outgoing))
			break;
		migration_set_phase(outgoing->migration, PHASE_POSTCOPY, GUEST_DESTINATION);
	}
	outgoing_end(outgoing, outcome);
}

static void run(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	struct error err;

	if (outgoing_begin(outgoing, &err) < 0) {
		outgoing_end_before_start(outgoing, &err, outcome);
		return;
	}
	migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
	lead(outgoing, outcome);
}

static void leave_qemu(struct outgoing *outgoing)
{
	qemu_free(outgoing->qemu);
	outgoing->qemu = NULL;
}

/* The QEMU that a killed daemon has left. @returns false: this daemon stops */
static bool reach_qemu(struct outgoing *outgoing, enum guest_hold *hold)
{
	const char *directory = outgoing->daemon->config->qmp_directory;
	const struct migration_plan *plan = &outgoing->plan;
	struct error err;

	while (qemu_exists(directory, plan->vm)) {
		outgoing->qemu = qemu_open(directory, plan->vm, &err);
		if (outgoing->qemu) {
			qemu_take_over(
				outgoing->qemu, ROLE_SOURCE, outgoing->started, outgoing->found);
			if (qemu_query(outgoing->qemu, 0, &outgoing->figures, &err) == 0 &&
				qemu_guest_hold(outgoing->qemu, hold, &err) == 0)
				return true;
			leave_qemu(outgoing);
		}
		if (!outgoing_reach_wait(outgoing, &err))
			return false;
	}
	return true;
}

/* Whether QEMU was told to migrate before the daemon was killed */
static bool has_begun(const struct outgoing *outgoing, enum guest_hold hold)
{
	enum migration_state state = outgoing->figures.state;

	return outgoing->started && state != MIGRATION_NONE &&
		(state != MIGRATION_COMPLETED || hold == GUEST_HANDED_OVER);
}

/* What a killed daemon had under way: its stream is gone, and QEMU knows how far it came. */
static void take_up(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	enum guest_hold hold = GUEST_HELD;
	struct error err;

	migration_set_phase(outgoing->migration, PHASE_PAUSED, GUEST_UNKNOWN);
	outgoing->contact_lost = true;
	error_set(&outgoing->contact_failure, ERROR_LINK, "%s has not been reached yet",
		outgoing->peer->name);
	if (!reach_qemu(outgoing, &hold)) {
		outgoing_end(outgoing, outcome);
		return;
	}
	/* Another one of its name: that of the guest has ended. */
	if (hold == GUEST_AWAITED)
		leave_qemu(outgoing);
	if (outgoing_has_source(outgoing) && !has_begun(outgoing, hold)) {
		qemu_take_over(outgoing->qemu, ROLE_SOURCE, false, outgoing->found);
		error_set(&err, ERROR_LOCAL, "culvertd was killed before memory moved");
		outgoing_end_before_start(outgoing, &err, outcome);
		return;
	}
	if (outgoing->figures.state == MIGRATION_POSTCOPY)
		(void)qemu_interrupt(outgoing->qemu, &err);
	outgoing->attempts = 0;
	lead(outgoing, outcome);
}

static void finish(struct outgoing *outgoing, const struct migration_outcome *outcome)
{
	const struct migration_plan *plan = &outgoing->plan;
	struct error err;

	outgoing_disks_end(outgoing);
	if (outcome->guest == GUEST_SOURCE && outgoing->qemu)
		restore_source(outgoing);
	if (outcome->phase == PHASE_COMPLETED && plan->quit_source && outgoing->qemu &&
		qemu_quit(outgoing->qemu, &err) < 0)
		log_event(LOG_WARNING, "migration.quit_failed", "migration=%s reason=\"%s\"",
			plan->id, err.message);
}

static void outgoing_free(struct outgoing *outgoing)
{
	if (outgoing->stream)
		channel_put(outgoing->stream);
	if (outgoing->rendezvous)
		rendezvous_end(outgoing->rendezvous);
	contact_free(outgoing->contact);
	qemu_free(outgoing->qemu);
	json_decref(outgoing->found);
	free(outgoing);
}

/* To the end that the operator sees */
static void lead_to_end(struct outgoing *outgoing)
{
	struct migration_outcome outcome = {0};

	if (outgoing->restored)
		take_up(outgoing, &outcome);
	else
		run(outgoing, &outcome);
	finish(outgoing, &outcome);
	log_outcome(outgoing, &outcome);
	if (outcome.phase != PHASE_COMPLETED && outcome.guest == GUEST_SOURCE) {
		outgoing_stream_end(outgoing);
		/* Its next migration needs the one place that QMP has for a client. */
		leave_qemu(outgoing);
		if (outgoing->started)
			outgoing_kept_begin(outgoing);
	}
	if (!outgoing->left && !outgoing->untold)
		journal_remove(outgoing->daemon->config->runtime_directory, &outgoing->plan);
	migration_end(outgoing->migration, &outcome);
	outgoing->migration = NULL;
}

static void talk(void *argument)
{
	struct outgoing *outgoing = argument;

	if (outgoing->migration)
		lead_to_end(outgoing);
	if (outgoing->untold)
		outgoing_kept_tell(outgoing);
	outgoing_free(outgoing);
}

/* Enter the migration, and lead it in a thread of its own. */
static int set_out(struct outgoing *outgoing, struct error *err)
{
	struct migration_outcome outcome = {.phase = PHASE_FAILED, .guest = GUEST_SOURCE};

	outgoing->migration = migrations_begin(outgoing->daemon->migrations, &outgoing->plan, err);
	if (!outgoing->migration)
		return -1;
	if (conversation_start(talk, outgoing, err) == 0)
		return 0;
	outcome.failure = *err;
	if (outgoing->restored) {
		outcome.guest = GUEST_UNKNOWN;
		outcome.advice = "leave the QEMUs on both hosts as they are, and start culvertd "
				 "again: it goes on with the migration by itself";
	}
	migration_end(outgoing->migration, &outcome);
	return -1;
}

static struct outgoing *outgoing_new(struct daemon *daemon, const struct config_peer *peer,
	const struct migration_plan *plan, struct error *err)
{
	struct outgoing *outgoing = calloc(1, sizeof(*outgoing));

	if (!outgoing) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	outgoing->daemon = daemon;
	outgoing->peer = peer;
	outgoing->plan = *plan;
	return outgoing;
}

int outgoing_start(struct daemon *daemon, struct migration_plan *plan, struct error *err)
{
	const struct config_peer *peer = config_find_peer(daemon->config, plan->host);
	struct outgoing *outgoing;

	if (!peer)
		return error_set(err, ERROR_USAGE,
			"unknown host '%s': culvert peers lists those in culvert.conf", plan->host);
	if (atomic_load(&daemon->stopping))
		return error_set(err, ERROR_LOCAL, "culvertd is stopping");
	migration_choose_id(plan);
	outgoing = outgoing_new(daemon, peer, plan, err);
	if (!outgoing)
		return -1;
	log_event(LOG_NOTICE, "migration.outgoing", "migration=%s vm=%s host=%s mode=%s", plan->id,
		plan->vm, plan->host, migration_mode_name(plan->mode));
	if (set_out(outgoing, err) == 0)
		return 0;
	outgoing_free(outgoing);
	return -1;
}

int outgoing_restore(struct daemon *daemon, const struct config_peer *peer,
	const struct journal_entry *entry, struct error *err)
{
	struct outgoing *outgoing = outgoing_new(daemon, peer, &entry->plan, err);
	int begun;

	if (!outgoing)
		return -1;
	outgoing->restored = true;
	outgoing->started = entry->started;
	outgoing->halted = outgoing->halted_noted = entry->halted;
	outgoing->untold = outgoing->untold_noted = entry->kept;
	outgoing->found = json_incref(entry->found);
	/* What has ended is no migration any more: another one may move the guest. */
	begun = entry->kept ? conversation_start(talk, outgoing, err) : set_out(outgoing, err);
	if (begun < 0)
		outgoing_free(outgoing);
	return begun;
}
