#include "plan.h"

#include "pipe.h"
#include "wire/frame.h"

#define WRITE_MOST_BYTES (1u << 20)
#define SEAL_LEAST_BYTES (FRAME_HEADER_BYTES + FRAME_DATA_LONGEST_BYTES)

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static void draw_settings(
	struct session_settings *settings, uint64_t delay_ms, struct random *random)
{
	settings->replay_bytes = (size_t)random_from(random, 0, 6 * CHUNK_BYTES);
	settings->window_bytes = random_size(random, 5 * CHUNK_BYTES);
	settings->heartbeat_ms = random_from(random, 500, 3000);
	/* Of a link that does not fail, no PING is too late. */
	settings->silence_ms = 3 * settings->heartbeat_ms + 4 * delay_ms + 1000;
}

static void draw_host(
	struct host_plan *host, uint64_t delay_ms, size_t pipe_bytes, struct random *random)
{
	draw_settings(&host->settings, delay_ms, random);
	host->burst_most_bytes = random_size(random, 1 << 17);
	host->delivery_most_bytes = random_size(random, 1 << 18);
	host->fragment_most_bytes = random_size(random, 1 << 17);
	host->flush_most_bytes = random_size(random, 1 << 17);
	host->block_in = random_from(random, 2, 400);
	host->block_most_ms = random_size(random, 8000);
	host->quiet_in = random_from(random, 2, 400);
	host->quiet_most_ms = random_size(random, 8000);
	host->seal_bytes = random_from(random, SEAL_LEAST_BYTES, 2 * SEAL_LEAST_BYTES);
	host->idle_in = random_from(random, 2, 20);
	host->write_bytes = smaller(WRITE_MOST_BYTES, 400 * host->burst_most_bytes);
	host->write_bytes = smaller(host->write_bytes, 600 * host->flush_most_bytes);
	host->write_bytes = smaller(host->write_bytes, 600 * pipe_bytes);
}

/* The smallest buffer on the way decides how much a schedule can move in reasonable time. */
static void draw_totals(struct plan *plan, struct random *random)
{
	for (size_t i = 0; i < 2; i++) {
		struct host_plan *sender = &plan->hosts[i];
		const struct host_plan *receiver = &plan->hosts[1 - i];

		sender->write_bytes =
			smaller(sender->write_bytes, 600 * receiver->fragment_most_bytes);
		sender->write_bytes =
			smaller(sender->write_bytes, 600 * receiver->delivery_most_bytes);
		sender->write_bytes =
			smaller(sender->write_bytes, 100 * receiver->settings.window_bytes);
		sender->write_bytes = random_size(random, sender->write_bytes) - 1;
	}
}

static void draw_fault(struct plan *plan, struct fault *fault, struct random *random)
{
	uint64_t silence_ms = plan->hosts[0].settings.silence_ms;

	fault->kind = (enum fault_kind)random_from(random, FAULT_CUT, FAULT_RESET);
	fault->host = (size_t)random_from(random, 0, 1);
	fault->at = random_size(random, plan->hosts[fault->host].write_bytes * 5 / 4 + 200) - 1;
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
		draw_host(&plan->hosts[i], plan->delay_ms, plan->pipe_bytes[i], random);
	}
	draw_totals(plan, random);
	plan->refused = random_once_in(random, 50);
	plan->fault_count = (size_t)random_from(random, 0, FAULTS_MOST);
	for (size_t i = 0; i < plan->fault_count; i++)
		draw_fault(plan, &plan->faults[i], random);
}
