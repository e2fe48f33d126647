#include "daemon/outgoing_end.h"

#include <string.h>

#include "base/clock.h"
#include "daemon/outgoing_reach.h"
#include "daemon/outgoing_stream.h"

/* How long the destination's last word is waited for: it may still be placing pages. */
#define LAST_WORD_MS 60000
/* ... where nothing can follow any more but how it took the loss of the source's QEMU */
#define LOSS_MS 10000
/* ... and where it only explains what is known already */
#define REASON_MS 2000

static const char advice_left[] = "keep both QEMUs: together they hold the whole memory of the "
				  "guest. Start culvertd again: it "
				  "goes on with the migration by itself";
static const char advice_unknown_there[] = "keep both QEMUs: together they hold the whole memory "
					   "of the guest. Its QEMU on the destination "
					   "may still be there, but culvertd there knows nothing "
					   "of the migration: docs/OPERATIONS.md says "
					   "how to recover it by hand";
static const char advice_stuck[] = "this version of QEMU does not go on when its stream is lost in "
				   "the middle of a recovery: end both "
				   "QEMUs, and start the guest again from its disk";
static const char advice_lost[] = "the QEMU left on the source holds an older state of the guest: "
				  "end it, and start the guest "
				  "again from its disk, unless it has moved on from the "
				  "destination since";
static const char advice_unknown[] =
	"look at the destination before you do anything here: "
	"'query-status' and 'query-migrate' in its QMP. If it runs "
	"there, end the QEMU here; if it is paused there and the "
	"migration 'completed', 'cont' it there; if that QEMU is gone, "
	"start the guest again from its disk. Never 'cont' both";
static const char advice_twice[] =
	"the source goes on with all of the guest's memory, but the destination had begun to run "
	"it, too: end the QEMU on the destination at once, and look at the guest's disk";
static const char advice_cont[] =
	"the guest is stopped in its QEMU on the source: 'cont' in its QMP starts it";

static void set(struct migration_outcome *outcome, enum migration_phase phase,
	enum guest_place guest, const char *advice)
{
	outcome->phase = phase;
	outcome->guest = guest;
	outcome->advice = advice;
}

bool outgoing_has_source(const struct outgoing *outgoing)
{
	return outgoing->qemu && !qemu_gone(outgoing->qemu);
}

void outgoing_end_before_start(
	struct outgoing *outgoing, const struct error *why, struct migration_outcome *outcome)
{
	set(outcome, why->code == ERROR_CANCELLED ? PHASE_CANCELLED : PHASE_FAILED, GUEST_SOURCE,
		NULL);
	outcome->failure = *why;
	if (outgoing->qemu && qemu_gone(outgoing->qemu)) {
		set(outcome, PHASE_FAILED, GUEST_NOWHERE,
			"the guest's QEMU ended on the source; its log says why");
	}
}

static bool says(const struct outgoing *outgoing, const char *status)
{
	return strcmp(outgoing->news.status, status) == 0;
}

static bool destination_ended(const struct outgoing *outgoing)
{
	return says(outgoing, "gone") || says(outgoing, "failed");
}

bool outgoing_destination_has_none(const struct outgoing *outgoing)
{
	return destination_ended(outgoing) || says(outgoing, "unknown");
}

bool outgoing_destination_decided(const struct outgoing *outgoing)
{
	return says(outgoing, "completed") || outgoing_destination_has_none(outgoing);
}

/* Wait until the destination says how it ended, or cannot say any more. */
static void hear_last_word(struct outgoing *outgoing, uint64_t timeout_ms)
{
	uint64_t deadline_ms = clock_now_ms() + timeout_ms;
	struct error err;

	while (clock_left_ms(deadline_ms) > 0) {
		if (says(outgoing, "completed") || destination_ended(outgoing))
			return;
		if (outgoing->contact_lost || atomic_load(&outgoing->daemon->ending) ||
			contact_is_futile(outgoing->contact))
			return;
		if (contact_listen(outgoing->contact, 100, &outgoing->news, &err) < 0) {
			outgoing->contact_lost = true;
			outgoing->contact_failure = err;
		}
	}
}

/* The source cannot run the guest any more, and says so; only then does a destination run a guest
 * that came in pre-copy. As long as that takes: nobody else can say it. */
static int hand_over(struct outgoing *outgoing, bool *running, struct error *err)
{
	json_t *result = NULL;

	if (outgoing->contact_lost) {
		*err = outgoing->contact_failure;
		return -1;
	}
	if (contact_insist(outgoing->contact, "finish",
		    json_pack("{ss sb}", "guest", "destination", "run", !outgoing->halted), &result,
		    err) < 0)
		return -1;
	*running = json_is_true(json_object_get(result, "running"));
	json_decref(result);
	hear_last_word(outgoing, outgoing->peer->resume_deadline_ms + LAST_WORD_MS);
	if (!says(outgoing, "completed"))
		return error_set(
			err, ERROR_LINK, "%s did not say how it ended", outgoing->peer->name);
	return 0;
}

/* culvertd stops before the destination has said how it ended. */
static void leave(struct outgoing *outgoing, struct migration_outcome *outcome, const char *advice)
{
	outgoing->left = true;
	set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice);
	error_set(&outcome->failure, ERROR_GUEST,
		"culvertd was stopped before %s said how the migration ended",
		outgoing->peer->name);
}

/* @returns whether the guest is known to be the destination's */
static bool handed_over(struct outgoing *outgoing, bool *running, struct error *err)
{
	struct error ignored;

	if (hand_over(outgoing, running, err) == 0)
		return true;
	if (outgoing->contact)
		(void)contact_listen(outgoing->contact, 0, &outgoing->news, &ignored);
	/* A guest that runs there already waits for no word, nor does a daemon that stops. */
	*running = outgoing->news.running;
	return says(outgoing, "completed") && *running;
}

/* The destination has all of the guest, and knows that it is its own. */
static void end_there(struct migration_outcome *outcome, bool running)
{
	set(outcome, PHASE_COMPLETED, GUEST_DESTINATION,
		running ? NULL
			: "the guest is stopped on the destination, as it was here: 'cont' in the "
			  "QMP there starts it");
}

static void end_completed(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	struct error err;
	bool running;

	migration_set_phase(outgoing->migration, PHASE_FINISHING,
		outgoing->postcopy ? GUEST_DESTINATION : GUEST_UNKNOWN);
	while (!handed_over(outgoing, &running, &err)) {
		if (destination_ended(outgoing)) {
			set(outcome, PHASE_LOST, GUEST_NOWHERE, advice_lost);
			error_set(&outcome->failure, ERROR_GUEST,
				"the source has handed the guest over, but the QEMU on %s ended",
				outgoing->peer->name);
			return;
		}
		if (says(outgoing, "unknown")) {
			set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice_unknown);
			error_set(&outcome->failure, ERROR_GUEST,
				"the source has handed the guest over, but %s knows nothing of it",
				outgoing->peer->name);
			return;
		}
		if (!outgoing_reach_wait(outgoing, &err) || !outgoing_reach(outgoing)) {
			leave(outgoing, outcome, advice_unknown);
			return;
		}
	}
	end_there(outcome, running);
}

/* Post-copy that is cancelled before it has begun: QEMU 7.2 leaves the guest stopped then, which
 * cannot have gone elsewhere. */
static void run_again(struct outgoing *outgoing, bool *running)
{
	struct error err;

	if (!outgoing->cancelled_at_switch || outgoing->halted || *running)
		return;
	*running = qemu_run_guest(outgoing->qemu, &err) == 0;
}

/* The source's QEMU still has the guest: does it run? */
static void place_on_source(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	struct error err;
	bool running = false;

	outcome->guest = GUEST_SOURCE;
	/* QEMU fails in the moment of the switch when its stream breaks, and takes the guest back.
	 */
	if (strncmp(outgoing->news.status, "postcopy-", 9) == 0) {
		outcome->advice = advice_twice;
		return;
	}
	if (qemu_guest_running(outgoing->qemu, &running, &err) < 0)
		return;
	run_again(outgoing, &running);
	if (!running)
		outcome->advice = advice_cont;
}

static void end_failed(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	const char *host = outgoing->peer->name;
	struct channel_progress progress;

	/* QEMU shuts its socket before it says 'cancelling', and may come to 'failed' over that. */
	set(outcome, outgoing->cancel_why.code == ERROR_CANCELLED ? PHASE_CANCELLED : PHASE_FAILED,
		GUEST_SOURCE, NULL);
	if (outgoing->cancel_why.code == ERROR_NONE)
		hear_last_word(outgoing, REASON_MS);
	if (!outgoing_stream_progress(outgoing, &progress))
		progress.ended = false;
	if (outgoing->cancel_why.code != ERROR_NONE)
		outcome->failure = outgoing->cancel_why;
	else if (destination_ended(outgoing))
		error_set(&outcome->failure, ERROR_HYPERVISOR,
			"the QEMU on %s ended; its log says why", host);
	else if (progress.ended && progress.failure.code == ERROR_LINK)
		error_set(&outcome->failure, ERROR_LINK, "%s: %s", host, progress.failure.message);
	else
		error_set(&outcome->failure, ERROR_HYPERVISOR, "QEMU: %s",
			*outgoing->figures.reason ? outgoing->figures.reason : "migration failed");
	place_on_source(outgoing, outcome);
}

static void end_cancelled(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	bool wanted = outgoing->cancel_why.code == ERROR_CANCELLED;

	set(outcome, wanted ? PHASE_CANCELLED : PHASE_FAILED, GUEST_SOURCE, NULL);
	outcome->failure = outgoing->cancel_why;
	if (outgoing->cancel_why.code == ERROR_NONE)
		error_set(&outcome->failure, ERROR_HYPERVISOR,
			"another QMP client cancelled the migration");
	place_on_source(outgoing, outcome);
}

/* Nothing more can be recovered, or culvertd stops. */
static void end_paused(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	const char *host = outgoing->peer->name;

	if (destination_ended(outgoing)) {
		set(outcome, PHASE_LOST, GUEST_NOWHERE, advice_lost);
		error_set(&outcome->failure, ERROR_GUEST,
			"the QEMU on %s ended in post-copy, with the guest's newest memory", host);
	} else if (says(outgoing, "completed")) {
		end_there(outcome, outgoing->news.running);
	} else if (outgoing->stuck) {
		set(outcome, PHASE_LOST, GUEST_NOWHERE, advice_stuck);
		error_set(&outcome->failure, ERROR_GUEST,
			"a stream was lost while post-copy was being recovered");
	} else if (says(outgoing, "unknown")) {
		set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice_unknown_there);
		error_set(&outcome->failure, ERROR_GUEST,
			"post-copy was interrupted, and %s knows nothing of it", host);
	} else {
		outgoing->left = true;
		set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice_left);
		error_set(&outcome->failure, ERROR_GUEST,
			"culvertd was stopped while post-copy was interrupted: the guest's memory "
			"is "
			"on both hosts, and it waits on %s",
			host);
	}
}

/* The destination may have all of the guest by now, and then it can go on there. */
static void end_without_source(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	migration_set_phase(outgoing->migration, PHASE_FINISHING, GUEST_UNKNOWN);
	hear_last_word(outgoing, LOSS_MS);
	if ((outgoing->contact_lost || contact_is_linkless(outgoing->contact)) &&
		!outgoing_destination_decided(outgoing)) {
		if (!outgoing_reach(outgoing)) {
			leave(outgoing, outcome, advice_unknown);
			return;
		}
		hear_last_word(outgoing, LOSS_MS);
	}
	if (says(outgoing, "completed")) {
		end_completed(outgoing, outcome);
		return;
	}
	/* What has all of the guest says so, if it can be heard. */
	if (destination_ended(outgoing) ||
		(!outgoing->contact_lost &&
			(outgoing->postcopy || says(outgoing, "postcopy-paused")))) {
		set(outcome, PHASE_LOST, GUEST_NOWHERE,
			"its log says why the QEMU on the source ended; end the one on the "
			"destination, if it is still there, and start the guest again from its "
			"disk");
		error_set(&outcome->failure, ERROR_GUEST, "the QEMU on the source ended %s",
			outgoing->postcopy ? "in post-copy, with memory that the destination lacks"
					   : "during pre-copy");
		return;
	}
	set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice_unknown);
	error_set(&outcome->failure, ERROR_GUEST,
		"the QEMU on the source ended, and %s did not say what it has of the guest",
		outgoing->peer->name);
}

void outgoing_end(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	if (!outgoing_has_source(outgoing)) {
		end_without_source(outgoing, outcome);
		return;
	}
	switch (outgoing->figures.state) {
	case MIGRATION_COMPLETED:
		end_completed(outgoing, outcome);
		return;
	case MIGRATION_FAILED:
		end_failed(outgoing, outcome);
		return;
	case MIGRATION_CANCELLED:
		end_cancelled(outgoing, outcome);
		return;
	case MIGRATION_PAUSED:
		end_paused(outgoing, outcome);
		return;
	case MIGRATION_NONE:
	case MIGRATION_SETUP:
	case MIGRATION_PRECOPY:
	case MIGRATION_POSTCOPY:
	case MIGRATION_OTHER:
		break;
	}
	leave(outgoing, outcome, advice_unknown);
}
