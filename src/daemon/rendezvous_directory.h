/* Where the hypervisors of two hosts meet: a directory for one migration, at the same path on both
 * hosts, as libvirt wants it.
 *
 *     <runtime_directory>/m/<token>/migrate.sock   the main stream, and those of multifd and
 * preempt <runtime_directory>/m/<token>/disks.sock     NBD, a connection for each disk
 *
 * On the source culvertd listens on these sockets, and members of hypervisor_group may connect; on
 * the destination the hypervisor listens, so that they may make sockets there.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_RENDEZVOUS_DIRECTORY_H
#define CULVERT_DAEMON_RENDEZVOUS_DIRECTORY_H

#include "daemon/config.h"

#define RENDEZVOUS_TOKEN_CHARACTERS 32

enum rendezvous_socket { RENDEZVOUS_MIGRATE, RENDEZVOUS_DISKS };
#define RENDEZVOUS_SOCKETS 2

/** "migrate", "disks" */
const char *rendezvous_socket_name(enum rendezvous_socket which);

/** Whether @text is RENDEZVOUS_TOKEN_CHARACTERS of 0-9 and a-f: nothing else comes into a path */
bool rendezvous_is_token(const char *text);

/** The path of a socket. @token  a token */
void rendezvous_socket_path(const struct config *config, const char *token,
	enum rendezvous_socket which, char path[CONFIG_SOCKET_BYTES]);

enum rendezvous_side { RENDEZVOUS_SOURCE, RENDEZVOUS_DESTINATION };

/** Make the directory of @token. @errors  ERROR_LOCAL: it is there already, or cannot be made */
int rendezvous_directory_make(const struct config *config, const char *token,
	enum rendezvous_side side, struct error *err);

/** Remove it with whatever sockets are left in it */
void rendezvous_directory_remove(const struct config *config, const char *token);

/** Remove what a culvertd that was killed has left. At start, before any is made */
void rendezvous_directories_sweep(const struct config *config);

#endif
