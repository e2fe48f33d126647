/* The destination's end of the stream from QEMU to QEMU, or of its streams: laid once, and again
 * after post-copy was interrupted. */
#ifndef CULVERT_DAEMON_INCOMING_STREAM_H
#define CULVERT_DAEMON_INCOMING_STREAM_H

#include "daemon/incoming_end.h"

/**
 * Lay the stream: incoming->token leads the source's channel to it. Another is kept in reserve.
 *
 * @rendezvous  of the same peer, where QEMU listens instead if it needs more than one stream, and
 *              serves its disks; or NULL
 * @errors      ERROR_USAGE: there is no such rendezvous, or it is missing
 */
int incoming_stream_lay(struct incoming *incoming, const char *rendezvous, struct error *err);

/**
 * The same after post-copy was interrupted; what is left of the old stream is broken. QEMU takes
 * the new one when the source has begun to send, see incoming_stream_watch(); at a rendezvous, when
 * it comes.
 *
 * @errors ERROR_HYPERVISOR: QEMU is not paused, or cannot go on any more
 */
int incoming_stream_lay_again(struct incoming *incoming, const char *rendezvous, struct error *err);

/** For poll(): readable when incoming_stream_watch() has something to do; -1: never */
int incoming_stream_descriptor(const struct incoming *incoming);

/**
 * Let QEMU take the new stream once the source has sent, for it does not survive its end before;
 * and keep another in reserve once it is active. @figures  QEMU's, or NULL: it does not answer
 */
void incoming_stream_watch(struct incoming *incoming, const struct migration_figures *figures);

/** What the service manager has kept of it for a daemon that was killed */
void incoming_stream_restore(struct incoming *incoming);

void incoming_stream_fini(struct incoming *incoming);

#endif
