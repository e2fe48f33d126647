/* The destination's side of a migration: a peer's control channel, served by a thread.
 *
 * Spec:    docs/PROTOCOL.md, "Control channel".
 */
#ifndef CULVERT_DAEMON_INCOMING_H
#define CULVERT_DAEMON_INCOMING_H

#include "daemon/daemon.h"
#include "daemon/journal.h"

/** Serve what @peer asks over @fd (owned, also on failure) in a thread of its own */
int incoming_start(
	struct daemon *daemon, const struct config_peer *peer, int fd, struct error *err);

/** Take up a migration that a culvertd which was killed has left, in a thread of its own: its
 * source comes back to it */
int incoming_restore(struct daemon *daemon, const struct config_peer *peer,
	const struct journal_entry *entry, struct error *err);

#endif
