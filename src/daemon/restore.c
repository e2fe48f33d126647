#include "daemon/restore.h"

#include "base/log.h"
#include "daemon/incoming.h"
#include "daemon/journal.h"
#include "daemon/keep.h"
#include "daemon/outgoing.h"
#include "daemon/outgoing_libvirt.h"

static int restore(struct daemon *daemon, const struct journal_entry *entry, struct error *err)
{
	const struct config_peer *peer = config_find_peer(daemon->config, entry->plan.host);

	if (!peer)
		return error_set(err, ERROR_USAGE,
			"no [peer %s] in culvert.conf any more: put it back and start culvertd "
			"again; keep the QEMUs on both hosts until then",
			entry->plan.host);
	if (entry->plan.incoming)
		return incoming_restore(daemon, peer, entry, err);
	return entry->libvirt ? outgoing_libvirt_restore(daemon, peer, entry, err)
			      : outgoing_restore(daemon, peer, entry, err);
}

static void take(void *argument, const struct journal_entry *entry)
{
	const struct migration_plan *plan = &entry->plan;
	bool incoming = plan->incoming;
	struct error err;

	if (restore(argument, entry, &err) == 0) {
		log_event(LOG_NOTICE, "migration.restored",
			"migration=%s vm=%s direction=%s host=%s", plan->id,
			incoming ? plan->destination_vm : plan->vm,
			incoming ? "incoming" : "outgoing", plan->host);
		return;
	}
	keep_leave(plan->id);
	log_event(LOG_ERROR, "migration.not_restored",
		"migration=%s vm=%s direction=%s host=%s reason=\"%s\"", plan->id,
		incoming ? plan->destination_vm : plan->vm, incoming ? "incoming" : "outgoing",
		plan->host, err.message);
}

void restore_migrations(struct daemon *daemon)
{
	journal_read(daemon->config->runtime_directory, take, daemon);
}
