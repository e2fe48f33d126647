/* What a source says over the control channel of a rendezvous: for a bare QEMU, whose migration has
 * a control channel of its own, for a client of libvirt, or for a domain that its culvertd leads.
 * For the last this host keeps a record; it leads nothing, libvirt does.
 *
 * Spec:    docs/PROTOCOL.md, "Control channel".
 * Threads: the conversation's.
 */
#ifndef CULVERT_DAEMON_INCOMING_RENDEZVOUS_H
#define CULVERT_DAEMON_INCOMING_RENDEZVOUS_H

#include "control/control.h"
#include "daemon/incoming_end.h"

/** `rendezvous`. @returns what is answered, or NULL with @err set */
json_t *incoming_rendezvous_make(
	struct incoming *incoming, const json_t *arguments, struct error *err);

/** `postcopy`, `finish`. @returns as above */
json_t *incoming_rendezvous_obey(
	struct incoming *incoming, const struct control_command *command, struct error *err);

#endif
