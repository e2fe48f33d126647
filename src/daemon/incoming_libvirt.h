/* What the source of a domain of libvirt says over the control channel of its rendezvous. This host
 * leads nothing, libvirt does: it makes the place, and keeps a record for its operator.
 *
 * Spec:    docs/PROTOCOL.md, "Control channel".
 * Threads: the conversation's.
 */
#ifndef CULVERT_DAEMON_INCOMING_LIBVIRT_H
#define CULVERT_DAEMON_INCOMING_LIBVIRT_H

#include "control/control.h"
#include "daemon/incoming_end.h"

/** `rendezvous`. @returns what is answered, or NULL with @err set */
json_t *incoming_libvirt_meet(
	struct incoming *incoming, const json_t *arguments, struct error *err);

/** `postcopy`, `finish`. @returns as above */
json_t *incoming_libvirt_obey(
	struct incoming *incoming, const struct control_command *command, struct error *err);

#endif
