/* Opening a channel to a peer, for a thread that can wait. */
#ifndef CULVERT_DAEMON_OPENING_H
#define CULVERT_DAEMON_OPENING_H

#include "daemon/channel.h"
#include "daemon/daemon.h"

/**
 * Connect to @peer (its addresses in turn), ask for @service and carry @local_fd.
 *
 * @terms     the migration's; or NULL
 * @local_fd  owned, also on failure; non-blocking
 * @address   of 400 bytes: where the peer was found and who it proved to be; or NULL
 * @returns   the channel, held once by the caller; or NULL
 * @errors    ERROR_LINK: no address answers; ERROR_IDENTITY; ERROR_PEER: refused
 */
struct channel *opening_run(struct daemon *daemon, const struct config_peer *peer,
	const char *service, const char *argument, struct terms *terms, int local_fd, char *address,
	struct error *err);

#endif
