#include "daemon/incoming_end.h"

#include "base/log.h"
#include "daemon/journal.h"
#include "daemon/keep.h"

static const char advice_ask_source[] = "ask the source before you do anything here: 'culvert "
					"status' there says where the guest is";
static const char advice_arrived[] =
	"all of the guest is in this QEMU, paused, and its source has not said that it runs there "
	"no more. Start culvertd again on both hosts: they settle it. By hand: 'cont' here only if "
	"'query-migrate' of the QEMU there says 'completed', or if that QEMU ended before the "
	"guest "
	"went on there; if the guest has run there since, what is here is an older state: end this "
	"QEMU. Never 'cont' both";
static const char advice_unled[] =
	"leave the QEMUs on both hosts as they are, and start culvertd again: it goes on with the "
	"migration by itself";
static const char advice_paused[] = "keep both QEMUs: together they hold the whole memory of the "
				    "guest. Start culvertd again on "
				    "both hosts: the source's recovers the migration by itself";

static void log_end(const struct incoming *incoming, const struct error *failure)
{
	const struct migration_plan *plan = &incoming->plan;
	bool failed = failure->code != ERROR_NONE;

	/* A peer may prepare and leave as often as it likes. */
	log_event_limited(failed ? LOG_WARNING : LOG_NOTICE, "migration.ended",
		"migration=%s vm=%s direction=incoming host=%s elapsed_ms=%llu%s%s%s", plan->id,
		plan->destination_vm, plan->host,
		(unsigned long long)migration_elapsed_ms(incoming->migration),
		failed ? " reason=\"" : "", failed ? failure->message : "", failed ? "\"" : "");
}

/* Without the journal's end */
static void end(struct incoming *incoming, enum migration_phase phase, enum guest_place guest,
	const struct error *failure, const char *advice)
{
	struct migration_outcome outcome = {.phase = phase,
		.guest = guest,
		.running = incoming->running,
		.failure = *failure,
		.advice = advice};

	log_end(incoming, failure);
	migration_end(incoming->migration, &outcome);
	incoming->migration = NULL;
	/* After the record has its end: a source that comes back finds one or the other. */
	incoming_table_remove(incoming->daemon->incoming, incoming);
}

void incoming_end(struct incoming *incoming, enum migration_phase phase, enum guest_place guest,
	const struct error *failure, const char *advice)
{
	journal_remove(incoming->daemon->config->runtime_directory, &incoming->plan);
	keep_drop_all(incoming->plan.id);
	end(incoming, phase, guest, failure, advice);
}

/* Nothing is left to wait for: QEMU has all of the guest, and the source has none. */
static void complete(struct incoming *incoming, bool running)
{
	struct error none = {0};

	incoming->running = running;
	qemu_drop_spare(incoming->qemu);
	incoming_end(incoming, PHASE_COMPLETED, GUEST_DESTINATION, &none,
		running ? NULL : "the guest is paused here: 'cont' in its QMP starts it");
}

/* The source has said so: what is here of the guest must not run. */
static void end_kept(struct incoming *incoming)
{
	struct error err;

	error_set(&err, ERROR_CANCELLED, "%s has kept the guest", incoming->peer->name);
	incoming_end(incoming, PHASE_CANCELLED, GUEST_SOURCE, &err,
		"end the QEMU here: it has a copy of the guest, which must not run");
}

void incoming_end_arrived(struct incoming *incoming, bool running)
{
	incoming->arrived = true;
	if (incoming->kept) {
		end_kept(incoming);
	} else if (incoming->finished || (!incoming->lines && (running || incoming->begun))) {
		complete(incoming, running);
	} else {
		/* Until the source has said where the guest is, it runs there as far as anybody
		 * knows; and it asks for our word, also while this daemon stops. */
		migration_set_phase(incoming->migration, PHASE_FINISHING,
			running || incoming->begun ? GUEST_DESTINATION : GUEST_UNKNOWN);
		migration_set_waiting(incoming->migration,
			incoming->lines ? "" : "it has not said that the guest may run here");
	}
}

void incoming_end_without_qemu(struct incoming *incoming, const char *reason)
{
	struct error err;

	if (incoming->begun) {
		error_set(&err, ERROR_GUEST, "the QEMU here ended in post-copy%s%s",
			*reason ? ": " : "", reason);
		incoming_end(incoming, PHASE_LOST, GUEST_NOWHERE, &err,
			"the newest memory of the guest is gone with this QEMU; its log says why");
	} else if ((incoming->postcopy || incoming->arrived || incoming->restored) &&
		!incoming->kept) {
		error_set(&err, ERROR_GUEST, "%s",
			incoming->restored
				? "the QEMU here ended while culvertd did not run"
				: "the QEMU here ended while the guest was being handed over");
		incoming_end(incoming, PHASE_FAILED, GUEST_UNKNOWN, &err, advice_ask_source);
	} else {
		error_set(&err, ERROR_HYPERVISOR, "%s%s", *reason ? "QEMU: " : "",
			*reason ? reason : "the QEMU here ended; its log says why");
		incoming_end(incoming, PHASE_FAILED, GUEST_SOURCE, &err, NULL);
	}
}

void incoming_end_forgotten(struct incoming *incoming)
{
	struct error err;

	error_set(&err, ERROR_GUEST,
		"the QEMU here knows nothing of the migration: is it a new one?");
	incoming_end(incoming, PHASE_FAILED, GUEST_UNKNOWN, &err, advice_ask_source);
}

void incoming_end_withdrawn(struct incoming *incoming)
{
	struct error err;

	if (incoming->qemu)
		qemu_release(incoming->qemu);
	error_set(&err, ERROR_CANCELLED, "%s withdrew before memory moved", incoming->peer->name);
	incoming_end(incoming, PHASE_CANCELLED, GUEST_SOURCE, &err, NULL);
}

void incoming_end_left(struct incoming *incoming)
{
	struct error err;

	if (incoming->arrived)
		error_set(&err, ERROR_GUEST,
			"culvertd was stopped while it waited for %s to say where the guest runs",
			incoming->peer->name);
	else
		error_set(
			&err, ERROR_GUEST, "culvertd was stopped while post-copy was interrupted");
	end(incoming, PHASE_FAILED, GUEST_UNKNOWN, &err,
		incoming->arrived ? advice_arrived : advice_paused);
}

void incoming_end_unled(struct incoming *incoming, const struct error *why)
{
	end(incoming, PHASE_FAILED, GUEST_UNKNOWN, why, advice_unled);
}

int incoming_let_run(struct incoming *incoming, struct error *err)
{
	if (incoming->let_run || incoming->stay)
		return 0;
	if (qemu_run_guest(incoming->qemu, err) < 0)
		return error_prefix(err, "the guest is complete here, but not started");
	incoming->let_run = true;
	return 0;
}
