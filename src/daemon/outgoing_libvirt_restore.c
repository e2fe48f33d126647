#include "daemon/outgoing_libvirt_restore.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/journal.h"

#define TURN_US 500000

int outgoing_libvirt_note(struct outgoing_libvirt *outgoing, struct error *err)
{
	struct journal_entry entry = {
		.plan = outgoing->plan,
		.started = true,
		.libvirt = libvirt_journal_encode(outgoing->uuid, &outgoing->plan.libvirt),
	};
	int result = entry.libvirt
		? journal_write(outgoing->daemon->config->runtime_directory, &entry, err)
		: error_set(err, ERROR_LOCAL, "no memory");

	json_decref(entry.libvirt);
	return result;
}

bool outgoing_libvirt_reach(struct outgoing_libvirt *outgoing, struct error *err)
{
	const char *domain = *outgoing->uuid ? outgoing->uuid : outgoing->plan.vm;

	if (outgoing->libvirt)
		return true;
	outgoing->libvirt = libvirt_open(libvirt_options_uri(&outgoing->plan.libvirt), domain, err);
	if (!outgoing->libvirt)
		return false;
	snprintf(outgoing->uuid, sizeof(outgoing->uuid), "%s", libvirt_uuid(outgoing->libvirt));
	return true;
}

/* @returns whether libvirt is still in the call of the culvertd that was killed */
static bool is_called(struct outgoing_libvirt *outgoing)
{
	struct error ignored;

	return outgoing_libvirt_reach(outgoing, &ignored) &&
		libvirt_query(outgoing->libvirt, &outgoing->figures, &ignored) == 0 &&
		(outgoing->figures.state == MIGRATION_SETUP ||
			outgoing->figures.state == MIGRATION_PRECOPY);
}

/* Its streams ended with that culvertd, so it fails; but until it has, the domain is not free. */
static void await_call(struct outgoing_libvirt *outgoing)
{
	struct error err;

	while (is_called(outgoing) && !atomic_load(&outgoing->daemon->stopping)) {
		migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
		migration_set_waiting(outgoing->migration,
			"libvirt has not given up yet what a killed culvertd had begun");
		usleep(TURN_US);
		outgoing_libvirt_take_requests(outgoing);
		if (outgoing->cancel_requested && libvirt_cancel(outgoing->libvirt, &err) < 0)
			log_event_limited(LOG_WARNING, "migration.cancel_failed",
				"migration=%s reason=\"%s\"", outgoing->plan.id, err.message);
	}
	migration_set_waiting(outgoing->migration, "");
}

void outgoing_libvirt_take_up(struct outgoing_libvirt *outgoing)
{
	struct error err;

	migration_set_phase(outgoing->migration, PHASE_PAUSED, GUEST_UNKNOWN);
	outgoing->result = -1;
	error_set(&outgoing->failure, ERROR_LOCAL,
		"culvertd was killed while the domain was on its way");
	/* The other host would wait for them as for any lost connection. */
	if (outgoing_libvirt_meet(outgoing, &err) < 0)
		log_event(LOG_WARNING, "migration.unreachable",
			"migration=%s host=%s reason=\"%s\"", outgoing->plan.id,
			outgoing->plan.host, err.message);
	await_call(outgoing);
}
