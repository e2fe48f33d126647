/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "tunnel/budget.h"
#include "tunnel/replay.h"

enum { TOTAL = 12, PLENTY = 100, THREADS = 4, TURNS = 20000 };

static struct budget budget;
static struct chunk_pool pool;
static struct replay replays[3];

static int set_up(void **state)
{
	(void)state;
	budget_init(&budget, TOTAL * CHUNK_BYTES);
	chunk_pool_init(&pool);
	for (size_t i = 0; i < 3; i++)
		replay_init(&replays[i], &pool, PLENTY * CHUNK_BYTES, &budget);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		replay_fini(&replays[i]);
	chunk_pool_fini(&pool);
	assert_int_equal(budget.lent, 0);
	assert_int_equal(budget.sharers, 0);
	return 0;
}

/* Take whole chunks until there is no place, and send them. @returns how many there are then */
static size_t fill(struct replay *replay)
{
	size_t length;
	void *space;

	while ((space = replay_space(replay, &length)) != NULL) {
		memset(space, 'x', length);
		replay_take(replay, length);
	}
	assert_false(replay_has_space(replay));
	while (replay_unsent(replay, &length))
		replay_sent(replay);
	return replay->chunks.count;
}

/* The peer has delivered @count chunks more. */
static void acknowledge(struct replay *replay, size_t count)
{
	const struct chunk *last = replay->chunks.first;
	struct error err;

	for (size_t i = 1; i < count; i++)
		last = last->next;
	assert_int_equal(replay_acknowledge(replay, last->end_offset, &err), 0);
}

static void leave(struct replay *replay)
{
	replay_fini(replay);
	replay_init(replay, &pool, 0, NULL);
}

static void one_channel_may_borrow_everything(void **state)
{
	(void)state;
	leave(&replays[1]);
	leave(&replays[2]);
	assert_int_equal(fill(&replays[0]), BUDGET_FLOOR_CHUNKS + TOTAL);
	assert_int_equal(budget.lent, TOTAL);
}

static void each_of_three_may_borrow_a_third(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(fill(&replays[i]), BUDGET_FLOOR_CHUNKS + TOTAL / 3);
}

static void a_channel_has_its_floor_when_all_is_lent(void **state)
{
	struct replay late;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		fill(&replays[i]);
	replay_init(&late, &pool, PLENTY * CHUNK_BYTES, &budget);
	assert_int_equal(fill(&late), BUDGET_FLOOR_CHUNKS);
	replay_fini(&late);
}

static void a_channels_own_bound_holds_in_a_large_budget(void **state)
{
	struct replay small;

	(void)state;
	replay_init(&small, &pool, 4 * CHUNK_BYTES, &budget);
	assert_int_equal(fill(&small), 4);
	replay_fini(&small);
}

static void who_has_too_much_borrows_no_more_until_others_have_theirs(void **state)
{
	(void)state;
	leave(&replays[1]);
	leave(&replays[2]);
	fill(&replays[0]);
	replay_fini(&replays[1]);
	replay_init(&replays[1], &pool, PLENTY * CHUNK_BYTES, &budget);
	assert_int_equal(fill(&replays[1]), BUDGET_FLOOR_CHUNKS);
	/* What the first gives back is not for the first again. */
	acknowledge(&replays[0], TOTAL / 2);
	assert_false(replay_has_space(&replays[0]));
	assert_int_equal(fill(&replays[1]), BUDGET_FLOOR_CHUNKS + TOTAL / 2);
}

static void many_that_are_idle_leave_a_busy_one_its_share(void **state)
{
	struct budget large;
	struct replay busy;

	(void)state;
	budget_init(&large, (size_t)BUDGET_SHARERS_MOST * 2 * CHUNK_BYTES);
	for (size_t i = 0; i < 100 * BUDGET_SHARERS_MOST; i++)
		budget_join(&large);
	replay_init(&busy, &pool, PLENTY * CHUNK_BYTES, &large);
	assert_int_equal(fill(&busy), BUDGET_FLOOR_CHUNKS + 2);
	replay_fini(&busy);
}

static void an_acknowledgement_gives_back(void **state)
{
	(void)state;
	fill(&replays[0]);
	assert_int_equal(budget.lent, TOTAL / 3);
	acknowledge(&replays[0], 1);
	assert_int_equal(budget.lent, TOTAL / 3 - 1);
	assert_true(replay_has_space(&replays[0]));
	acknowledge(&replays[0], replays[0].chunks.count);
	assert_int_equal(budget.lent, 0);
}

static void an_end_gives_everything_back(void **state)
{
	(void)state;
	fill(&replays[0]);
	leave(&replays[0]);
	assert_int_equal(budget.lent, 0);
	assert_int_equal(budget.sharers, 2);
}

/* Nobody would wake it: see replay_has_space(). */
static void who_is_refused_has_bytes_to_be_acknowledged(void **state)
{
	(void)state;
	budget_init(&budget, 0);
	for (size_t i = 0; i < 3; i++)
		budget_join(&budget);
	assert_int_equal(fill(&replays[0]), BUDGET_FLOOR_CHUNKS);
	assert_true(replays[0].acknowledged < replays[0].taken);
	/* At its floor with nothing unacknowledged, it is not refused. */
	acknowledge(&replays[0], BUDGET_FLOOR_CHUNKS);
	assert_true(replay_has_space(&replays[0]));
}

static void a_place_that_was_not_used_is_given_back_too(void **state)
{
	size_t length;

	(void)state;
	fill(&replays[0]);
	acknowledge(&replays[0], 1);
	assert_non_null(replay_space(&replays[0], &length));
	assert_int_equal(budget.lent, TOTAL / 3);
	acknowledge(&replays[0], replays[0].chunks.count - 1);
	assert_int_equal(budget.lent, 0);
	assert_int_equal(replays[0].chunks.count, 0);
}

static void an_end_of_the_stream_needs_no_loan(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		fill(&replays[i]);
	assert_int_equal(replay_take_eof(&replays[0]), 0);
	assert_int_equal(budget.lent, TOTAL);
	assert_true(
		replays[0].chunks.count - replays[0].borrowed <= BUDGET_FLOOR_BYTES / CHUNK_BYTES);
}

static void *borrow_and_give_back(void *failed)
{
	size_t borrowed = 0;

	for (int i = 0; i < TURNS; i++) {
		if (budget_borrow(&budget, 0))
			borrowed++;
		if (atomic_load(&budget.lent) > TOTAL)
			*(atomic_bool *)failed = true;
		if (i % 3 == 0 && borrowed > 0) {
			budget_give_back(&budget, borrowed);
			borrowed = 0;
		}
	}
	budget_give_back(&budget, borrowed);
	return NULL;
}

static void threads_together_never_borrow_more_than_the_total(void **state)
{
	pthread_t threads[THREADS];
	atomic_bool failed = false;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, borrow_and_give_back, &failed), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_false(failed);
	assert_int_equal(budget.lent, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(one_channel_may_borrow_everything),
		TEST(each_of_three_may_borrow_a_third),
		TEST(a_channel_has_its_floor_when_all_is_lent),
		TEST(a_channels_own_bound_holds_in_a_large_budget),
		TEST(who_has_too_much_borrows_no_more_until_others_have_theirs),
		TEST(many_that_are_idle_leave_a_busy_one_its_share),
		TEST(an_acknowledgement_gives_back),
		TEST(an_end_gives_everything_back),
		TEST(who_is_refused_has_bytes_to_be_acknowledged),
		TEST(a_place_that_was_not_used_is_given_back_too),
		TEST(an_end_of_the_stream_needs_no_loan),
		TEST(threads_together_never_borrow_more_than_the_total),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
