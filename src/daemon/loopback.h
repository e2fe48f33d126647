/* Migrations of clients that can only say tcp://: on the source each peer has a loopback address of
 * its own, and what connects there is carried to the same port of the peer's migration_address,
 * where a QEMU of that host listens.
 *
 * For each peer one connection after the other: the next is opened once the other host has
 * connected the one before, for QEMU 7.2 tells its streams apart by nothing but their order.
 */
#ifndef CULVERT_DAEMON_LOOPBACK_H
#define CULVERT_DAEMON_LOOPBACK_H

#include "daemon/daemon.h"

struct loopbacks;

/** For all peers of the configuration. @returns NULL without memory */
struct loopbacks *loopbacks_new(struct daemon *daemon);

/** Once no conversation is left */
void loopbacks_free(struct loopbacks *loopbacks);

/** A listener. @port  of loopback of @peer */
int loopback_listen(const struct config_peer *peer, uint16_t port, struct error *err);

/**
 * A connection to such a listener: it is carried if the program at its other end is root's or the
 * hypervisor's, else closed.
 *
 * @fd       owned
 * Threads:  the main loop
 */
void loopback_serve(
	struct loopbacks *loopbacks, const struct config_peer *peer, uint16_t port, int fd);

/**
 * On the destination: connect to what listens on the port that @argument says. A peer waits for
 * the answer before it asks for the next.
 *
 * @returns  a descriptor, or -1 with @err: ERROR_USAGE: not a port of the range; ERROR_LINK: nobody
 *           listens there
 */
int loopback_connect(
	const struct config_loopback *migration_address, const char *argument, struct error *err);

#endif
