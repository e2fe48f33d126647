/* Random numbers that depend on a seed and on nothing else (splitmix64). */
#ifndef CULVERT_SIM_RANDOM_H
#define CULVERT_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t value = random->state += 0x9e3779b97f4a7c15u;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return value ^ value >> 31;
}

/** From @lowest to @highest, both possible */
static inline uint64_t random_from(struct random *random, uint64_t lowest, uint64_t highest)
{
	return lowest + random_next(random) % (highest - lowest + 1);
}

/** Once in @of times */
static inline bool random_once_in(struct random *random, uint64_t of)
{
	return random_next(random) % of == 0;
}

/** From 1 to @highest, small and large numbers being equally common */
static inline uint64_t random_size(struct random *random, uint64_t highest)
{
	uint64_t bound = 1;

	while (bound < highest)
		bound *= 2;
	bound >>= random_from(random, 0, (uint64_t)__builtin_ctzll(bound));
	return random_from(random, 1, bound < highest ? bound : highest);
}

/** From 1 to @highest, large numbers as often as small ones */
static inline uint64_t random_amount(struct random *random, uint64_t highest)
{
	return random_once_in(random, 2) ? random_from(random, 1, highest)
					 : random_size(random, highest);
}

#endif
