/* Channels over faulty links, one after another: two sessions each, one to four at once, with one
 * small budget of memory for all sessions of a side.
 *
 *     sim --seed N              one schedule
 *     sim --count N             the schedules of the seeds 1 to N
 *     sim --count N --seed M    those of the seeds M to M + N - 1: a long run may begin anywhere
 *
 * Every byte is delivered once and in order, or both hosts are told; no budget is exceeded, and
 * nobody waits for ever because of it. The same seed is the same schedule on every machine.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "fail.h"
#include "oracle.h"
#include "pair.h"

#define PAIRS_MOST      4
#define LATEST_BEGIN_MS 4000
/* A schedule that delivers nothing for so long makes no progress. */
#define PASSES_MOST 200000
/* Hosts leave out steps: only after so many passes without any is there truly nothing to do. */
#define STILL_PASSES 25

struct sim {
	struct random random;
	struct budget budgets[2];
	struct pair pairs[PAIRS_MOST];
	size_t pair_count;
	uint64_t now_ms;
	unsigned still_passes;
};

struct tally {
	uint64_t finished;
	uint64_t reset;
	uint64_t lost;
	uint64_t refused;
	uint64_t resumed;
	uint64_t grown; /* windows */
	uint64_t shrunk;
	uint64_t bytes;
};

/* Of so many schedules, in some a window grows and shrinks. */
#define MANY_SCHEDULES 1000

static bool any_open(const struct sim *sim)
{
	for (size_t i = 0; i < sim->pair_count; i++) {
		if (pair_open(&sim->pairs[i]))
			return true;
	}
	return false;
}

/* What all programs have read */
static uint64_t delivered(const struct sim *sim)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < 2 * sim->pair_count; i++)
		bytes += sim->pairs[i / 2].hosts[i % 2].program.read;
	return bytes;
}

static void advance(struct sim *sim, bool moved)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < sim->pair_count; i++) {
		uint64_t pair_next =
			pair_open(&sim->pairs[i]) ? pair_next_ms(&sim->pairs[i]) : UINT64_MAX;

		if (pair_next < next)
			next = pair_next;
	}
	sim->still_passes = moved ? 0 : sim->still_passes + 1;
	if (sim->still_passes > STILL_PASSES && next != UINT64_MAX)
		sim->now_ms = next;
	else
		sim->now_ms += random_from(&sim->random, 0, 2);
}

static void start(struct sim *sim, uint64_t seed)
{
	sim->random.state = seed;
	sim->now_ms = 0;
	sim->still_passes = 0;
	sim->pair_count = random_once_in(&sim->random, 4)
		? (size_t)random_from(&sim->random, 2, PAIRS_MOST)
		: 1;
	for (size_t i = 0; i < 2; i++)
		budget_init(&sim->budgets[i],
			CHUNK_BYTES * (size_t)(random_size(&sim->random, 4 * sim->pair_count) - 1));
	for (size_t i = 0; i < sim->pair_count; i++)
		pair_init(&sim->pairs[i], &sim->random, sim->budgets,
			i == 0 ? 0 : random_size(&sim->random, LATEST_BEGIN_MS));
}

/* What the sessions of one side hold together */
static void check_budget(const struct sim *sim, size_t side)
{
	const struct budget *budget = &sim->budgets[side];
	size_t floors = BUDGET_FLOOR_BYTES / CHUNK_BYTES * budget->sharers;
	size_t held = 0;
	size_t borrowed = 0;

	for (size_t i = 0; i < sim->pair_count; i++) {
		const struct host *host = &sim->pairs[i].hosts[side];

		if (!host->session_started)
			continue;
		held += host->session.to_peer.chunks.count;
		borrowed += host->session.to_peer.borrowed + host->session.window.borrowed;
	}
	if (held > budget->total + floors)
		fail(sim->now_ms, "side %zu: holds %zu chunks of %zu + %zu", side, held,
			budget->total, floors);
	if (borrowed != budget->lent || borrowed > budget->total)
		fail(sim->now_ms, "side %zu: borrowed %zu chunks, lent %zu of %zu", side, borrowed,
			(size_t)budget->lent, budget->total);
}

static bool pass(struct sim *sim)
{
	bool moved = false;

	for (size_t i = 0; i < sim->pair_count; i++) {
		if (!pair_open(&sim->pairs[i]))
			continue;
		moved |= pair_pass(&sim->pairs[i], sim->now_ms);
		check_budget(sim, 0);
		check_budget(sim, 1);
	}
	return moved;
}

static void count(const struct sim *sim, struct tally *tally)
{
	for (size_t i = 0; i < 2 * sim->pair_count; i++) {
		const struct host *host = &sim->pairs[i / 2].hosts[i % 2];

		tally->finished += host->phase == HOST_FINISHED;
		tally->reset += host->phase == HOST_RESET;
		tally->lost += host->phase == HOST_LOST;
		tally->refused += host->phase == HOST_REFUSED;
		tally->resumed += host->resumed_count;
		tally->grown += host->window_grew;
		tally->shrunk += host->window_shrank;
		tally->bytes += host->program.read;
	}
}

static void check_returned(const struct sim *sim)
{
	for (size_t i = 0; i < 2; i++) {
		if (sim->budgets[i].lent != 0 || sim->budgets[i].sharers != 0)
			fail(sim->now_ms, "side %zu: memory was not given back", i);
	}
}

static void run(struct sim *sim, uint64_t seed, struct tally *tally)
{
	uint64_t before = 0;

	fail_watch(seed);
	start(sim, seed);
	for (unsigned passes = 0; any_open(sim); passes++) {
		if (passes == PASSES_MOST)
			fail(sim->now_ms, "no progress");
		advance(sim, pass(sim));
		if (delivered(sim) != before)
			passes = 0;
		before = delivered(sim);
	}
	check_returned(sim);
	for (size_t i = 0; i < sim->pair_count; i++)
		pair_check_end(&sim->pairs[i], sim->now_ms);
	count(sim, tally);
	for (size_t i = 0; i < sim->pair_count; i++)
		pair_fini(&sim->pairs[i]);
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

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(const struct tally *tally, uint64_t first, uint64_t schedules, double seconds)
{
	printf("sim: %llu schedules from seed %llu passed, %.0f a second: hosts finished=%llu "
	       "reset=%llu lost=%llu refused=%llu resumed=%llu, windows "
	       "grown=%llu shrunk=%llu, %llu bytes delivered\n",
		(unsigned long long)schedules, (unsigned long long)first,
		(double)schedules / seconds, (unsigned long long)tally->finished,
		(unsigned long long)tally->reset, (unsigned long long)tally->lost,
		(unsigned long long)tally->refused, (unsigned long long)tally->resumed,
		(unsigned long long)tally->grown, (unsigned long long)tally->shrunk,
		(unsigned long long)tally->bytes);
}

int main(int count, char **words)
{
	double begun = seconds_now();
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
	report(&tally, first, schedules, seconds_now() - begun);
	if (schedules >= MANY_SCHEDULES && (tally.grown == 0 || tally.shrunk == 0)) {
		fprintf(stderr, "sim: no window ever grew and shrank\n");
		return 1;
	}
	return 0;
}
