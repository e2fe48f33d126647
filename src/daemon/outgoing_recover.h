/* Post-copy was interrupted: its source brings it to go on, over a new stream. */
#ifndef CULVERT_DAEMON_OUTGOING_RECOVER_H
#define CULVERT_DAEMON_OUTGOING_RECOVER_H

#include "daemon/outgoing_end.h"

/**
 * Try until both QEMUs go on, with growing pauses while the destination cannot be reached.
 *
 * @returns whether they do. false: there is nothing to recover, or this daemon stops;
 * outgoing_end() then judges
 */
bool outgoing_recover(struct outgoing *outgoing);

#endif
