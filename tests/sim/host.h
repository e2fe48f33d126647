/* One end of a channel as the daemon drives it: a handshake, then a session between a local
 * program and a link, with every step taken at random moments and in random portions. A lost link
 * is replaced as src/daemon/channel.c does it.
 *
 * What one step alone can show to be wrong is checked here, everything else by the oracle.
 */
#ifndef CULVERT_SIM_HOST_H
#define CULVERT_SIM_HOST_H

#include "link_end.h"
#include "plan.h"
#include "program.h"
#include "tunnel/session.h"

enum host_phase {
	HOST_OPENING,
	HOST_CARRYING,
	HOST_WAITING, /* for another link */
	HOST_FINISHED,
	HOST_REFUSED,
	HOST_RESET, /* by either host */
	HOST_LOST,  /* no link, and none came in time; or the peer has ended */
};

struct host {
	size_t number; /* 0 is the opener */
	const struct host_plan *plan;
	struct random *random;
	struct network *network;
	enum host_phase phase;
	bool refuses;
	bool reset_asked; /* session_reset() was called on a channel that was open */
	bool moved;       /* the last pass did anything */
	uint64_t now_ms;
	uint64_t heard_ms;
	struct program program;
	struct chunk_pool pool;
	uint64_t window_bytes; /* after the last pass */
	bool window_grew;
	bool window_shrank;
	struct session session;
	bool session_started;
	uint64_t rate_asked;              /* counts up: what it asks for tells when */
	uint64_t rate_heard;              /* the newest that the peer has asked for */
	struct link_end ends[LINKS_MOST]; /* ends[i] is that of network->links[i] */
	struct link_end *carrying;        /* CARRYING: the link's */
	struct link_end *attempt;         /* opener: the one under way, if any */
	uint64_t epoch;                   /* opener: asked for last; acceptor: granted last */
	struct resume_message stale;      /* opener: what an attempt before asked; epoch 0: none */
	uint64_t stale_link;              /* ... over the link of this number */
	struct resume_message asking;     /* ... and what the one under way asks */
	uint64_t newest_link;             /* number of the last link that it went over to */
	uint64_t resumed_count;
	uint64_t lost_ms;
	uint64_t redial_ms;
	uint64_t pause_ms;
	bool expired;   /* LOST because no link came in time */
	bool dismissed; /* ended because the peer has ended, by what it says */
};

/** @plan, @random and @network outlive the host. It must have ended before host_fini() */
void host_init(struct host *host, size_t number, const struct host_plan *plan,
	struct random *random, struct network *network);
void host_fini(struct host *host);

/** Everything that can be done now, or part of it */
void host_pass(struct host *host, uint64_t now_ms);

/** The next moment at which something comes about by itself; UINT64_MAX: there is none */
uint64_t host_next_ms(const struct host *host);

/** End the channel, from this host */
void host_reset(struct host *host);
void host_program_gone(struct host *host);

/* For resume.c: steps of channel.c that a link's loss and return need */

void host_lose_link(struct host *host);
void host_deliver(struct host *host);
void host_end(struct host *host, enum host_phase phase);
struct link_end *host_dial(struct host *host);

static inline bool host_open(const struct host *host)
{
	return host->phase == HOST_OPENING || host->phase == HOST_CARRYING ||
		host->phase == HOST_WAITING;
}

#endif
