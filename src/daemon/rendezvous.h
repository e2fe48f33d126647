/* A rendezvous from the side of its source: what local hypervisors and their clients connect to is
 * carried to the hypervisor that listens at the same path on the other host.
 *
 * One connection after the other: the next is opened once the other host has connected the one
 * before, for QEMU 7.2 tells its streams apart by nothing but their order.
 *
 * Threads: made, asked and ended by one that may wait; it has a conversation of its own.
 */
#ifndef CULVERT_DAEMON_RENDEZVOUS_H
#define CULVERT_DAEMON_RENDEZVOUS_H

#include "daemon/daemon.h"
#include "daemon/migration.h"
#include "daemon/rendezvous_directory.h"

struct rendezvous;

/**
 * Make its directories on both hosts and listen here.
 *
 * @migration  that it is for, which the other host is told, and whose terms its channels have. What
 *             still comes through an earlier one of the same migration ends. NULL: a client's
 * @errors  see opening_run(); the peer's own; ERROR_LOCAL
 */
struct rendezvous *rendezvous_begin(struct daemon *daemon, const struct config_peer *peer,
	struct migration *migration, struct error *err);

/** RENDEZVOUS_TOKEN_CHARACTERS long */
const char *rendezvous_token(const struct rendezvous *rendezvous);

const struct config_peer *rendezvous_peer(const struct rendezvous *rendezvous);

/** Whether it cannot be used any more: the peer has left it; then @err is set */
bool rendezvous_is_lost(struct rendezvous *rendezvous, struct error *err);

/** The guest leaves this host: the other one is told soon */
void rendezvous_switch(struct rendezvous *rendezvous);

/** Figures of what it carries; resume_deadline_ms too */
void rendezvous_figures(struct rendezvous *rendezvous, struct tunnel_figures *figures);

/** The end of its migration, for rendezvous_end() to tell. @guest  GUEST_SOURCE or
 * GUEST_DESTINATION; of others there is nothing to tell. @running  there */
void rendezvous_settle(struct rendezvous *rendezvous, enum guest_place guest, bool running);

/** No more connections; both directories go. What is connected goes on */
void rendezvous_end(struct rendezvous *rendezvous);

#endif
