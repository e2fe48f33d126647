#include "daemon/outgoing_libvirt_end.h"

#include "base/log.h"

/* A state of both hosts that was the same so often, a retry apart, is not on its way to another */
#define SETTLED_COUNT 5

static const char advice_left[] =
	"keep the domain on both hosts: together they hold the whole memory of the guest. Start "
	"culvertd again: it goes on with the migration by itself. By hand: culvert token HOST -- "
	"virsh migrate --live --p2p --postcopy --postcopy-resume DOMAIN "
	"--desturi {libvirt_uri} --migrateuri {migrate_uri} --disks-uri {disks_uri}";
static const char advice_lost[] =
	"a part of the guest's memory is gone: 'virsh destroy' what is left of the domain, on "
	"either host, and start the guest again from its disk";
static const char advice_paused[] = "the domain is whole and paused on the source: 'virsh resume' "
				    "it there, once nothing of it is "
				    "left on the destination";
static const char advice_twice[] = "the domain runs on both hosts: 'virsh destroy' it on one of "
				   "them at once, the source if it "
				   "has run on the destination, and look at the guest's disk";
static const char advice_left_here[] = "the domain runs on the destination; what is paused of it "
				       "here is of no use: 'virsh destroy' "
				       "it here";
static const char advice_defined_here[] = "the domain runs on the destination, but is still "
					  "defined here: 'virsh undefine' it here";
static const char advice_look[] = "look at 'virsh domstate --reason' on both hosts before you do "
				  "anything: the guest must run "
				  "on one of them only";
static const char advice_ended[] = "it was shut down while it moved, or its QEMU ended: see "
				   "libvirt's logs of both hosts";

/* The source's libvirt may have been started again meanwhile. */
static int hold_here(struct outgoing_libvirt *outgoing, enum libvirt_hold *hold, struct error *err)
{
	if (outgoing->libvirt && libvirt_hold(outgoing->libvirt, hold, err) == 0)
		return 0;
	return libvirt_hold_at(
		libvirt_options_uri(&outgoing->plan.libvirt), outgoing->uuid, hold, err);
}

enum libvirt_verdict outgoing_libvirt_ask(struct outgoing_libvirt *outgoing, struct error *why)
{
	enum libvirt_hold here;
	enum libvirt_hold there;

	error_set(why, ERROR_NONE, "libvirt is not done with the domain");
	(void)hold_here(outgoing, &here, why);
	(void)libvirt_hold_at(outgoing->their_uri, outgoing->uuid, &there, why);
	outgoing->switched |= here == HOLD_LEAVING || here == HOLD_BROKEN;
	if (here != outgoing->here || there != outgoing->there)
		outgoing->same_count = 0;
	outgoing->here = here;
	outgoing->there = there;
	return libvirt_verdict(here, there, ++outgoing->same_count > SETTLED_COUNT);
}

static void outcome_set(struct migration_outcome *outcome, enum migration_phase phase,
	enum guest_place guest, const char *advice)
{
	outcome->phase = phase;
	outcome->guest = guest;
	outcome->advice = advice;
}

/* The source has kept the guest. */
static void end_at_source(struct outgoing_libvirt *outgoing, struct migration_outcome *outcome)
{
	bool cancelled = outgoing->cancel_requested && !outgoing->switched;

	outcome_set(outcome, cancelled ? PHASE_CANCELLED : PHASE_FAILED, GUEST_SOURCE, NULL);
	if (cancelled)
		error_set(&outcome->failure, ERROR_CANCELLED,
			atomic_load(&outgoing->daemon->stopping) ? "culvertd was stopped"
								 : "cancelled");
	else if (outgoing->result < 0)
		outcome->failure = outgoing->failure;
	else
		error_set(&outcome->failure, ERROR_HYPERVISOR,
			"libvirt says that it has migrated, but the domain is still here");
}

/* libvirt does not undefine it, though asked to, when its own connection was lost meanwhile.
 * @returns whether nothing is left to be done */
static bool is_forgotten(struct outgoing_libvirt *outgoing)
{
	struct error err;

	if (!outgoing->plan.libvirt.undefine_source)
		return true;
	if (outgoing->libvirt && libvirt_undefine(outgoing->libvirt, &err) == 0)
		return true;
	log_event(LOG_WARNING, "migration.not_undefined", "migration=%s vm=%s reason=\"%s\"",
		outgoing->plan.id, outgoing->plan.vm,
		outgoing->libvirt ? err.message : "libvirt cannot be reached");
	return false;
}

static void end_at_destination(struct outgoing_libvirt *outgoing, struct migration_outcome *outcome)
{
	struct error ignored;

	if (outgoing->libvirt &&
		libvirt_query_completed(outgoing->libvirt, &outgoing->figures, &ignored) == 0)
		migration_set_figures(outgoing->migration, &outgoing->figures);
	outcome_set(outcome, PHASE_COMPLETED, GUEST_DESTINATION,
		outgoing->here != HOLD_NONE      ? advice_left_here
			: is_forgotten(outgoing) ? NULL
						 : advice_defined_here);
	outcome->running = outgoing->there == HOLD_RUNNING;
}

static void end_failed(struct outgoing_libvirt *outgoing, enum guest_place guest,
	const char *advice, struct migration_outcome *outcome)
{
	outcome_set(outcome, PHASE_FAILED, guest, advice);
	error_set(&outcome->failure, ERROR_HYPERVISOR, "%s",
		outgoing->result < 0 ? outgoing->failure.message
				     : "libvirt says that it has migrated, which is not so");
}

bool outgoing_libvirt_end_by(struct outgoing_libvirt *outgoing, enum libvirt_verdict verdict,
	struct migration_outcome *outcome)
{
	switch (verdict) {
	case VERDICT_WAIT:
	case VERDICT_RESUME:
		return false;
	case VERDICT_SOURCE:
		end_at_source(outgoing, outcome);
		return true;
	case VERDICT_DESTINATION:
		end_at_destination(outgoing, outcome);
		return true;
	case VERDICT_SOURCE_PAUSED:
		end_failed(outgoing, GUEST_SOURCE, advice_paused, outcome);
		return true;
	case VERDICT_TWICE:
		end_failed(outgoing, GUEST_UNKNOWN, advice_twice, outcome);
		return true;
	case VERDICT_LOST:
		end_failed(outgoing, GUEST_NOWHERE, advice_lost, outcome);
		return true;
	case VERDICT_ENDED:
		end_failed(outgoing, GUEST_NOWHERE, advice_ended, outcome);
		return true;
	}
	return false;
}

void outgoing_libvirt_end_left(struct outgoing_libvirt *outgoing, struct migration_outcome *outcome)
{
	outcome_set(outcome, PHASE_FAILED, GUEST_UNKNOWN,
		outgoing->switched ? advice_left : advice_look);
	error_set(&outcome->failure, ERROR_LOCAL,
		"culvertd was stopped before libvirt was done with the domain");
	outgoing->left = true;
}

void outgoing_libvirt_end_unled(struct migration_outcome *outcome)
{
	outcome->guest = GUEST_UNKNOWN;
	outcome->advice = advice_look;
}
