#include "tunnel/contention.h"

/* Until the post-copy stream has shown what it takes */
#define QUIET_TURNS 3
#define PROBE_TURNS 20
#define FULL_MOST   500

void contention_init(struct contention *contention)
{
	*contention = (struct contention){.full = 1000};
}

static void remember(struct contention *contention, uint64_t total)
{
	/* About 2 % a second */
	uint64_t aged = contention->capacity - contention->capacity / 512;

	contention->grown = contention->turns > QUIET_TURNS && total > contention->capacity;
	contention->capacity = total > aged ? total : aged;
}

/* What post-copy leaves, short of a queue */
static uint64_t leavings(const struct contention *contention, uint64_t postcopy)
{
	uint64_t usable = contention->capacity - contention->capacity / 10;

	return usable > postcopy ? usable - postcopy : 0;
}

/* Enough for more to pass than ever before, if it can */
static uint64_t beyond(const struct contention *contention, uint64_t postcopy)
{
	uint64_t most = contention->capacity + contention->capacity / 8;

	return most > postcopy ? most - postcopy : 0;
}

static uint64_t lowest(const struct contention *contention, uint64_t floor)
{
	uint64_t most = contention->capacity / 20;

	return floor > most && most > 0 ? most : floor;
}

void contention_turn(struct contention *contention, const struct contention_figures *figures)
{
	uint64_t allowance = contention->allowance;
	uint64_t more = allowance + allowance / 4;
	uint64_t wanted;
	uint64_t floor;
	bool used_up = figures->bulk_bytes_per_s >= allowance - allowance / 5;

	contention->turns++;
	contention->full = (contention->full + figures->full_permille) / 2;
	remember(contention, figures->postcopy_bytes_per_s + figures->bulk_bytes_per_s);
	wanted = leavings(contention, figures->postcopy_bytes_per_s);
	if (contention->turns <= QUIET_TURNS) {
		wanted = 0;
	} else if (contention->full > FULL_MOST) {
		if (wanted > allowance / 2)
			wanted = allowance / 2;
	} else if (used_up && (contention->grown || contention->turns % PROBE_TURNS == 0)) {
		wanted = beyond(contention, figures->postcopy_bytes_per_s);
		if (wanted < more)
			wanted = more;
	} else if (wanted > more) {
		wanted = more;
	}
	floor = lowest(contention, figures->floor_bytes_per_s);
	contention->allowance = wanted > floor ? wanted : floor;
}
