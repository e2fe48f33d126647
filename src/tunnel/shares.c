#include "tunnel/shares.h"

#include <stdbool.h>

#define LIMIT_MOST ((uint64_t)1 << 50)

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

/* What counts in one filling: the members, and up to where each may be filled */
struct basin {
	struct share *shares;
	size_t count;
	int share_class; /* or -1: all */
	bool beyond_demand;
};

static bool belongs(const struct basin *basin, const struct share *share)
{
	return basin->share_class < 0 || share->share_class == (enum share_class)basin->share_class;
}

/* Nobody loses what it has. */
static uint64_t rate_at(const struct basin *basin, const struct share *share, uint64_t level)
{
	uint64_t wanted = basin->beyond_demand ? share->cap : smaller(share->demand, share->cap);
	uint64_t rate = smaller(wanted, level);

	return rate > share->rate ? rate : share->rate;
}

static uint64_t sum_at(const struct basin *basin, uint64_t level)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < basin->count; i++) {
		if (belongs(basin, &basin->shares[i]))
			sum += rate_at(basin, &basin->shares[i], level);
	}
	return sum;
}

/* Raise the members of @basin to the highest level that @left allows. @returns what remains */
static uint64_t fill(const struct basin *basin, uint64_t left)
{
	uint64_t before = sum_at(basin, 0);
	uint64_t lowest = 0;
	uint64_t highest = before + left;

	while (lowest < highest) {
		uint64_t level = lowest + (highest - lowest + 1) / 2;

		if (sum_at(basin, level) <= before + left)
			lowest = level;
		else
			highest = level - 1;
	}
	left -= sum_at(basin, lowest) - before;
	for (size_t i = 0; i < basin->count; i++) {
		if (belongs(basin, &basin->shares[i]))
			basin->shares[i].rate = rate_at(basin, &basin->shares[i], lowest);
	}
	return left;
}

/* @returns what remains of @limit */
static uint64_t give_floors(struct share *shares, size_t count, uint64_t limit)
{
	uint64_t level = count ? smaller(SHARES_FLOOR_BYTES_PER_S, limit / 20 / count) : 0;
	uint64_t left = limit;

	for (size_t i = 0; i < count; i++) {
		shares[i].rate = smaller(level, shares[i].cap);
		left -= shares[i].rate;
	}
	return left;
}

void shares_allot(struct share *shares, size_t count, uint64_t limit)
{
	struct basin basin = {.shares = shares, .count = count};
	uint64_t left;

	if (limit > LIMIT_MOST) {
		for (size_t i = 0; i < count; i++)
			shares[i].rate = shares[i].cap;
		return;
	}
	left = give_floors(shares, count, limit);
	for (basin.share_class = 0; basin.share_class < SHARE_CLASSES; basin.share_class++)
		left = fill(&basin, left);
	basin.share_class = -1;
	basin.beyond_demand = true;
	(void)fill(&basin, left);
}
