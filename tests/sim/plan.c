#include "plan.h"

#include "pipe.h"
#include "wire/frame.h"

#define WRITE_MOST_BYTES (1u << 19)
#define SEAL_LEAST_BYTES (FRAME_HEADER_BYTES + FRAME_DATA_LONGEST_BYTES)

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static void draw_settings(struct session_settings *settings, struct random *random)
{
	settings->replay_bytes = (size_t)random_from(random, 0, 6 * CHUNK_BYTES);
	settings->window_bytes = random_amount(random, 5 * CHUNK_BYTES);
}

/* As a migration: much at once, so that buffers run full and wait for the link */
static void draw_bulk(struct host_plan *host, struct random *random)
{
	host->burst_most_bytes = random_from(random, 1 << 14, 1 << 17);
	host->delivery_most_bytes = random_from(random, 1 << 14, 1 << 18);
	host->fragment_most_bytes = random_from(random, 1 << 12, 1 << 17);
	host->flush_most_bytes = random_from(random, 1 << 12, 1 << 17);
	host->settings.window_bytes = random_from(random, CHUNK_BYTES, 5 * CHUNK_BYTES);
}

static void draw_host(struct host_plan *host, size_t pipe_bytes, struct random *random)
{
	draw_settings(&host->settings, random);
	host->burst_most_bytes = random_amount(random, 1 << 17);
	host->delivery_most_bytes = random_amount(random, 1 << 18);
	host->fragment_most_bytes = random_amount(random, 1 << 17);
	host->flush_most_bytes = random_amount(random, 1 << 17);
	if (random_once_in(random, 6))
		draw_bulk(host, random);
	host->block_in = random_from(random, 2, 400);
	host->block_most_ms = random_size(random, 8000);
	host->quiet_in = random_from(random, 2, 400);
	host->quiet_most_ms = random_size(random, 8000);
	host->seal_bytes = random_from(random, SEAL_LEAST_BYTES, 2 * SEAL_LEAST_BYTES);
	host->idle_in = random_from(random, 3, 20);
	host->write_bytes = smaller(WRITE_MOST_BYTES, 400 * host->burst_most_bytes);
	host->write_bytes = smaller(host->write_bytes, 600 * host->flush_most_bytes);
	host->write_bytes = smaller(host->write_bytes, 600 * pipe_bytes);
}

/* The smallest buffer on the way decides how much a schedule can move in reasonable time. */
static void draw_totals(struct plan *plan, struct random *random)
{
	/* Now and then almost nothing is written, so that both ends cross. */
	bool short_talk = random_once_in(random, 5);

	for (size_t i = 0; i < 2; i++) {
		struct host_plan *sender = &plan->hosts[i];
		const struct host_plan *receiver = &plan->hosts[1 - i];

		sender->write_bytes =
			smaller(sender->write_bytes, 600 * receiver->fragment_most_bytes);
		sender->write_bytes =
			smaller(sender->write_bytes, 600 * receiver->delivery_most_bytes);
		sender->write_bytes =
			smaller(sender->write_bytes, 100 * receiver->settings.window_bytes);
		sender->write_bytes = random_amount(random, sender->write_bytes) - 1;
		if (short_talk)
			sender->write_bytes %= 4;
	}
}

/* How long a PING takes at most behind all that may be queued, in a step of a millisecond each */
static uint64_t slowest_ms(const struct plan *plan, size_t sender)
{
	uint64_t step_bytes = smaller(
		plan->hosts[sender].flush_most_bytes, plan->hosts[1 - sender].fragment_most_bytes);
	uint64_t turn_ms = plan->delay_ms + plan->jitter_most_ms + 1;
	uint64_t queued_bytes = plan->hosts[sender].seal_bytes + plan->pipe_bytes[sender];

	return 20 * queued_bytes / step_bytes + turn_ms +
		2 * turn_ms * queued_bytes /
		smaller(plan->pipe_bytes[sender], step_bytes * turn_ms);
}

/* A link that does not fail is never silent for so long. */
static void draw_silence(struct plan *plan, struct random *random)
{
	uint64_t round_ms = slowest_ms(plan, 0) + slowest_ms(plan, 1);

	for (size_t i = 0; i < 2; i++) {
		struct session_settings *settings = &plan->hosts[i].settings;

		settings->silence_ms = 2 * round_ms + 1000;
		settings->heartbeat_ms =
			random_from(random, settings->silence_ms / 20, settings->silence_ms / 4);
	}
}

static void draw_fault(struct plan *plan, struct fault *fault, struct random *random)
{
	uint64_t silence_ms = plan->hosts[0].settings.silence_ms;

	fault->kind = (enum fault_kind)random_from(random, FAULT_CUT, FAULT_RESET);
	fault->host = (size_t)random_from(random, 0, 1);
	fault->at = random_amount(random, plan->hosts[fault->host].write_bytes * 5 / 4 + 200) - 1;
	fault->done = false;
	fault->length = fault->kind == FAULT_STALL ? random_from(random, 1, 2 * silence_ms)
						   : random_size(random, PIPE_BYTES) - 1;
}

void plan_draw(struct plan *plan, struct random *random)
{
	plan->delay_ms = random_size(random, 300) - 1;
	plan->jitter_most_ms = random_size(random, 20) - 1;
	for (size_t i = 0; i < 2; i++) {
		/* A slow link carries some frames within the time that silence may last. */
		plan->pipe_bytes[i] = (size_t)(random_size(random, PIPE_BYTES / 2) +
			8 * (plan->delay_ms + plan->jitter_most_ms));
		draw_host(&plan->hosts[i], plan->pipe_bytes[i], random);
	}
	draw_totals(plan, random);
	draw_silence(plan, random);
	plan->refused = random_once_in(random, 50);
	plan->fault_count =
		random_once_in(random, 3) ? 0 : (size_t)random_from(random, 1, FAULTS_MOST);
	for (size_t i = 0; i < plan->fault_count; i++)
		draw_fault(plan, &plan->faults[i], random);
}
