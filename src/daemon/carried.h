/* The channels that a rendezvous carries, and the sums of those that have ended.
 *
 * Threads: any, one at a time: its owner has a lock.
 */
#ifndef CULVERT_DAEMON_CARRIED_H
#define CULVERT_DAEMON_CARRIED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "daemon/channel.h"
#include "daemon/migration.h"
#include "daemon/rendezvous_directory.h"

struct carried {
	struct list open;
	struct channel_progress ended[RENDEZVOUS_SOCKETS];
	size_t counts[RENDEZVOUS_SOCKETS]; /* with those that have ended, or were refused */
};

void carried_init(struct carried *carried);
void carried_fini(struct carried *carried);

/** @channel  held from now on, until it has ended */
void carried_add(struct carried *carried, enum rendezvous_socket which, struct channel *channel);

/** A connection that came to nothing: it counts as a channel that has ended with @err */
void carried_add_failure(
	struct carried *carried, enum rendezvous_socket which, const struct error *err);

/** Whether one of them has not ended, with a link or without */
bool carried_is_open(struct carried *carried, enum rendezvous_socket which);

/**
 * How far all of them are: sums, lost_ms of what has lost its link first, the longest linkless_ms
 * (they lose their links together), ended once one has.
 *
 * @returns  how many there are, with those that have ended
 */
size_t carried_progress(
	struct carried *carried, enum rendezvous_socket which, struct channel_progress *progress);

/** The figures of all sockets together. resume_deadline_ms is left alone */
void carried_figures(struct carried *carried, struct tunnel_figures *figures);

/** Put those of @before, whose channels have ended, to @figures */
void tunnel_figures_add(struct tunnel_figures *figures, const struct tunnel_figures *before);

/** End those, on both hosts */
void carried_cut(struct carried *carried, enum rendezvous_socket which);

#endif
