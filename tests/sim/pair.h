/* Two hosts with one channel between them, over links that fail as their plan says. */
#ifndef CULVERT_SIM_PAIR_H
#define CULVERT_SIM_PAIR_H

#include "host.h"

struct pair {
	struct plan plan;
	struct network network;
	struct host hosts[2];
	struct random *random;
	uint64_t begins_ms;
	bool disturbed; /* any fault came about */
};

/**
 * @budgets    one of either side, which its hosts share with those of other pairs
 * @begins_ms  before, pair_pass() does nothing
 */
void pair_init(
	struct pair *pair, struct random *random, struct budget budgets[2], uint64_t begins_ms);
void pair_fini(struct pair *pair);

/** Everything that both can do now, or part of it, and the faults that are due.
 * @returns whether anything was done */
bool pair_pass(struct pair *pair, uint64_t now_ms);

/** See host_next_ms() */
uint64_t pair_next_ms(const struct pair *pair);

/** At the end: did both learn how the channel ended, and rightly so? */
void pair_check_end(const struct pair *pair, uint64_t now_ms);

static inline bool pair_open(const struct pair *pair)
{
	return host_open(&pair->hosts[0]) || host_open(&pair->hosts[1]);
}

#endif
