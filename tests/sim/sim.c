/* Two sessions and a faulty link.
 *
 *     sim --seed N     one schedule
 *     sim --count N    the schedules of the seeds 1 to N
 *
 * Every byte is delivered once and in order, or both hosts are told. The same seed is the same
 * schedule on every machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "fail.h"
#include "host.h"

/* A schedule that takes longer makes no progress. */
#define PASSES_MOST 200000
/* Hosts leave out steps: only after so many passes without any is there truly nothing to do. */
#define STILL_PASSES 25

struct sim {
	struct plan plan;
	struct random random;
	struct sim_link link;
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
	uint64_t bytes;
};

static void cut(struct sim *sim, const struct fault *fault)
{
	struct pipe *counted = &sim->link.pipes[fault->host];

	sim->link.cut = true;
	pipe_cut(counted, counted->put - fault->at);
	pipe_cut(&sim->link.pipes[1 - fault->host], fault->length);
}

static void stall(struct sim *sim, const struct fault *fault)
{
	sim->link.pipes[fault->host].stall_ms = sim->now_ms + fault->length;
	if (fault->at % 2)
		sim->link.pipes[1 - fault->host].stall_ms = sim->now_ms + fault->length;
}

static void strike(struct sim *sim, struct fault *fault)
{
	struct host *host = &sim->hosts[fault->host];

	if (fault->done || sim->link.pipes[fault->host].put < fault->at)
		return;
	if (fault->kind != FAULT_CUT && fault->kind != FAULT_STALL && host->phase != HOST_CARRYING)
		return;
	fault->done = true;
	sim->disturbed = true;
	switch (fault->kind) {
	case FAULT_CUT:
		cut(sim, fault);
		return;
	case FAULT_STALL:
		stall(sim, fault);
		return;
	case FAULT_GONE:
		host_program_gone(host);
		return;
	case FAULT_RESET:
		host_reset(host);
		return;
	}
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

static void check_finished(const struct sim *sim, const struct host *host, const struct host *peer)
{
	if (peer->program.read != host->program.written || !peer->program.eof_read ||
		host->program.read != peer->program.written || !host->program.eof_read)
		fail(sim->now_ms, "host %zu finished with bytes undelivered", host->number);
	if (peer->phase != HOST_FINISHED && peer->phase != HOST_RESET && !sim->link.cut)
		fail(sim->now_ms, "host %zu finished and its peer did not", host->number);
}

/* Did each host learn how its channel ended, and rightly so? */
static void check_end(const struct sim *sim, const struct host *host, const struct host *peer)
{
	bool agreed = host->phase == peer->phase;

	if (!sim->disturbed && !agreed)
		fail(sim->now_ms, "the hosts ended in phases %d and %d", (int)host->phase,
			(int)peer->phase);
	switch (host->phase) {
	case HOST_FINISHED:
		check_finished(sim, host, peer);
		return;
	case HOST_REFUSED:
		if (!sim->plan.refused || host->handshake.refusal.reason != REASON_NO_SERVICE)
			fail(sim->now_ms, "host %zu was refused", host->number);
		return;
	case HOST_RESET:
		if (!host->reset_asked && !peer->reset_asked)
			fail(sim->now_ms, "host %zu was reset by nobody", host->number);
		if (host->session.reset.reason != REASON_ENDED)
			fail(sim->now_ms, "host %zu was reset for no reason", host->number);
		return;
	case HOST_LOST:
		if (!sim->disturbed || !sim->link.cut)
			fail(sim->now_ms, "host %zu lost a link that was not", host->number);
		return;
	case HOST_HANDSHAKING:
	case HOST_CARRYING:
		break;
	}
	fail(sim->now_ms, "host %zu did not end", host->number);
}

static void start(struct sim *sim, uint64_t seed)
{
	sim->random.state = seed;
	sim->now_ms = 0;
	sim->disturbed = false;
	sim->still_passes = 0;
	plan_draw(&sim->plan, &sim->random);
	sim->link.delay_ms = sim->plan.delay_ms;
	sim->link.jitter_most_ms = sim->plan.jitter_most_ms;
	sim->link.cut = false;
	for (size_t i = 0; i < 2; i++) {
		pipe_init(&sim->link.pipes[i], sim->plan.pipe_bytes[i]);
		host_init(&sim->hosts[i], i, &sim->plan.hosts[i], &sim->random, &sim->link);
	}
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
			strike(sim, &sim->plan.faults[j]);
		host_check(&sim->hosts[0], &sim->hosts[1]);
		host_check(&sim->hosts[1], &sim->hosts[0]);
		if (random_once_in(&sim->random, 100))
			host_check_replay(host);
	}
	return moved;
}

static void run(struct sim *sim, uint64_t seed, struct tally *tally)
{
	fail_watch(seed);
	start(sim, seed);
	for (unsigned passes = 0; !host_ended(&sim->hosts[0]) || !host_ended(&sim->hosts[1]);
		passes++) {
		if (passes == PASSES_MOST)
			fail(sim->now_ms, "no progress");
		advance(sim, pass(sim));
	}
	for (size_t i = 0; i < 2; i++) {
		const struct host *host = &sim->hosts[i];

		check_end(sim, host, &sim->hosts[1 - i]);
		tally->finished += host->phase == HOST_FINISHED;
		tally->reset += host->phase == HOST_RESET;
		tally->lost += host->phase == HOST_LOST;
		tally->refused += host->phase == HOST_REFUSED;
		tally->bytes += host->program.read;
	}
	host_fini(&sim->hosts[0]);
	host_fini(&sim->hosts[1]);
}

int main(int argc, char **argv)
{
	static struct sim sim;
	struct tally tally = {0};
	struct error err;
	uint64_t number;
	bool count = argc == 3 && strcmp(argv[1], "--count") == 0;

	if (argc != 3 || (!count && strcmp(argv[1], "--seed") != 0)) {
		fprintf(stderr, "usage: sim --seed N | --count N\n");
		return 2;
	}
	if (parse_number(argv[2], 0, UINT64_MAX, &number, &err) < 0) {
		fprintf(stderr, "sim: %s\n", err.message);
		return 2;
	}
	for (uint64_t seed = count ? 1 : number; seed <= number; seed++)
		run(&sim, seed, &tally);
	printf("sim: %llu schedules passed: hosts finished=%llu reset=%llu lost=%llu refused=%llu, "
	       "%llu bytes delivered\n",
		(unsigned long long)(count ? number : 1), (unsigned long long)tally.finished,
		(unsigned long long)tally.reset, (unsigned long long)tally.lost,
		(unsigned long long)tally.refused, (unsigned long long)tally.bytes);
	return 0;
}
