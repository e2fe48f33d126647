/* A channel between two links: one is lost, another is waited for, and taken.
 *
 * Spec:    docs/PROTOCOL.md, "Resume".
 * Threads: the loop of the channel's worker.
 */
#ifndef CULVERT_DAEMON_CHANNEL_LINK_H
#define CULVERT_DAEMON_CHANNEL_LINK_H

#include "daemon/channel_state.h"

/** Of an opener's redial; the owner is the channel */
extern const struct redial_events channel_redial_events;

/** Carry on over @link */
void channel_take_link(struct channel *channel, struct link *link);

/** Leave the link; an opener begins to dial */
void channel_lose_link(struct channel *channel, const struct error *why);

/** A pass without a link */
void channel_wait_for_link(struct channel *channel);

/** How long a link, or the peer's knowledge of the last word, is waited for */
uint64_t channel_deadline(const struct channel *channel);
bool channel_deadline_runs(const struct channel *channel);

/** The deadline has passed. @returns whether it waits on all the same: its terms are patient, and
 * there may be somebody at the other end who comes back; then the deadline is a later one */
bool channel_waits_on(struct channel *channel);

/** The deadline has passed: the channel ends */
void channel_expire(struct channel *channel);

#endif
