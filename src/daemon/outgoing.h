/* The source's side of a migration: it leads. */
#ifndef CULVERT_DAEMON_OUTGOING_H
#define CULVERT_DAEMON_OUTGOING_H

#include "daemon/daemon.h"
#include "daemon/journal.h"

/**
 * Begin a migration in a thread of its own.
 *
 * @plan     vm, destination_vm, host, mode, policy, quit_source; its id is chosen
 * @errors   ERROR_USAGE: unknown host, or the virtual machine is being migrated already
 */
int outgoing_start(struct daemon *daemon, struct migration_plan *plan, struct error *err);

/** Take up a migration that a culvertd which was killed has left, in a thread of its own */
int outgoing_restore(struct daemon *daemon, const struct config_peer *peer,
	const struct journal_entry *entry, struct error *err);

#endif
