/* A source that comes back over another control channel.
 *
 * Spec: docs/PROTOCOL.md, "Control channel".
 */
#ifndef CULVERT_DAEMON_INCOMING_REJOIN_H
#define CULVERT_DAEMON_INCOMING_REJOIN_H

#include "control/control.h"
#include "daemon/incoming_end.h"

/**
 * `rejoin`: a source that has lost its control channel, or was started again, takes up its
 * migration. It is answered by the conversation that leads it, or here if there is none.
 *
 * @returns 0, or -1: this conversation has no source any more
 */
int incoming_rejoin(struct incoming *incoming, const struct control_command *command);

/** Take over the control channel of a source that has come back, if there is one, and answer it */
void incoming_take_handover(struct incoming *incoming);

#endif
