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

#include "daemon/channel.h"
#include "daemon/daemon.h"
#include "daemon/migration.h"
#include "daemon/rendezvous_directory.h"

struct rendezvous;

/**
 * Make its directories on both hosts and listen here.
 *
 * @terms   of the migration, held; or NULL: a client's, who does not say when it is in post-copy,
 *          so that its streams wait for a lost link without a deadline from the beginning
 * @told    the other host keeps a record of this migration as long as the rendezvous is there. What
 *          still comes through an earlier one of the same migration ends. NULL: it is told nothing
 * @errors  see opening_run(); the peer's own; ERROR_LOCAL
 */
struct rendezvous *rendezvous_begin(struct daemon *daemon, const struct config_peer *peer,
	struct terms *terms, const struct migration_plan *told, struct error *err);

/** RENDEZVOUS_TOKEN_CHARACTERS long */
const char *rendezvous_token(const struct rendezvous *rendezvous);

const struct config_peer *rendezvous_peer(const struct rendezvous *rendezvous);

/** Whether it cannot be used any more: the peer has left it; then @err is set */
bool rendezvous_is_lost(struct rendezvous *rendezvous, struct error *err);

/** The guest runs on the other host, or is about to: from now on a lost link is waited for, on both
 * hosts, as long as the hypervisor stays. May be repeated.
 * @returns whether the other host knows it already */
bool rendezvous_await(struct rendezvous *rendezvous);

/** Whether a stream of the migration still goes through it, with a link or without */
bool rendezvous_is_carrying(struct rendezvous *rendezvous);

/**
 * How far all that it has carried to @which is: sums, lost_ms of what has lost its link first,
 * ended once one of them has. @returns  how many there are, with those that have ended
 */
size_t rendezvous_progress(struct rendezvous *rendezvous, enum rendezvous_socket which,
	struct channel_progress *progress);

/** From now on a connection waits, as long as it is open, for a peer that cannot be reached */
void rendezvous_insist(struct rendezvous *rendezvous);

/** End what is connected to @which, on both hosts */
void rendezvous_cut(struct rendezvous *rendezvous, enum rendezvous_socket which);
/** Figures of what it carries; resume_deadline_ms too */
void rendezvous_figures(struct rendezvous *rendezvous, struct tunnel_figures *figures);

/** The end of its migration, for rendezvous_end() to tell. @guest  GUEST_SOURCE or
 * GUEST_DESTINATION; of others there is nothing to tell. @running  there */
void rendezvous_settle(struct rendezvous *rendezvous, enum guest_place guest, bool running);

/** No more connections; both directories go. What is connected goes on */
void rendezvous_end(struct rendezvous *rendezvous);

#endif
