/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/contention.h"

enum { MB = 1000000, FLOOR = 3 * MB };

/* A link that three bulk streams share with one in post-copy, as TCP does: each may have a quarter,
 * and what one leaves, others take. */
struct link {
	struct contention contention;
	uint64_t capacity;
	uint64_t postcopy_wants;
	uint64_t postcopy;
	uint64_t bulk;
};

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static void pass(struct link *link)
{
	uint64_t allowance = link->contention.allowance;
	uint64_t quarter = link->capacity / 4;
	uint64_t others = link->capacity - smaller(link->postcopy_wants, quarter);

	link->bulk = smaller(allowance, others);
	link->postcopy = smaller(link->postcopy_wants, link->capacity - link->bulk);
}

static void turn(struct link *link)
{
	struct contention_figures figures;

	pass(link);
	figures = (struct contention_figures){.postcopy_bytes_per_s = link->postcopy,
		.bulk_bytes_per_s = link->bulk,
		.floor_bytes_per_s = FLOOR,
		.full_permille = link->postcopy < link->postcopy_wants ? 1000 : 200};
	contention_turn(&link->contention, &figures);
}

/* Post-copy begins on a link that is full of bulk. */
static struct link begin(uint64_t capacity, uint64_t postcopy_wants)
{
	struct link link = {.capacity = capacity, .postcopy_wants = postcopy_wants};
	struct contention_figures before = {
		.bulk_bytes_per_s = capacity, .floor_bytes_per_s = FLOOR};

	contention_init(&link.contention);
	contention_turn(&link.contention, &before);
	return link;
}

static void turns(struct link *link, unsigned count)
{
	while (count-- > 0)
		turn(link);
	pass(link);
}

static void bulk_makes_room_at_once(void **state)
{
	struct link link = begin(125 * MB, UINT64_MAX);

	(void)state;
	pass(&link);
	assert_int_equal(link.bulk, FLOOR);
	assert_int_equal(link.postcopy, 122 * MB);
}

static void bulk_stays_away_while_postcopy_takes_all(void **state)
{
	struct link link = begin(125 * MB, UINT64_MAX);

	(void)state;
	for (int i = 0; i < 200; i++) {
		turns(&link, 1);
		assert_true(link.bulk <= 4 * MB);
	}
}

static void bulk_has_what_postcopy_leaves_but_for_a_tenth(void **state)
{
	struct link link = begin(125 * MB, 30 * MB);

	(void)state;
	turns(&link, 30);
	for (int i = 0; i < 100; i++) {
		turns(&link, 1);
		assert_int_equal(link.postcopy, 30 * MB);
		assert_true(link.bulk >= 75 * MB);
	}
}

static void a_postcopy_that_comes_to_want_all_gets_it_within_a_second(void **state)
{
	struct link link = begin(125 * MB, 30 * MB);

	(void)state;
	turns(&link, 40);
	link.postcopy_wants = UINT64_MAX;
	turns(&link, 10);
	assert_true(link.postcopy > 118 * MB);
}

static void a_link_of_which_little_was_seen_is_found_to_be_large(void **state)
{
	struct link link = begin(10 * MB, 5 * MB);

	(void)state;
	turns(&link, 10);
	link.capacity = 1000 * MB;
	turns(&link, 100);
	assert_int_equal(link.postcopy, 5 * MB);
	assert_true(link.bulk > 200 * MB);
}

static void a_link_that_became_slow_is_left_to_postcopy(void **state)
{
	struct link link = begin(125 * MB, 20 * MB);

	(void)state;
	turns(&link, 40);
	link.capacity = 25 * MB;
	turns(&link, 8);
	assert_true(link.postcopy >= 19 * MB);
}

static void many_that_are_bulk_get_a_twentieth_at_least(void **state)
{
	struct contention contention;
	struct contention_figures figures = {
		.bulk_bytes_per_s = 100 * MB, .floor_bytes_per_s = 1000 * MB};

	(void)state;
	contention_init(&contention);
	contention_turn(&contention, &figures);
	assert_int_equal(contention.allowance, 5 * MB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk_makes_room_at_once),
		cmocka_unit_test(bulk_stays_away_while_postcopy_takes_all),
		cmocka_unit_test(bulk_has_what_postcopy_leaves_but_for_a_tenth),
		cmocka_unit_test(a_postcopy_that_comes_to_want_all_gets_it_within_a_second),
		cmocka_unit_test(a_link_of_which_little_was_seen_is_found_to_be_large),
		cmocka_unit_test(a_link_that_became_slow_is_left_to_postcopy),
		cmocka_unit_test(many_that_are_bulk_get_a_twentieth_at_least),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
