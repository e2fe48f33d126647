/* Descriptors that outlive a culvertd that is killed: the service manager keeps them and hands them
 * to the next one. Without a service manager nothing is kept, and nothing else changes.
 *
 * A destination's QEMU whose main loop waits for a page greets nobody any more: the connection to
 * its monitor, and the stream for a recovery, must not be lost with the daemon.
 *
 * Source:  sd_notify(3), FDSTORE; sd_listen_fds(3).
 * Threads: keep_take(), keep_leave() and keep_start() the main one, at start; the others any.
 */
#ifndef CULVERT_DAEMON_KEEP_H
#define CULVERT_DAEMON_KEEP_H

#define KEEP_QMP   "qmp"
#define KEEP_SPARE "spare"
#define KEEP_PEEK  "peek"

/** Give @what of migration @id to the service manager, too. @fd  stays the caller's */
void keep_put(const char *id, const char *what, int fd);

/** ... and have it closed there */
void keep_drop(const char *id, const char *what);
void keep_drop_all(const char *id);

/** What the daemon before has kept; the caller's, or -1 */
int keep_take(const char *id, const char *what);

/** Migration @id cannot be taken up now: what is kept of it stays with the service manager */
void keep_leave(const char *id);

/** Close what nobody took, and tell the service manager that this daemon is ready */
void keep_start(void);

#endif
