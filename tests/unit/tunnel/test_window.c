/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/window.h"

enum { LEAST = 2 * CHUNK_BYTES, MOST = 512 * CHUNK_BYTES, ROUND_MS = 40 };

static const struct window_settings settings = {.least_bytes = LEAST, .most_bytes = MOST};
static struct budget budget;
static struct window window;

static int set_up(void **state)
{
	(void)state;
	budget_init(&budget, MOST);
	budget_join(&budget);
	window_init(&window, &settings, &budget);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	window_fini(&window);
	assert_int_equal(atomic_load(&budget.lent), 0);
	return 0;
}

/* The local program takes @bytes a millisecond for so long, and the peer always has its window */
static void use(uint64_t bytes, uint64_t from_ms, uint64_t to_ms)
{
	for (uint64_t now_ms = from_ms; now_ms < to_ms; now_ms++) {
		window_use(&window, bytes, now_ms);
		window_settle(&window, 0);
	}
}

static void it_begins_with_what_is_its_own(void **state)
{
	(void)state;
	assert_int_equal(window_settle(&window, LEAST), LEAST);
	assert_int_equal(window.borrowed, 0);
}

static void it_follows_two_round_trips_of_what_is_taken(void **state)
{
	(void)state;
	window_see_round(&window, ROUND_MS);
	use(100000, 0, 200);
	assert_in_range(window.bytes, 2 * ROUND_MS * 100000, (2 * ROUND_MS + 10) * 100000);
}

static void a_peer_that_uses_it_up_in_a_round_trip_gets_twice_as_much(void **state)
{
	(void)state;
	window_see_round(&window, ROUND_MS);
	window_use(&window, 0, 0);
	window_use(&window, LEAST, ROUND_MS);
	assert_in_range(window_settle(&window, 0), 2 * LEAST, 2 * LEAST + LEAST / 8);
}

static void a_near_peer_needs_little(void **state)
{
	(void)state;
	window_see_round(&window, 0);
	use(LEAST / 4, 0, 1000);
	assert_int_equal(window.bytes, LEAST);
}

static void only_the_shortest_round_trip_counts(void **state)
{
	(void)state;
	window_see_round(&window, 1);
	window_see_round(&window, 500);
	use(LEAST / 16, 0, 1000);
	assert_int_equal(window.bytes, LEAST);
}

static void an_endless_round_trip_does_not_pass_the_most(void **state)
{
	(void)state;
	window_see_round(&window, UINT64_MAX - 1);
	use(UINT32_MAX, 0, 30000);
	assert_int_equal(window.bytes, MOST);
}

static void it_shrinks_when_less_is_taken(void **state)
{
	(void)state;
	window_see_round(&window, ROUND_MS);
	use(100000, 0, 200);
	use(10, 200, 3000);
	assert_int_equal(window.bytes, LEAST);
	assert_int_equal(atomic_load(&budget.lent), 0);
}

static void what_was_promised_stays_promised(void **state)
{
	uint64_t promised;

	(void)state;
	window_see_round(&window, ROUND_MS);
	use(100000, 0, 200);
	promised = window.bytes;
	for (uint64_t now_ms = 200; now_ms < 3000; now_ms++) {
		window_use(&window, 10, now_ms);
		assert_int_equal(window_settle(&window, promised), promised);
	}
	assert_int_equal(window_settle(&window, LEAST + 1), LEAST + 1);
	assert_int_equal(window.borrowed, 1);
}

static void without_memory_it_keeps_its_own(void **state)
{
	(void)state;
	budget.total = 0;
	window_see_round(&window, ROUND_MS);
	use(100000, 0, 200);
	assert_int_equal(window.bytes, LEAST);
}

/* Each is always full, and emptied every 2 ms: what grew with that alone would never come down. */
static void of_two_that_wait_for_the_processor_neither_keeps_more(void **state)
{
	struct window other;

	(void)state;
	window_init(&other, &settings, &budget);
	window_see_round(&window, 1);
	window_see_round(&other, 0);
	use(8 * LEAST, 0, 100);
	assert_in_range(window.bytes, 8 * LEAST, 9 * LEAST);
	for (uint64_t now_ms = 100; now_ms < 2000; now_ms++) {
		window_use(&window, window.bytes / 2, now_ms);
		window_use(&other, other.bytes / 2, now_ms);
		window_settle(&window, 0);
		window_settle(&other, 0);
	}
	assert_int_equal(window.bytes, LEAST);
	assert_int_equal(other.bytes, LEAST);
	window_fini(&other);
}

static void few_channels_share_what_need_not_be_grudged(void **state)
{
	(void)state;
	window.settings.ample_bytes = 8 * LEAST;
	assert_int_equal(window_settle(&window, LEAST), LEAST);
	use(LEAST / 2, 0, 100);
	assert_int_equal(window.bytes, 8 * LEAST);
	budget_join(&budget);
	use(LEAST / 2, 100, 1500);
	assert_in_range(window.bytes, 4 * LEAST, 4 * LEAST + 8);
	for (int i = 0; i < 100; i++)
		budget_join(&budget);
	use(LEAST / 2, 1500, 3000);
	assert_in_range(window.bytes, LEAST, 2 * LEAST);
}

static void a_small_window_is_told_by_halves_and_a_large_one_in_larger_parts(void **state)
{
	(void)state;
	assert_int_equal(window_worth_telling(&window), LEAST / 2);
	window.bytes = 16 * CHUNK_BYTES;
	assert_int_equal(window_worth_telling(&window), 4 * CHUNK_BYTES);
	window.bytes = MOST;
	assert_int_equal(window_worth_telling(&window), 8 * CHUNK_BYTES);
	window.bytes = 1;
	assert_int_equal(window_worth_telling(&window), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(it_begins_with_what_is_its_own),
		TEST(it_follows_two_round_trips_of_what_is_taken),
		TEST(a_peer_that_uses_it_up_in_a_round_trip_gets_twice_as_much),
		TEST(a_near_peer_needs_little),
		TEST(only_the_shortest_round_trip_counts),
		TEST(an_endless_round_trip_does_not_pass_the_most),
		TEST(it_shrinks_when_less_is_taken),
		TEST(what_was_promised_stays_promised),
		TEST(without_memory_it_keeps_its_own),
		TEST(of_two_that_wait_for_the_processor_neither_keeps_more),
		TEST(few_channels_share_what_need_not_be_grudged),
		TEST(a_small_window_is_told_by_halves_and_a_large_one_in_larger_parts),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
