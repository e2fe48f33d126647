/* What a channel is, for channel.c and channel_link.c: its program, its flow, its link or the wait
 * for one.
 *
 * Threads: the loop of the channel's worker.
 */
#ifndef CULVERT_DAEMON_CHANNEL_STATE_H
#define CULVERT_DAEMON_CHANNEL_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/allotment.h"
#include "daemon/channel.h"
#include "daemon/flow.h"
#include "daemon/redial.h"

struct channel {
	struct list place; /* in its worker's list */
	struct worker *worker;
	struct loop *loop; /* the worker's, held: holders may outlive the worker */
	struct flow flow;
	struct allotment allotment;
	struct channel_report report;
	struct redial *redial;
	struct channel_table *table;
	uint64_t epoch; /* acceptor: of the last RESUME that was granted */
	uint64_t resume_deadline_ms;
	uint64_t patient_ms; /* past the deadline: when to look whether it still may wait */
	uint64_t lost_ms;    /* when the link was lost, on the clock of the loop */
	char lost_why[160];
	int local_interest;
	bool lingering; /* RESET came; what came before it is being delivered */
	bool parting;   /* it has ended here; the peer is yet to be told, or to leave */
	uint64_t parted_ms;
	bool closing;
	uint64_t timer_ms; /* when the timer fires; UINT64_MAX: it does not */
	uv_poll_t local;
	uv_timer_t timer;
	struct turn turn;       /* its place in its worker's turns */
	atomic_uint references; /* the holders, and the loop while handles are open */
	unsigned open_handles;
};

/** The end of the channel on this host */
void channel_end_with(struct channel *channel, const struct error *failure);

/** RESET, and end here at once */
void channel_part(struct channel *channel, enum reason reason, const struct error *failure);

/** What to wait for follows from what the flow holds and wants, and from nothing else */
void channel_settle_interest(struct channel *channel);

/** When the next pass is due without an event */
void channel_settle_next(struct channel *channel);

/** For link_carry() */
void channel_on_link(void *owner, int events);

#endif
