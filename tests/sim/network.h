/* The links between two hosts: one after another, and several at once while a channel moves from a
 * lost link to a new one, or an old connection attempt arrives late. */
#ifndef CULVERT_SIM_NETWORK_H
#define CULVERT_SIM_NETWORK_H

#include "pipe.h"
#include "random.h"

#define LINKS_MOST 6

/* Both directions of one connection. Host 0 opens all of them. */
struct sim_link {
	struct pipe pipes[2]; /* pipes[i] carries what host i sends */
	uint64_t number;      /* links that were asked for before it */
	uint64_t delay_ms;
	uint64_t jitter_most_ms;
	bool held[2]; /* by its ends */
	bool served;  /* host 1 has seen it */
	bool cut;     /* by a fault, or by a host that gave it up */
};

struct network {
	struct sim_link links[LINKS_MOST];
	size_t capacity[2];
	uint64_t delay_ms; /* no link is slower */
	uint64_t jitter_most_ms;
	uint64_t link_count; /* that were asked for */
	bool cut;            /* any link was */
};

void network_init(
	struct network *network, const size_t capacity[2], uint64_t delay_ms, uint64_t jitter_ms);

/** A new link, held by both hosts. @returns NULL: there are too many */
struct sim_link *network_open(struct network *network, struct random *random);

/** The link that was the @number-th to be opened, or NULL: its ends have left it */
struct sim_link *network_find(struct network *network, uint64_t number);

static inline bool sim_link_used(const struct sim_link *link)
{
	return link->held[0] || link->held[1];
}

#endif
