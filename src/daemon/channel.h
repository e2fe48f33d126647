/* A channel at work: a session between its local socket and its link.
 *
 *     local socket --(A) readable--> session's to_peer  --(B) writable--> link
 *     local socket <--(D) writable-- session's to_local <--(C) readable-- link
 *
 * No step blocks. After every pass the interest in both sides is derived from the session's state.
 *
 * Threads: everything runs on the loop of its worker. Holders in other threads may ask how far it
 * is, end it, and put it.
 */
#ifndef CULVERT_DAEMON_CHANNEL_H
#define CULVERT_DAEMON_CHANNEL_H

#include <stdint.h>

#include "base/list.h"
#include "daemon/link.h"
#include "daemon/worker.h"
#include "wire/message.h"

struct channel;

struct channel_name {
	char id[9];            /* the first hex digits of its id, for logs */
	char peer[64];         /* name of the other host */
	char service[64];      /* what was asked for */
	const char *direction; /* "opened" or "accepted" */
};

/** @direction  a literal, as above */
void channel_name_fill(struct channel_name *name, const struct open_message *open, const char *peer,
	const char *direction);

struct channel_progress {
	uint64_t to_peer_bytes;  /* acknowledged by the peer */
	uint64_t to_local_bytes; /* delivered to the local program */
	bool ended;
	struct error failure; /* once ended: ERROR_NONE when both sides finished properly */
};

/** What an OPEN or ACCEPT of this host tells the other */
uint64_t channel_first_limit(void);

/**
 * Carry a session over @link, which is up, to @local_fd (owned, also on failure).
 *
 * @returns a channel held once by the caller, or NULL with @err set and @link aborted
 */
struct channel *channel_start(struct worker *worker, struct link *link, int local_fd,
	uint64_t peer_limit, const struct channel_name *name, struct error *err);

void channel_hold(struct channel *channel);
void channel_put(struct channel *channel);

/** From any thread */
void channel_progress(struct channel *channel, struct channel_progress *progress);

/** End it on both hosts (RESET); from any thread */
void channel_end(struct channel *channel);

/** For worker_stop(), on its loop */
void channel_stop_listed(struct list *place);

#endif
