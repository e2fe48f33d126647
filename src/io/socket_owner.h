/* Who is at the other end of a TCP connection within this host: the kernel is asked for the uid
 * of that end's socket (sock_diag(7)), as SO_PEERCRED tells it of a unix socket.
 */
#ifndef CULVERT_IO_SOCKET_OWNER_H
#define CULVERT_IO_SOCKET_OWNER_H

#include <sys/types.h>

#include "base/error.h"

/**
 * The user that made the socket to which @fd, a connected IPv4 socket, is connected.
 *
 * @returns 0, or -1 with @err (ERROR_LOCAL): it is not of this host, no program has it open any
 *          more, or the kernel does not tell
 */
int socket_owner_find(int fd, uid_t *uid, struct error *err);

#endif
