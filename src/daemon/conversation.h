/* Threads that lead one blocking conversation each: a migration on its source, a peer's control
 * channel, either of these restored after a crash, a peer that measures, a forward that is being
 * opened, a client of the control socket.
 *
 * They are detached, and counted so that the daemon can wait for them. While they wait for news
 * they look at daemon->stopping every CONVERSATION_TURN_MS; while they wait for an answer of a peer
 * or of QEMU they do not, but every answer has a deadline.
 */
#ifndef CULVERT_DAEMON_CONVERSATION_H
#define CULVERT_DAEMON_CONVERSATION_H

#include <stdbool.h>

#include "base/error.h"

#define CONVERSATION_TURN_MS 250

/** @returns 0, or -1 with @err (ERROR_LOCAL: too many, no resources); @talk is not called then */
int conversation_start(void (*talk)(void *argument), void *argument, struct error *err);

/** Wait until all have ended. @returns whether they have, within @timeout_ms */
bool conversations_wait(unsigned timeout_ms);

#endif
