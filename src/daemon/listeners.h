/* Where culvertd listens: the addresses for its peers, the control socket, the forwards' sockets,
 * the peers' loopback addresses. What connects there is handed to who serves it.
 *
 * Threads: the main loop.
 */
#ifndef CULVERT_DAEMON_LISTENERS_H
#define CULVERT_DAEMON_LISTENERS_H

#include "daemon/daemon.h"

struct listeners;

/** None is open yet. @daemon, @loop  outlive it. @returns NULL with @err set without memory */
struct listeners *listeners_new(struct daemon *daemon, struct loop *loop, struct error *err);

/**
 * Open all that the configuration of the daemon names, and make the directories for it.
 *
 * @returns 0, or -1 with @err set: some may be open. ERROR_LOCAL: an address is in use, another
 *          culvertd has the control socket, a directory cannot be made
 */
int listeners_open(struct listeners *listeners, struct error *err);

/** Remove the sockets in the file system that listeners_open() has made */
void listeners_remove_sockets(const struct listeners *listeners);

/** Once the loop has closed their handles */
void listeners_free(struct listeners *listeners);

#endif
