/* Two sessions and faulty links, one after another.
 *
 *     sim --seed N              one schedule
 *     sim --count N             the schedules of the seeds 1 to N
 *     sim --count N --seed M    those of the seeds M to M + N - 1: a long run may begin anywhere
 *
 * Every byte is delivered once and in order, or both hosts are told. The same seed is the same
 * schedule on every machine.
 */
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "fail.h"
#include "oracle.h"
#include "resume.h"

/* A schedule that takes longer makes no progress. */
#define PASSES_MOST 200000
/* Hosts leave out steps: only after so many passes without any is there truly nothing to do. */
#define STILL_PASSES 25

struct sim {
	struct plan plan;
	struct random random;
	struct network network;
	struct host hosts[2];
	uint64_t now_ms;
	bool disturbed; /* any fault came about */
	unsigned still_passes;
};

struct tally {
	uint64_t finished;
	uint64_t reset;
	uint64_t lost;
	uint64_t refused;
	uint64_t resumed;
	uint64_t bytes;
};

static void cut(struct sim *sim, const struct fault *fault, struct sim_link *link)
{
	struct pipe *counted = &link->pipes[fault->host];
	struct pipe *other = &link->pipes[1 - fault->host];

	link->cut = true;
	sim->network.cut = true;
	pipe_cut(counted, counted->put - fault->at);
	pipe_cut(other, fault->length);
	if (fault->deaf_ms > 0)
		other->stall_ms = sim->now_ms + fault->deaf_ms;
}

static void stall(struct sim *sim, const struct fault *fault, struct sim_link *link)
{
	link->pipes[fault->host].stall_ms = sim->now_ms + fault->length;
	if (fault->at % 2)
		link->pipes[1 - fault->host].stall_ms = sim->now_ms + fault->length;
}

/* @returns whether it came about */
static bool strike(struct sim *sim, const struct fault *fault, struct sim_link *link)
{
	struct host *host = &sim->hosts[fault->host];

	switch (fault->kind) {
	case FAULT_CUT:
		cut(sim, fault, link);
		return true;
	case FAULT_STALL:
		stall(sim, fault, link);
		return true;
	case FAULT_REPEAT:
		return resume_repeat(&sim->hosts[0]);
	case FAULT_LIE:
		return resume_lie(&sim->hosts[0], &sim->hosts[1]);
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

static void strike_when_due(struct sim *sim, struct fault *fault)
{
	struct sim_link *link =
		fault->done ? NULL : network_find(&sim->network, fault->link_number);

	if (!link || link->pipes[fault->host].put < fault->at)
		return;
	fault->done = strike(sim, fault, link);
	sim->disturbed |= fault->done;
}

static void advance(struct sim *sim, bool moved)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < 2; i++) {
		uint64_t host_next = host_next_ms(&sim->hosts[i]);

		if (host_next < next)
			next = host_next;
	}
	sim->still_passes = moved ? 0 : sim->still_passes + 1;
	if (sim->still_passes > STILL_PASSES && next != UINT64_MAX)
		sim->now_ms = next;
	else
		sim->now_ms += random_from(&sim->random, 0, 2);
}

static void check_end(const struct sim *sim)
{
	const struct host *hosts = sim->hosts;

	if (!sim->disturbed && hosts[0].phase != hosts[1].phase)
		fail(sim->now_ms, "the hosts ended in phases %d and %d", (int)hosts[0].phase,
			(int)hosts[1].phase);
	for (size_t i = 0; i < 2; i++)
		oracle_check_end(&hosts[i], &hosts[1 - i]);
}

static void start(struct sim *sim, uint64_t seed)
{
	sim->random.state = seed;
	sim->now_ms = 0;
	sim->disturbed = false;
	sim->still_passes = 0;
	plan_draw(&sim->plan, &sim->random);
	network_init(
		&sim->network, sim->plan.pipe_bytes, sim->plan.delay_ms, sim->plan.jitter_most_ms);
	for (size_t i = 0; i < 2; i++)
		host_init(&sim->hosts[i], i, &sim->plan.hosts[i], &sim->random, &sim->network);
	sim->hosts[1].refuses = sim->plan.refused;
}

static bool pass(struct sim *sim)
{
	size_t first = (size_t)random_from(&sim->random, 0, 1);
	bool moved = false;

	for (size_t i = 0; i < 2; i++) {
		struct host *host = &sim->hosts[first ^ i];

		host_pass(host, sim->now_ms);
		moved |= host->moved;
		for (size_t j = 0; j < sim->plan.fault_count; j++)
			strike_when_due(sim, &sim->plan.faults[j]);
		oracle_check(&sim->hosts[0], &sim->hosts[1]);
		oracle_check(&sim->hosts[1], &sim->hosts[0]);
		if (random_once_in(&sim->random, 100))
			oracle_check_replay(host);
	}
	return moved;
}

static void run(struct sim *sim, uint64_t seed, struct tally *tally)
{
	fail_watch(seed);
	start(sim, seed);
	for (unsigned passes = 0; host_open(&sim->hosts[0]) || host_open(&sim->hosts[1]);
		passes++) {
		if (passes == PASSES_MOST)
			fail(sim->now_ms, "no progress");
		advance(sim, pass(sim));
	}
	check_end(sim);
	for (size_t i = 0; i < 2; i++) {
		const struct host *host = &sim->hosts[i];

		tally->finished += host->phase == HOST_FINISHED;
		tally->reset += host->phase == HOST_RESET;
		tally->lost += host->phase == HOST_LOST;
		tally->refused += host->phase == HOST_REFUSED;
		tally->resumed += host->resumed_count;
		tally->bytes += host->program.read;
	}
	host_fini(&sim->hosts[0]);
	host_fini(&sim->hosts[1]);
}

static int read_options(int count, char **words, uint64_t *first, uint64_t *schedules)
{
	struct error err;
	bool given = false;

	*first = 1;
	*schedules = 1;
	for (int i = 1; i + 1 < count; i += 2) {
		bool counted = strcmp(words[i], "--count") == 0;

		if ((!counted && strcmp(words[i], "--seed") != 0) ||
			parse_number(
				words[i + 1], 1, UINT64_MAX, counted ? schedules : first, &err) < 0)
			return -1;
		given = true;
	}
	return given && count % 2 == 1 ? 0 : -1;
}

int main(int count, char **words)
{
	static struct sim sim;
	struct tally tally = {0};
	uint64_t first;
	uint64_t schedules;

	if (read_options(count, words, &first, &schedules) < 0) {
		fprintf(stderr, "usage: sim [--count N] [--seed N]\n");
		return 2;
	}
	for (uint64_t i = 0; i < schedules; i++)
		run(&sim, first + i, &tally);
	printf("sim: %llu schedules passed: hosts finished=%llu reset=%llu lost=%llu refused=%llu "
	       "resumed=%llu, %llu bytes delivered\n",
		(unsigned long long)schedules, (unsigned long long)tally.finished,
		(unsigned long long)tally.reset, (unsigned long long)tally.lost,
		(unsigned long long)tally.refused, (unsigned long long)tally.resumed,
		(unsigned long long)tally.bytes);
	return 0;
}
