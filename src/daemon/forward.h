/* Local programs that reach a service of a peer: through a socket of [forward NAME] in
 * culvert.conf, or with a descriptor that a control client hands over (`connect`).
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_FORWARD_H
#define CULVERT_DAEMON_FORWARD_H

#include "daemon/daemon.h"

/**
 * Carry @fd to @service of @peer. Waits for the answer, and for a peer that cannot be reached three
 * seconds; the channel then lives by itself.
 *
 * @fd      a connected stream socket, non-blocking; owned, also on failure
 * @errors  see opening_run()
 */
int forward_connect(struct daemon *daemon, const struct config_peer *peer, const char *service,
	int fd, struct error *err);

/** The same for a connection to the socket of @forward, in a thread of its own; a refusal closes it
 */
void forward_serve(struct daemon *daemon, const struct config_forward *forward, int fd);

#endif
