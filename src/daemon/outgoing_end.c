#include "daemon/outgoing_end.h"

#include <string.h>

/* How long the destination's last word is waited for: it may still be placing pages. */
#define LAST_WORD_MS 60000
/* ... and where it only explains what is known already */
#define REASON_MS 2000

static const char advice_paused[] =
	"keep both QEMUs: together they hold the whole memory of the guest. Over a new connection, "
	"'migrate-recover' in the destination's QMP, then 'migrate' with resume=true in the "
	"source's, "
	"finishes the migration";
static const char advice_lost[] = "the QEMU left on the source holds an older state of the guest: "
				  "end it, and start the guest "
				  "again from its disk";
static const char advice_unknown[] = "look at the destination before you do anything here: "
				     "'query-status' in its QMP. If it runs "
				     "there, end the QEMU here; if that QEMU is gone, start the "
				     "guest again from its disk. Never "
				     "'cont' both";
static const char advice_cont[] =
	"the guest is stopped in its QEMU on the source: 'cont' in its QMP starts it";

static void set(struct migration_outcome *outcome, enum migration_phase phase,
	enum guest_place guest, const char *advice)
{
	outcome->phase = phase;
	outcome->guest = guest;
	outcome->advice = advice;
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

/* Wait until the destination says how it ended, or cannot say any more. */
static void hear_last_word(struct outgoing *outgoing, int timeout_ms)
{
	struct error err;

	for (int waited_ms = 0; waited_ms < timeout_ms; waited_ms += 100) {
		const char *status = outgoing->news.status;

		if (strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
			strcmp(status, "gone") == 0)
			return;
		if (outgoing->contact_lost || atomic_load(&outgoing->daemon->ending))
			return;
		if (contact_listen(outgoing->contact, 100, &outgoing->news, &err) < 0)
			outgoing->contact_lost = true;
	}
}

static void end_completed(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	const char *host = outgoing->peer->name;
	const char *status = outgoing->news.status;

	migration_set_phase(outgoing->migration, PHASE_FINISHING, GUEST_DESTINATION);
	hear_last_word(outgoing, LAST_WORD_MS);
	if (strcmp(status, "completed") == 0) {
		set(outcome, PHASE_COMPLETED, GUEST_DESTINATION,
			outgoing->news.running
				? NULL
				: "the guest is paused on the destination, as its QEMU was "
				  "started with -S: 'cont' in its QMP starts it");
		return;
	}
	if (strcmp(status, "gone") == 0 || strcmp(status, "failed") == 0) {
		set(outcome, PHASE_LOST, GUEST_NOWHERE, advice_lost);
		error_set(&outcome->failure, ERROR_GUEST,
			"the source has handed the guest over, but the QEMU on %s ended", host);
		return;
	}
	set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice_unknown);
	error_set(&outcome->failure, ERROR_GUEST,
		"the source has handed the guest over, but %s did not confirm that it runs there",
		host);
}

/* The source's QEMU still has the guest: does it run? */
static void place_on_source(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	struct error err;
	bool running = false;

	outcome->guest = GUEST_SOURCE;
	if (qemu_guest_running(outgoing->qemu, &running, &err) == 0 && !running)
		outcome->advice = advice_cont;
}

static void end_failed(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	const char *host = outgoing->peer->name;
	struct channel_progress progress;

	set(outcome, PHASE_FAILED, GUEST_SOURCE, NULL);
	if (outgoing->cancel_why.code == ERROR_NONE)
		hear_last_word(outgoing, REASON_MS);
	channel_progress(outgoing->stream, &progress);
	if (outgoing->cancel_why.code != ERROR_NONE)
		outcome->failure = outgoing->cancel_why;
	else if (strcmp(outgoing->news.status, "gone") == 0 ||
		strcmp(outgoing->news.status, "failed") == 0)
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

static void end_paused(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	const char *host = outgoing->peer->name;

	migration_set_phase(outgoing->migration, PHASE_PAUSED, GUEST_DESTINATION);
	hear_last_word(outgoing, REASON_MS);
	if (strcmp(outgoing->news.status, "gone") == 0) {
		set(outcome, PHASE_LOST, GUEST_NOWHERE, advice_lost);
		error_set(&outcome->failure, ERROR_GUEST,
			"the QEMU on %s ended in post-copy, with the guest's newest memory", host);
		return;
	}
	if (strcmp(outgoing->news.status, "completed") == 0) {
		set(outcome, PHASE_COMPLETED, GUEST_DESTINATION, NULL);
		return;
	}
	set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice_paused);
	error_set(&outcome->failure, ERROR_GUEST,
		"post-copy was interrupted: the guest's memory is on both hosts, and it waits on "
		"%s",
		host);
}

static void end_without_source(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	hear_last_word(outgoing, REASON_MS);
	if (strcmp(outgoing->news.status, "completed") == 0) {
		set(outcome, PHASE_COMPLETED, GUEST_DESTINATION, NULL);
		return;
	}
	set(outcome, PHASE_LOST, GUEST_NOWHERE,
		"its log says why the QEMU on the source ended; start the guest again from its "
		"disk");
	error_set(&outcome->failure, ERROR_GUEST, "the QEMU on the source ended %s",
		outgoing->postcopy ? "in post-copy, with memory that the destination lacks"
				   : "during pre-copy");
}

void outgoing_end(struct outgoing *outgoing, struct migration_outcome *outcome)
{
	if (qemu_gone(outgoing->qemu)) {
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
	set(outcome, PHASE_FAILED, GUEST_UNKNOWN, advice_unknown);
	error_set(
		&outcome->failure, ERROR_GUEST, "culvertd was stopped before the migration ended");
}
