/* What a schedule is made of, drawn from its seed before it begins: sizes, speeds and faults. */
#ifndef CULVERT_SIM_PLAN_H
#define CULVERT_SIM_PLAN_H

#include <stdbool.h>

#include "random.h"
#include "tunnel/session.h"

enum fault_kind {
	FAULT_CUT,    /* the link ends at any byte */
	FAULT_STALL,  /* nothing arrives for a while, perhaps for too long */
	FAULT_REPEAT, /* a RESUME of before comes again */
	FAULT_LIE,    /* a RESUME comes that cannot be */
	FAULT_GONE,   /* the local program ends */
	FAULT_RESET,  /* the host ends the channel */
};

struct fault {
	enum fault_kind kind;
	size_t host;          /* where, or whose bytes are counted */
	uint64_t link_number; /* on which link; see struct sim_link */
	uint64_t at;          /* position in the link's bytes from @host to its peer */
	uint64_t length;      /* CUT: bytes lost the other way; STALL: milliseconds */
	uint64_t deaf_ms;     /* CUT: so long, @host's side hears nothing of it */
	bool done;
};

#define FAULTS_MOST 12

struct host_plan {
	struct session_settings settings;
	uint64_t resume_deadline_ms; /* 0: no link replaces a lost one */
	bool resume_lasts;           /* that is enough for all faults together */
	uint64_t patience_ms;        /* with an attempt to get another link */
	uint64_t write_bytes;
	uint64_t burst_most_bytes;    /* that the program writes at once */
	uint64_t delivery_most_bytes; /* that the program reads at once */
	uint64_t fragment_most_bytes; /* that arrive at once */
	uint64_t flush_most_bytes;    /* that leave at once */
	uint64_t block_in;            /* once in so many deliveries the program stops reading */
	uint64_t block_most_ms;
	uint64_t quiet_in; /* once in so many bursts the program stops writing */
	uint64_t quiet_most_ms;
	uint64_t seal_bytes;
	uint64_t ask_in; /* once in so many passes it asks the peer for another rate */
	uint64_t asks_most;
	uint64_t idle_in; /* a step is left out once in so many times */
};

struct plan {
	struct host_plan hosts[2];
	size_t pipe_bytes[2];
	uint64_t delay_ms;
	uint64_t jitter_most_ms;
	bool refused;
	bool resumes;
	struct fault faults[FAULTS_MOST];
	size_t fault_count;
};

void plan_draw(struct plan *plan, struct random *random);

#endif
