#include "pair.h"

#include "fail.h"
#include "oracle.h"
#include "resume.h"

static void cut(
	struct pair *pair, const struct fault *fault, struct sim_link *link, uint64_t now_ms)
{
	struct pipe *counted = &link->pipes[fault->host];
	struct pipe *other = &link->pipes[1 - fault->host];

	link->cut = true;
	pair->network.cut = true;
	pipe_cut(counted, counted->put - fault->at);
	pipe_cut(other, fault->length);
	if (fault->deaf_ms > 0)
		other->stall_ms = now_ms + fault->deaf_ms;
}

static void stall(const struct fault *fault, struct sim_link *link, uint64_t now_ms)
{
	link->pipes[fault->host].stall_ms = now_ms + fault->length;
	if (fault->at % 2)
		link->pipes[1 - fault->host].stall_ms = now_ms + fault->length;
}

/* @returns whether it came about */
static bool strike(
	struct pair *pair, const struct fault *fault, struct sim_link *link, uint64_t now_ms)
{
	struct host *host = &pair->hosts[fault->host];

	switch (fault->kind) {
	case FAULT_CUT:
		cut(pair, fault, link, now_ms);
		return true;
	case FAULT_STALL:
		stall(fault, link, now_ms);
		return true;
	case FAULT_REPEAT:
		return resume_repeat(&pair->hosts[0]);
	case FAULT_LIE:
		return resume_lie(&pair->hosts[0], &pair->hosts[1]);
	case FAULT_GONE:
	case FAULT_RESET:
		break;
	}
	if (!host->session_started || !host_open(host))
		return false;
	if (fault->kind == FAULT_GONE)
		host_program_gone(host);
	else
		host_reset(host);
	return true;
}

static void strike_when_due(struct pair *pair, struct fault *fault, uint64_t now_ms)
{
	struct sim_link *link =
		fault->done ? NULL : network_find(&pair->network, fault->link_number);

	if (!link || link->pipes[fault->host].put < fault->at)
		return;
	fault->done = strike(pair, fault, link, now_ms);
	pair->disturbed |= fault->done;
}

void pair_init(
	struct pair *pair, struct random *random, struct budget budgets[2], uint64_t begins_ms)
{
	pair->begins_ms = begins_ms;
	pair->random = random;
	pair->disturbed = false;
	plan_draw(&pair->plan, random);
	network_init(&pair->network, pair->plan.pipe_bytes, pair->plan.delay_ms,
		pair->plan.jitter_most_ms);
	for (size_t i = 0; i < 2; i++) {
		pair->plan.hosts[i].settings.budget = &budgets[i];
		host_init(&pair->hosts[i], i, &pair->plan.hosts[i], random, &pair->network);
	}
	pair->hosts[1].refuses = pair->plan.refused;
}

void pair_fini(struct pair *pair)
{
	host_fini(&pair->hosts[0]);
	host_fini(&pair->hosts[1]);
}

bool pair_pass(struct pair *pair, uint64_t now_ms)
{
	size_t first = (size_t)random_from(pair->random, 0, 1);
	bool moved = false;

	if (now_ms < pair->begins_ms)
		return false;
	for (size_t i = 0; i < 2; i++) {
		struct host *host = &pair->hosts[first ^ i];

		host_pass(host, now_ms);
		moved |= host->moved;
		for (size_t j = 0; j < pair->plan.fault_count; j++)
			strike_when_due(pair, &pair->plan.faults[j], now_ms);
		oracle_check(&pair->hosts[0], &pair->hosts[1]);
		oracle_check(&pair->hosts[1], &pair->hosts[0]);
		if (random_once_in(pair->random, 100))
			oracle_check_replay(host);
	}
	return moved;
}

uint64_t pair_next_ms(const struct pair *pair)
{
	uint64_t one = host_next_ms(&pair->hosts[0]);
	uint64_t other = host_next_ms(&pair->hosts[1]);

	if (pair->hosts[0].now_ms < pair->begins_ms)
		return pair->begins_ms;
	return one < other ? one : other;
}

void pair_check_end(const struct pair *pair, uint64_t now_ms)
{
	const struct host *hosts = pair->hosts;

	if (!pair->disturbed && hosts[0].phase != hosts[1].phase)
		fail(now_ms, "the hosts ended in phases %d and %d", (int)hosts[0].phase,
			(int)hosts[1].phase);
	for (size_t i = 0; i < 2; i++)
		oracle_check_end(&hosts[i], &hosts[1 - i]);
}
