/* A connection from a peer: who it is, what it asks for, and whether it may.
 *
 * Spec:    docs/PROTOCOL.md, "Opening".
 */
#ifndef CULVERT_DAEMON_ARRIVAL_H
#define CULVERT_DAEMON_ARRIVAL_H

#include "daemon/daemon.h"

/** Serve the connection @fd (owned) on one of the workers; from any thread */
void arrival_serve(struct daemon *daemon, int fd);

#endif
