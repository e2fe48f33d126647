#include "plan.h"

#include "pipe.h"
#include "wire/frame.h"

#define WRITE_MOST_BYTES (1u << 19)
#define SEAL_LEAST_BYTES (FRAME_HEADER_BYTES + FRAME_DATA_LONGEST_BYTES)

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

/* Some grow with what is taken, some at once, some not at all. */
static void draw_growth(struct window_settings *window, struct random *random)
{
	window->most_bytes = window->least_bytes;
	if (!random_once_in(random, 3))
		window->most_bytes += random_size(random, 16 * CHUNK_BYTES);
	window->ample_bytes = random_once_in(random, 2) ? 0 : random_size(random, 8 * CHUNK_BYTES);
}

static void draw_settings(struct session_settings *settings, struct random *random)
{
	settings->replay_bytes = (size_t)random_from(random, 0, 8 * CHUNK_BYTES);
	settings->window.least_bytes = random_amount(random, 5 * CHUNK_BYTES);
	draw_growth(&settings->window, random);
}

/* As a migration: much at once, so that buffers run full and wait for the link */
static void draw_bulk(struct host_plan *host, struct random *random)
{
	host->burst_most_bytes = random_from(random, 1 << 14, 1 << 17);
	host->delivery_most_bytes = random_from(random, 1 << 14, 1 << 18);
	host->fragment_most_bytes = random_from(random, 1 << 12, 1 << 17);
	host->flush_most_bytes = random_from(random, 1 << 12, 1 << 17);
	host->settings.window.least_bytes = random_from(random, CHUNK_BYTES, 8 * CHUNK_BYTES);
	draw_growth(&host->settings.window, random);
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
	host->ask_in = random_from(random, 2, 400);
	host->asks_most = random_from(random, 0, 40);
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
			smaller(sender->write_bytes, 100 * receiver->settings.window.least_bytes);
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

/* How long a lost link may be waited for, and how long an answer */
static void draw_resume(struct plan *plan, struct random *random)
{
	uint64_t silence_ms = plan->hosts[0].settings.silence_ms;
	bool lasts = !random_once_in(random, 4);

	plan->resumes = !random_once_in(random, 5);
	for (size_t i = 0; i < 2; i++) {
		struct host_plan *host = &plan->hosts[i];

		host->resume_lasts = plan->resumes && lasts;
		host->patience_ms =
			host->resume_lasts ? silence_ms : random_from(random, 1, 2 * silence_ms);
		host->resume_deadline_ms = host->resume_lasts
			? 200 * silence_ms
			: random_size(random, 20 * silence_ms);
		if (!plan->resumes)
			host->resume_deadline_ms = 0;
	}
}

/* Half of the faults on later links come while these are still being asked for; one in the first
 * link's opening ends the schedule. */
static void draw_place(
	const struct plan *plan, struct fault *fault, size_t before, struct random *random)
{
	uint64_t most;

	fault->host = (size_t)random_from(random, 0, 1);
	most = plan->hosts[fault->host].write_bytes * 5 / 4 + 200;
	fault->link_number = plan->resumes ? random_from(random, 0, before) : 0;
	if (fault->link_number > 0 && random_once_in(random, 2))
		most = 150;
	fault->at = random_amount(random, most) - 1;
	if (plan->resumes && fault->link_number == 0 && !random_once_in(random, 8))
		fault->at += 150;
}

static void draw_fault(struct plan *plan, size_t number, struct random *random)
{
	struct fault *fault = &plan->faults[number];
	uint64_t silence_ms = plan->hosts[0].settings.silence_ms;

	*fault = (struct fault){0};
	fault->kind = (enum fault_kind)random_from(random, FAULT_CUT, FAULT_RESET);
	/* The channel's end ends the schedule: it comes less often where links come and go. */
	if (plan->resumes && fault->kind >= FAULT_GONE && !random_once_in(random, 4))
		fault->kind = FAULT_CUT;
	draw_place(plan, fault, number, random);
	fault->length = fault->kind == FAULT_STALL ? random_from(random, 1, 3 * silence_ms)
						   : random_size(random, PIPE_BYTES) - 1;
	if (random_once_in(random, 4))
		fault->deaf_ms = random_size(random, 3 * silence_ms);
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
	draw_resume(plan, random);
	plan->refused = random_once_in(random, 50);
	plan->fault_count = random_once_in(random, 4)
		? 0
		: (size_t)random_from(random, 1, plan->resumes ? FAULTS_MOST : 3);
	for (size_t i = 0; i < plan->fault_count; i++)
		draw_fault(plan, i, random);
}
