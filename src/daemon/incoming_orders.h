/* What the source of an incoming migration asks for over its control channel.
 *
 * Spec: docs/PROTOCOL.md, "Control channel".
 */
#ifndef CULVERT_DAEMON_INCOMING_ORDERS_H
#define CULVERT_DAEMON_INCOMING_ORDERS_H

#include "control/control.h"
#include "daemon/incoming_end.h"

/** @returns what to answer, or NULL with @err */
json_t *incoming_obey(
	struct incoming *incoming, const struct control_command *command, struct error *err);

#endif
