/* One end of a channel as the daemon drives it: a handshake, then a session between a local
 * program and a link, with every step taken at random moments and in random portions.
 *
 * Everything the protocol promises to one host, or to both at every moment, is checked here.
 */
#ifndef CULVERT_SIM_HOST_H
#define CULVERT_SIM_HOST_H

#include "pipe.h"
#include "plan.h"
#include "program.h"
#include "tunnel/handshake.h"
#include "tunnel/session.h"

#define SEAL_MOST_BYTES 131072

enum host_phase {
	HOST_HANDSHAKING,
	HOST_CARRYING,
	HOST_FINISHED,
	HOST_REFUSED,
	HOST_RESET, /* by either host */
	HOST_LOST,  /* the link ended, or was silent for too long */
};

/* Both directions of a link. A channel that outlives its link is given another. */
struct sim_link {
	struct pipe pipes[2]; /* pipes[i] carries what host i sends */
	uint64_t delay_ms;
	uint64_t jitter_most_ms;
	bool cut; /* by a fault, or by a host that gave it up */
};

struct host {
	size_t number; /* 0 is the opener */
	const struct host_plan *plan;
	struct random *random;
	struct sim_link *link;
	enum host_phase phase;
	bool refuses;
	bool reset_asked; /* session_reset() was called on a channel that was open */
	bool moved;       /* the last pass did anything */
	uint64_t now_ms;
	uint64_t heard_ms;
	struct program program;
	struct chunk_pool pool;
	struct handshake handshake;
	struct session session;
	bool session_started;
	unsigned char sealed[SEAL_MOST_BYTES];
	size_t sealed_begin;
	size_t sealed_end;
};

/** @plan, @random and @link outlive the host */
void host_init(struct host *host, size_t number, const struct host_plan *plan,
	struct random *random, struct sim_link *link);
void host_fini(struct host *host);

/** Everything that can be done now, or part of it */
void host_pass(struct host *host, uint64_t now_ms);

/** What must hold between the two at every moment */
void host_check(const struct host *host, const struct host *peer);

/** Everything that is not acknowledged is kept, so that it can be sent again on another link */
void host_check_replay(const struct host *host);

/** The next moment at which something comes about by itself; UINT64_MAX: there is none */
uint64_t host_next_ms(const struct host *host);

void host_reset(struct host *host);
void host_program_gone(struct host *host);

static inline bool host_ended(const struct host *host)
{
	return host->phase != HOST_HANDSHAKING && host->phase != HOST_CARRYING;
}

#endif
