/* A channel at work: the flow between its local socket and its link, from its start to its end on
 * both hosts. A link that is lost is waited for; the opener makes the next one.
 *
 * After every pass of the flow, what to wait for is derived from its state, and touched nowhere
 * else.
 *
 * Spec:    docs/PROTOCOL.md, "Ending" and "Resume".
 * Threads: everything runs on the loop of its worker. Holders in other threads may ask how far it
 * is, end it, and put it.
 */
#ifndef CULVERT_DAEMON_CHANNEL_H
#define CULVERT_DAEMON_CHANNEL_H

#include <stdint.h>

#include "base/list.h"
#include "daemon/channel_report.h"
#include "daemon/link.h"
#include "daemon/worker.h"
#include "wire/message.h"

struct channel;
struct channel_table;
struct redial;
struct scheduler;
struct terms;

/** What an OPEN or ACCEPT of this host tells the other */
uint64_t channel_first_limit(void);

struct channel_settings {
	struct channel_name name;
	uint64_t peer_limit;         /* from the handshake */
	uint64_t resume_deadline_ms; /* how long to wait for a new link */
	uint64_t silence_timeout_ms; /* a peer silent so long has lost its link */
	struct redial *redial;       /* opener: how to make one; owned. Acceptor: NULL */
	struct channel_table *table; /* acceptor: to leave when it has ended. Opener: NULL */
	struct scheduler *scheduler; /* or NULL: nothing limits it */
	struct terms *terms;         /* those of its migration; or NULL */
};

/**
 * Carry a session over @link, which is up, to @local_fd (owned, also on failure).
 *
 * @returns a channel held once by the caller, or NULL with @err set and @link aborted
 */
struct channel *channel_start(struct worker *worker, struct link *link, int local_fd,
	const struct channel_settings *settings, struct error *err);

/** The worker whose loop it lives on; never changes */
struct worker *channel_worker(const struct channel *channel);

/**
 * Acceptor: answer a peer that has proven to be the channel's opener and asks to resume, on the
 * channel's loop. @link was asked and not answered; it is granted or refused.
 */
void channel_resume(
	struct channel *channel, struct link *link, const struct resume_message *resume);

/** ... and once @link is up */
void channel_resumed(struct channel *channel, struct link *link, const struct handshake *answer);

/** The answer to a RESUME that cannot be granted, whatever the reason: nothing is revealed */
#define CHANNEL_UNKNOWN "no such channel"

void channel_hold(struct channel *channel);
void channel_put(struct channel *channel);

/** From any thread */
void channel_progress(struct channel *channel, struct channel_progress *progress);

/** End it on both hosts (RESET): here at once, there as soon as there is a link; from any thread */
void channel_end(struct channel *channel);

/** For workers_stop(), on its loop */
void channel_stop_listed(struct list *place);

#endif
