/* What moves through a channel: bytes between its local socket and its link.
 *
 *     local socket --(A) readable--> session's to_peer  --(B) writable--> link
 *     local socket <--(D) writable-- session's to_local <--(C) readable-- link
 *
 * No step blocks, and each goes only as far as the next can take it. What to wait for afterwards
 * follows from what the flow holds: flow_interest().
 *
 * Spec:    docs/PROTOCOL.md, "Streams" and "Ending".
 * Threads: owned by one channel, on its loop's thread.
 */
#ifndef CULVERT_DAEMON_FLOW_H
#define CULVERT_DAEMON_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/link.h"
#include "tunnel/pace.h"
#include "tunnel/session.h"

struct flow {
	struct session session;
	struct link *link; /* the channel's; NULL while it is lost, and once it has ended */
	int local_fd;      /* the channel's */
	bool local_deaf;   /* the local program reads no more */
	bool local_over;   /* it writes no more */
	bool local_ready;  /* poll() said that it may be read, and nothing has said otherwise */
	bool link_ready;   /* ... of the link */
	bool link_room;    /* the link would send at once what it is given */
	bool again;        /* the pass stopped before the work was done */
	struct pace pace;  /* of the link */
};

/**
 * (C), (D), (A), (B), and what the clock asks for; only with a link.
 *
 * @worker   its channel's
 * @errors   ERROR_LINK: the link is lost, the rest may go on over another; ERROR_PEER: broke the
 *           protocol; ERROR_LOCAL: the local socket failed, or no memory
 */
int flow_move(struct flow *flow, struct worker *worker, uint64_t now_ms, struct error *err);

/** (D) alone: to_local -> local socket. @errors  ERROR_LOCAL */
int flow_deliver(struct flow *flow, uint64_t now_ms, struct error *err);

/** (B) alone: send until there is no more, or the link takes no more; only with a link.
 * @errors  ERROR_LINK */
int flow_send(struct flow *flow, struct error *err);

/** Whether bytes wait for a local program that still reads */
bool flow_has_deliveries(const struct flow *flow);

/** What to wait for: sets of UV_READABLE and UV_WRITABLE. @link  only with a link */
void flow_interest(const struct flow *flow, int *local, int *link);

/** The link is lost; the caller has closed it. Only flow_deliver() goes on */
void flow_lose_link(struct flow *flow);

/** Go on over @link after what the peer has. @delivered, @peer_limit  what it told; see
 * session_can_attach() */
void flow_gain_link(struct flow *flow, struct link *link, uint64_t delivered, uint64_t peer_limit,
	uint64_t now_ms);

#endif
