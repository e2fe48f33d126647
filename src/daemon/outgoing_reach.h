/* The source's daemon reaches the destination's again, where the control channel was lost with one
 * of them, or with the network. */
#ifndef CULVERT_DAEMON_OUTGOING_REACH_H
#define CULVERT_DAEMON_OUTGOING_REACH_H

#include "daemon/outgoing_end.h"

/** One attempt: a new control channel, and what the destination's QEMU does now in outgoing->news
 */
int outgoing_reach_once(struct outgoing *outgoing, struct error *err);

/**
 * Wait before the next attempt: longer each time, half a minute at most, or until `culvert
 * recover`. The operator sees @why.
 *
 * @returns false: culvertd stops; what is under way is left to the next one
 */
bool outgoing_reach_wait(struct outgoing *outgoing, const struct error *why);

/** Until it is reached. @returns false: as outgoing_reach_wait() */
bool outgoing_reach(struct outgoing *outgoing);

#endif
