/* `culvert doctor`: is this host ready to migrate, and a peer with it?
 *
 * Spec:    docs/CONTROL.md, "Findings"; docs/PROTOCOL.md, `doctor`.
 * Threads: any; blocks.
 */
#ifndef CULVERT_DAEMON_DOCTOR_H
#define CULVERT_DAEMON_DOCTOR_H

#include <jansson.h>

#include "daemon/daemon.h"

/** @peer  NULL: this host alone. @returns  what `return` holds; a peer that is not ready is a
 * finding, no error */
json_t *doctor_examine(struct daemon *daemon, const struct config_peer *peer, struct error *err);

/** What @peer is told of this host. @brief  only what costs nothing */
json_t *doctor_tell(
	struct daemon *daemon, const struct config_peer *peer, bool brief, struct error *err);

#endif
