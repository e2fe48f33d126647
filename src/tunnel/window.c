#include "tunnel/window.h"

#include <assert.h>

/* The rate is taken over a round trip, and not over less than this: programs work in bursts. */
#define PERIOD_LEAST_MS 16
#define ROUND_MOST_MS   10000
/* Round trips are measured in milliseconds: one of these cannot be told from none. A window for it
 * would double that of one channel and not that of its neighbour. */
#define ROUND_GRAIN_MS 1
/* How long a busy host may take beyond the round trip without holding up its peer: very little, or
 * longer where that need not be grudged. What depends on the channel's own rate is kept so small
 * that of channels that wait for the processor, none grows at the cost of the others. */
#define BUSY_MS  1
#define AMPLE_MS 32

/* Each ACK is a record and a wake-up on both hosts. */
#define TELL_LEAST_BYTES 65536
#define TELL_MOST_BYTES  (1u << 19)

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static uint64_t larger(uint64_t one, uint64_t other)
{
	return one > other ? one : other;
}

void window_init(
	struct window *window, const struct window_settings *settings, struct budget *budget)
{
	*window = (struct window){
		.settings = *settings,
		.budget = budget,
		.bytes = settings->least_bytes,
		.wanted_bytes = settings->least_bytes,
		.round_ms = UINT64_MAX,
		.period_ms = UINT64_MAX,
	};
	assert(settings->least_bytes <= settings->most_bytes);
}

static void give_back(struct window *window, size_t chunks)
{
	if (window->budget)
		budget_give_back(window->budget, chunks);
	window->borrowed -= chunks;
}

void window_fini(struct window *window)
{
	give_back(window, window->borrowed);
	window->bytes = window->settings.least_bytes;
}

void window_forget_round(struct window *window)
{
	window->round_ms = UINT64_MAX;
	window->period_ms = UINT64_MAX;
}

void window_see_round(struct window *window, uint64_t round_ms)
{
	/* A longer one has waited behind data: that would make a window for its own queue. */
	window->round_ms = smaller(window->round_ms, smaller(round_ms, ROUND_MOST_MS));
}

/* A channel's part of what need not be grudged */
static uint64_t ample(const struct window *window)
{
	size_t sharers = window->budget ? atomic_load(&window->budget->sharers) : 1;

	return window->settings.ample_bytes / (sharers > 0 ? sharers : 1);
}

static void end_period(struct window *window, uint64_t round_ms, uint64_t elapsed_ms)
{
	uint64_t far_ms = round_ms > ROUND_GRAIN_MS ? round_ms : 0;
	uint64_t used = window->period_bytes * 2 * far_ms / elapsed_ms;
	uint64_t busy = window->period_bytes * BUSY_MS / elapsed_ms;
	uint64_t eased = window->period_bytes * AMPLE_MS / elapsed_ms;

	used += larger(busy, smaller(eased, ample(window)));
	/* Up at once, down by and by */
	if (used < window->wanted_bytes)
		used = window->wanted_bytes - (window->wanted_bytes - used + 3) / 4;
	window->wanted_bytes = used;
}

void window_use(struct window *window, uint64_t length, uint64_t now_ms)
{
	uint64_t round_ms = window->round_ms == UINT64_MAX ? 0 : window->round_ms;
	uint64_t elapsed_ms;

	if (window->period_ms == UINT64_MAX) {
		window->period_ms = now_ms;
		window->period_bytes = 0;
		return;
	}
	window->period_bytes += length;
	elapsed_ms = now_ms - window->period_ms;
	if (elapsed_ms < larger(round_ms, PERIOD_LEAST_MS))
		return;
	end_period(window, round_ms, elapsed_ms);
	window->period_ms = now_ms;
	window->period_bytes = 0;
}

static size_t chunks_beyond_least(const struct window *window, uint64_t bytes)
{
	uint64_t least_bytes = window->settings.least_bytes;

	return bytes > least_bytes ? (size_t)((bytes - least_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES)
				   : 0;
}

uint64_t window_settle(struct window *window, uint64_t promised_bytes)
{
	uint64_t wanted = smaller(window->wanted_bytes, window->settings.most_bytes);
	size_t chunks;

	wanted = larger(larger(wanted, window->settings.least_bytes), promised_bytes);
	chunks = chunks_beyond_least(window, wanted);
	while (window->borrowed < chunks &&
		(!window->budget || budget_borrow(window->budget, window->borrowed)))
		window->borrowed++;
	if (window->borrowed > chunks)
		give_back(window, window->borrowed - chunks);
	window->bytes = smaller(
		wanted, window->settings.least_bytes + window->borrowed * (uint64_t)CHUNK_BYTES);
	assert(window->bytes >= promised_bytes);
	return window->bytes;
}

uint64_t window_worth_telling(const struct window *window)
{
	uint64_t part = smaller(larger(window->bytes / 4, TELL_LEAST_BYTES), TELL_MOST_BYTES);

	return smaller(part, (window->bytes + 1) / 2);
}
