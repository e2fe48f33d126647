/* The local control socket: a thread for each client.
 *
 * Spec:    docs/CONTROL.md.
 */
#ifndef CULVERT_DAEMON_CONTROL_SERVER_H
#define CULVERT_DAEMON_CONTROL_SERVER_H

#include "daemon/daemon.h"

/** Serve the client at @fd (owned, also on failure) */
void control_server_accept(struct daemon *daemon, int fd);

#endif
