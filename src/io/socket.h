/* Non-blocking sockets, set up the way the tunnel wants them.
 *
 * Every descriptor is close-on-exec and non-blocking unless it says otherwise, and the caller's.
 * Functions return a descriptor (or 0), or -1 with @err set: ERROR_LOCAL, or ERROR_LINK where the
 * network is at fault.
 */
#ifndef CULVERT_IO_SOCKET_H
#define CULVERT_IO_SOCKET_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/parse.h"

/** Bytes not yet sent beyond which a link does not ask for more (TCP_NOTSENT_LOWAT) */
#define SOCKET_UNSENT_BYTES 16384

/** @returns addresses to be freed by freeaddrinfo(), or NULL; blocks for a name server */
struct addrinfo *socket_resolve(const struct host_port *where, bool passive, struct error *err);

int socket_listen(const struct addrinfo *address, struct error *err);

/** A connect that may still be in progress: writable when it is decided, see socket_connected() */
int socket_connect(const struct sockaddr *address, socklen_t length, struct error *err);
int socket_connected(int fd, struct error *err);

/** @returns a descriptor, or -1 without @err when nobody waits or the connection is gone again */
int socket_accept(int listener);

/** Whether a link would take more now without queueing it */
bool socket_link_has_room(int fd);

/** What TCP knows of a connection. @returns false when it tells nothing */
struct socket_state {
	uint64_t acknowledged_bytes; /* by the peer's kernel */
	uint64_t in_flight_us;  /* how long anything was sent or waiting, and not acknowledged */
	uint32_t round_trip_us; /* smoothed */
	uint32_t round_trip_least_us;
};
bool socket_link_state(int fd, struct socket_state *state);

/** Send at most @bytes_per_s from now on; UINT64_MAX: as fast as may be. The kernel keeps the time,
 * and socket_link_has_room() follows */
void socket_set_pacing(int fd, uint64_t bytes_per_s);

/** The link is lost once the peer's kernel has confirmed nothing of what was sent for so long */
void socket_set_patience(int fd, uint64_t patience_ms);

/** Both ends of a unix stream */
int socket_pair(int pair[2], struct error *err);

/** Options of the end that a hypervisor gets: its send buffer is small, so that pages wait in the
 * hypervisor, which can still put urgent ones in front */
void socket_tune_hypervisor(int fd);

/** A unix listener on @path, replacing a stale one; mode and group as asked. errno is EADDRINUSE
 * when somebody listens there */
int socket_listen_unix(const char *path, mode_t mode, gid_t group, struct error *err);

/** errno is kept for who has better words: ENOENT, ECONNREFUSED, EACCES; EAGAIN: its backlog is
 * full */
int socket_connect_unix(const char *path, struct error *err);

/** "10.0.0.2:16520", "[::1]:16520" */
void socket_address_text(const struct sockaddr *address, socklen_t length, char *text, size_t size);

#endif
