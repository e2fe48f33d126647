/* What others get to know of a channel: its figures, for its holders, and its lines in the log.
 *
 * Threads: the loop of the channel's worker, but for channel_report_progress(): any.
 */
#ifndef CULVERT_DAEMON_CHANNEL_REPORT_H
#define CULVERT_DAEMON_CHANNEL_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "tunnel/session.h"

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
	uint64_t links_lost;
	uint64_t replayed_bytes; /* sent a second time over the links that followed */
	uint64_t linkless_ms;    /* without a link, all losses together that are over */
	uint64_t lost_ms;        /* 0: it has a link; else when that was lost, of clock_now_ms() */
	bool ended;
	struct error failure; /* once ended: ERROR_NONE when both sides finished properly */
};

struct channel_report {
	struct channel_name name;
	_Atomic uint64_t to_peer_bytes;
	_Atomic uint64_t to_local_bytes;
	_Atomic uint64_t links_lost;
	_Atomic uint64_t replayed_bytes;
	_Atomic uint64_t linkless_ms;
	_Atomic uint64_t lost_ms;
	atomic_bool ended;
	struct error failure; /* written before ended is set */
};

void channel_report_begin(struct channel_report *report, const struct channel_name *name);

/** How far it is, after every pass */
void channel_report_figures(struct channel_report *report, const struct session *session);
void channel_report_lost(struct channel_report *report, const struct error *why);

/** @replayed_bytes  that are to be sent again */
void channel_report_resumed(
	struct channel_report *report, uint64_t after_ms, uint64_t replayed_bytes);

/** The local program is done with; once */
void channel_report_ended(struct channel_report *report, const struct error *failure);

void channel_report_progress(struct channel_report *report, struct channel_progress *progress);

#endif
