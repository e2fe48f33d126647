#include "daemon/outgoing_recover.h"

#include <string.h>

#include "base/log.h"
#include "daemon/outgoing_reach.h"
#include "daemon/outgoing_stream.h"

#define TURN_MS 100
/* QEMU tells within milliseconds that its stream has ended - or never. */
#define STUCK_TURNS 50

static bool paused(const struct outgoing *outgoing)
{
	return strcmp(outgoing->figures.status, "postcopy-paused") == 0;
}

/* Both QEMUs are at it. @returns 0: active again; -1: paused again */
static int settle(struct outgoing *outgoing, struct error *err)
{
	unsigned turns_without_stream = 0;

	while (!atomic_load(&outgoing->daemon->ending)) {
		struct error ignored;

		if (qemu_query(outgoing->qemu, TURN_MS, &outgoing->figures, &ignored) < 0 &&
			qemu_gone(outgoing->qemu))
			return error_set(err, ERROR_HYPERVISOR, "the QEMU on the source ended");
		if (outgoing->figures.state != MIGRATION_PAUSED)
			return 0;
		if (paused(outgoing))
			return error_set(err, ERROR_LINK, "the new stream was lost, too");
		outgoing_stream_publish(outgoing);
		if (outgoing_stream_ended(outgoing) && ++turns_without_stream == STUCK_TURNS) {
			outgoing->stuck = true;
			return error_set(err, ERROR_HYPERVISOR,
				"the QEMU on the source stays in 'postcopy-recover'");
		}
	}
	return error_set(err, ERROR_LINK, "culvertd was stopped");
}

static int reach(struct outgoing *outgoing, struct error *err)
{
	if (!outgoing->contact_lost && outgoing->contact &&
		contact_listen(outgoing->contact, 0, &outgoing->news, err) == 0 &&
		!contact_is_linkless(outgoing->contact))
		return 0;
	return outgoing_reach_once(outgoing, err);
}

static int attempt(struct outgoing *outgoing, struct error *err)
{
	if (reach(outgoing, err) < 0)
		return -1;
	if (outgoing_destination_decided(outgoing))
		return error_set(
			err, ERROR_PEER, "the destination says '%s'", outgoing->news.status);
	if (outgoing_stream_lay(outgoing, err) < 0) {
		outgoing->contact_lost |= err->code == ERROR_LINK;
		return -1;
	}
	if (qemu_resume(outgoing->qemu, err) < 0)
		return -1;
	return settle(outgoing, err);
}

bool outgoing_recover(struct outgoing *outgoing)
{
	const struct migration_plan *plan = &outgoing->plan;
	struct error err;

	migration_set_phase(outgoing->migration, PHASE_PAUSED, GUEST_DESTINATION);
	log_event(LOG_WARNING, "migration.paused", "migration=%s vm=%s host=%s", plan->id, plan->vm,
		plan->host);
	while (attempt(outgoing, &err) < 0) {
		if (!outgoing_has_source(outgoing) || outgoing->stuck ||
			outgoing_destination_decided(outgoing) ||
			!outgoing_reach_wait(outgoing, &err))
			return false;
	}
	outgoing->attempts = 0;
	migration_set_waiting(outgoing->migration, "");
	log_event(LOG_NOTICE, "migration.recovered", "migration=%s vm=%s host=%s", plan->id,
		plan->vm, plan->host);
	return true;
}
