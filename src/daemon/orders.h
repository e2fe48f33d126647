/* What a client of the control socket may order, but for `watch`.
 *
 * Spec:    docs/CONTROL.md.
 * Threads: any; may block (ping).
 */
#ifndef CULVERT_DAEMON_ORDERS_H
#define CULVERT_DAEMON_ORDERS_H

#include <jansson.h>

#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/rendezvous.h"

/** @returns what `return` holds, a new reference; or NULL with @err set */
json_t *orders_obey(
	struct daemon *daemon, const struct control_command *command, struct error *err);

/** `connect`: carry @fd, which came along with the command, to a peer's service. @fd  owned; or -1
 */
json_t *orders_connect(
	struct daemon *daemon, const struct control_command *command, int fd, struct error *err);

/** `rendezvous`: begin one with a peer; see rendezvous_begin() */
struct rendezvous *orders_rendezvous(
	struct daemon *daemon, const json_t *arguments, struct error *err);

/** ... and what is answered: where libvirt's clients find it */
json_t *orders_rendezvous_json(struct daemon *daemon, const struct rendezvous *rendezvous);

#endif
