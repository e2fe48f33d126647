/* The source's side of a migration: it leads. */
#ifndef CULVERT_DAEMON_OUTGOING_H
#define CULVERT_DAEMON_OUTGOING_H

#include "daemon/daemon.h"

/**
 * Begin a migration in a thread of its own.
 *
 * @plan     vm, destination_vm, host, mode, policy, quit_source
 * @id       of 9 bytes: its id is written
 * @errors   ERROR_USAGE: unknown host, or the virtual machine is being migrated already
 */
int outgoing_start(
	struct daemon *daemon, const struct migration_plan *plan, char *id, struct error *err);

#endif
