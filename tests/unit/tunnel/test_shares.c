/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tunnel/shares.h"

enum { MOST = 40, MB = 1000000 };

static struct share share(enum share_class share_class, uint64_t demand, uint64_t cap)
{
	return (struct share){.share_class = share_class, .demand = demand, .cap = cap};
}

static struct share greedy(enum share_class share_class)
{
	return share(share_class, RATE_UNLIMITED, RATE_UNLIMITED);
}

static void equals_get_equal_shares(void **state)
{
	struct share shares[] = {greedy(SHARE_BULK), greedy(SHARE_BULK), greedy(SHARE_BULK)};

	(void)state;
	shares_allot(shares, 3, 90 * MB);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(shares[i].rate, 30 * MB);
}

static void what_one_does_not_want_others_get(void **state)
{
	struct share shares[] = {
		greedy(SHARE_BULK), share(SHARE_BULK, 10 * MB, RATE_UNLIMITED), greedy(SHARE_BULK)};

	(void)state;
	shares_allot(shares, 3, 90 * MB);
	assert_int_equal(shares[0].rate, 40 * MB);
	assert_int_equal(shares[1].rate, 10 * MB);
	assert_int_equal(shares[2].rate, 40 * MB);
}

static void postcopy_is_served_before_bulk_which_keeps_its_floor(void **state)
{
	struct share shares[] = {greedy(SHARE_BULK), greedy(SHARE_POSTCOPY), greedy(SHARE_BULK)};

	(void)state;
	shares_allot(shares, 3, 100 * MB);
	assert_int_equal(shares[0].rate, SHARES_FLOOR_BYTES_PER_S);
	assert_int_equal(shares[1].rate, 98 * MB);
	assert_int_equal(shares[2].rate, SHARES_FLOOR_BYTES_PER_S);
}

static void bulk_has_what_postcopy_leaves(void **state)
{
	struct share shares[] = {
		greedy(SHARE_BULK), share(SHARE_POSTCOPY, 30 * MB, RATE_UNLIMITED)};

	(void)state;
	shares_allot(shares, 2, 100 * MB);
	assert_int_equal(shares[0].rate, 70 * MB);
	assert_int_equal(shares[1].rate, 30 * MB);
}

static void urgent_comes_first(void **state)
{
	struct share shares[] = {greedy(SHARE_POSTCOPY), share(SHARE_URGENT, MB, RATE_UNLIMITED)};

	(void)state;
	shares_allot(shares, 2, 10 * MB);
	assert_int_equal(shares[1].rate, MB);
	assert_int_equal(shares[0].rate, 9 * MB);
}

static void what_nobody_wants_is_there_for_who_comes_to_want_it(void **state)
{
	struct share shares[] = {
		share(SHARE_BULK, MB, RATE_UNLIMITED), share(SHARE_BULK, MB, 5 * MB)};

	(void)state;
	shares_allot(shares, 2, 50 * MB);
	assert_int_equal(shares[0].rate, 45 * MB);
	assert_int_equal(shares[1].rate, 5 * MB);
}

static void without_a_limit_everybody_gets_its_cap(void **state)
{
	struct share shares[] = {greedy(SHARE_BULK), share(SHARE_BULK, MB, 5 * MB)};

	(void)state;
	shares_allot(shares, 2, RATE_UNLIMITED);
	assert_int_equal(shares[0].rate, RATE_UNLIMITED);
	assert_int_equal(shares[1].rate, 5 * MB);
	shares_allot(NULL, 0, 5 * MB);
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static uint64_t number(unsigned *seed)
{
	uint64_t value = (uint64_t)rand_r(seed);

	if (value % 5 == 0)
		return RATE_UNLIMITED;
	return value % (200 * (uint64_t)MB) >> value % 17;
}

static size_t draw(struct share *shares, unsigned *seed)
{
	size_t count = 1 + (size_t)rand_r(seed) % MOST;

	for (size_t i = 0; i < count; i++)
		shares[i] = share((enum share_class)(rand_r(seed) % SHARE_CLASSES), number(seed),
			number(seed));
	return count;
}

static uint64_t sum_of(const struct share *shares, size_t count, uint64_t most)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += smaller(shares[i].rate, most);
	return sum;
}

static void check_sum(const struct share *shares, size_t count, uint64_t limit)
{
	uint64_t caps = 0;
	uint64_t sum = sum_of(shares, count, limit);

	for (size_t i = 0; i < count; i++) {
		assert_true(shares[i].rate <= shares[i].cap);
		caps += smaller(shares[i].cap, limit);
	}
	assert_true(sum <= limit);
	/* Each filling rounds down, by less than a byte for each. */
	assert_true(sum + 4 * count >= smaller(limit, caps));
}

static uint64_t floor_of(size_t count, uint64_t limit)
{
	return smaller(SHARES_FLOOR_BYTES_PER_S, limit / 20 / count);
}

/* Nobody gets beyond its floor while one before it, or one that has less, wants more. */
static void check_order(const struct share *shares, size_t count, uint64_t limit)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t wanted = smaller(shares[i].demand, shares[i].cap);

		assert_true(shares[i].rate >= smaller(shares[i].cap, floor_of(count, limit)));
		if (shares[i].rate + 1 >= wanted)
			continue;
		for (size_t j = 0; j < count; j++) {
			if (shares[j].share_class > shares[i].share_class)
				assert_true(shares[j].rate <= floor_of(count, limit) + count + 1);
			else if (shares[j].share_class == shares[i].share_class)
				assert_true(shares[j].rate <= shares[i].rate + 1 ||
					shares[j].rate <= floor_of(count, limit));
		}
	}
}

static void every_division_is_whole_fair_and_in_order(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct share shares[MOST];
		size_t count = draw(shares, &seed);
		uint64_t limit = 1 + number(&seed) % (1000 * (uint64_t)MB);

		shares_allot(shares, count, limit);
		check_sum(shares, count, limit);
		check_order(shares, count, limit);
	}
}

static void nobody_loses_when_the_limit_rises(void **state)
{
	unsigned seed = 2;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		struct share before[MOST];
		struct share after[MOST];
		size_t count = draw(before, &seed);
		uint64_t limit = 1 + number(&seed) % (100 * (uint64_t)MB);

		memcpy(after, before, sizeof(after));
		shares_allot(before, count, limit);
		shares_allot(after, count, limit + limit / 2);
		for (size_t i = 0; i < count; i++) {
			if (smaller(before[i].demand, before[i].cap) >= before[i].rate)
				assert_true(after[i].rate + 4 >= before[i].rate);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_get_equal_shares),
		cmocka_unit_test(what_one_does_not_want_others_get),
		cmocka_unit_test(postcopy_is_served_before_bulk_which_keeps_its_floor),
		cmocka_unit_test(bulk_has_what_postcopy_leaves),
		cmocka_unit_test(urgent_comes_first),
		cmocka_unit_test(what_nobody_wants_is_there_for_who_comes_to_want_it),
		cmocka_unit_test(without_a_limit_everybody_gets_its_cap),
		cmocka_unit_test(every_division_is_whole_fair_and_in_order),
		cmocka_unit_test(nobody_loses_when_the_limit_rises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
