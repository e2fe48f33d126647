/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/scheduler.h"

enum { MB = 1000000, TURN_MS = 100, CHANNELS = 4 };

/* The channels' workers are played here: each sends as much as it wants to and may. */
struct fixture {
	struct loop *loop;
	struct scheduler *scheduler;
	struct terms *terms[CHANNELS];
	struct allotment channels[CHANNELS];
	uint64_t wants[CHANNELS];
	size_t count;
	uint64_t now_ms;
};

static struct fixture fixture;

static int set_up(void **state)
{
	struct error err;

	(void)state;
	fixture = (struct fixture){.loop = loop_new(&err), .now_ms = 1000};
	fixture.scheduler = scheduler_new(fixture.loop, RATE_UNLIMITED);
	return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle) && handle->type != UV_ASYNC)
		uv_close(handle, NULL);
}

static void leave(size_t i)
{
	scheduler_leave(&fixture.channels[i]);
	allotment_fini(&fixture.channels[i]);
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < fixture.count; i++) {
		leave(i);
		terms_put(fixture.terms[i]);
	}
	uv_walk(loop_uv(fixture.loop), close_handle, NULL);
	loop_free(fixture.loop);
	scheduler_free(fixture.scheduler);
	return 0;
}

static size_t join(enum share_class share_class, uint64_t cap, uint64_t wants)
{
	size_t i = fixture.count++;

	fixture.terms[i] = terms_new(cap);
	fixture.wants[i] = wants;
	atomic_store(&fixture.terms[i]->share_class, share_class);
	allotment_init(&fixture.channels[i], "migration", fixture.terms[i]);
	scheduler_join(fixture.scheduler, &fixture.channels[i]);
	return i;
}

static uint64_t may_send(size_t i)
{
	return atomic_load(&fixture.channels[i].to_peer_rate);
}

static uint64_t may_come(size_t i)
{
	return atomic_load(&fixture.channels[i].to_local_rate);
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static void move(_Atomic uint64_t *position, uint64_t rate)
{
	atomic_fetch_add(position, rate * TURN_MS / 1000);
}

static bool turn(void)
{
	fixture.now_ms += TURN_MS;
	for (size_t i = 0; i < fixture.count; i++) {
		struct allotment *channel = &fixture.channels[i];

		move(&channel->sent, smaller(fixture.wants[i], may_send(i)));
		move(&channel->acknowledged, smaller(fixture.wants[i], may_send(i)));
		move(&channel->received, smaller(fixture.wants[i], may_come(i)));
	}
	return scheduler_turn(fixture.scheduler, fixture.now_ms);
}

static void turns(unsigned count)
{
	while (count-- > 0)
		(void)turn();
}

/* Within the steps in which rates are published */
static void assert_near(uint64_t rate, uint64_t expected)
{
	assert_in_range(rate, expected - expected / 20, expected + expected / 20);
}

static void without_a_limit_nothing_turns_and_nothing_is_paced(void **state)
{
	size_t i = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);

	(void)state;
	assert_false(turn());
	assert_int_equal(may_send(i), RATE_UNLIMITED);
	assert_int_equal(may_come(i), RATE_UNLIMITED);
}

static void a_limit_is_shared_in_both_directions(void **state)
{
	size_t one = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);
	size_t other = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);

	(void)state;
	scheduler_set_limit(fixture.scheduler, 50 * MB);
	turns(20);
	assert_near(may_send(one), 25 * MB);
	assert_near(may_send(other), 25 * MB);
	assert_near(may_come(one), 25 * MB);
	assert_near(may_come(other), 25 * MB);
}

static void what_one_does_not_use_another_gets(void **state)
{
	size_t one = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);

	(void)state;
	(void)join(SHARE_BULK, RATE_UNLIMITED, 5 * MB);
	scheduler_set_limit(fixture.scheduler, 50 * MB);
	turns(20);
	assert_true(may_send(one) > 40 * MB);
}

static void a_limit_that_is_lifted_leaves_no_pace(void **state)
{
	size_t i = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);

	(void)state;
	scheduler_set_limit(fixture.scheduler, 50 * MB);
	assert_true(turn());
	scheduler_set_limit(fixture.scheduler, RATE_UNLIMITED);
	assert_false(turn());
	assert_int_equal(may_send(i), RATE_UNLIMITED);
	assert_int_equal(may_come(i), RATE_UNLIMITED);
}

static void a_channel_is_limited_from_its_first_byte(void **state)
{
	size_t i;

	(void)state;
	scheduler_set_limit(fixture.scheduler, 50 * MB);
	i = join(SHARE_BULK, 20 * MB, 100 * MB);
	assert_int_equal(may_send(i), 20 * MB);
	i = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);
	assert_int_equal(may_send(i), 25 * MB);
	assert_int_equal(may_come(i), 25 * MB);
}

static void control_is_never_limited(void **state)
{
	size_t i;

	(void)state;
	scheduler_set_limit(fixture.scheduler, 2 * MB);
	i = join(SHARE_URGENT, RATE_UNLIMITED, 100 * MB);
	turns(3);
	assert_int_equal(may_send(i), RATE_UNLIMITED);
	assert_int_equal(may_come(i), RATE_UNLIMITED);
}

static void a_cap_alone_needs_turns_and_changes_while_it_runs(void **state)
{
	size_t i = join(SHARE_BULK, 20 * MB, 100 * MB);

	(void)state;
	assert_true(turn());
	assert_int_equal(may_send(i), 20 * MB);
	atomic_store(&fixture.terms[i]->limit_bytes_per_s, 10 * MB);
	assert_true(turn());
	assert_int_equal(may_send(i), 10 * MB);
	assert_int_equal(may_come(i), 10 * MB);
	atomic_store(&fixture.terms[i]->limit_bytes_per_s, RATE_UNLIMITED);
	assert_false(turn());
	assert_int_equal(may_send(i), RATE_UNLIMITED);
}

static void channels_of_one_migration_share_its_cap(void **state)
{
	size_t i = join(SHARE_BULK, 20 * MB, 100 * MB);
	struct allotment second;

	(void)state;
	allotment_init(&second, "migration", fixture.terms[i]);
	scheduler_join(fixture.scheduler, &second);
	turns(2);
	assert_int_equal(may_send(i), 10 * MB);
	scheduler_leave(&second);
	allotment_fini(&second);
	turns(2);
	assert_int_equal(may_send(i), 20 * MB);
}

static void postcopy_goes_before_bulk_within_a_limit(void **state)
{
	size_t bulk = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);
	size_t postcopy = join(SHARE_POSTCOPY, RATE_UNLIMITED, 100 * MB);

	(void)state;
	scheduler_set_limit(fixture.scheduler, 50 * MB);
	turns(20);
	assert_near(may_send(postcopy), 49 * MB);
	assert_near(may_send(bulk), SHARES_FLOOR_BYTES_PER_S);
	assert_near(may_come(bulk), SHARES_FLOOR_BYTES_PER_S);
}

static void bulk_makes_room_for_postcopy_without_a_limit_until_it_ends(void **state)
{
	size_t bulk = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);
	size_t postcopy = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);

	(void)state;
	assert_false(turn());
	atomic_store(&fixture.terms[postcopy]->share_class, SHARE_POSTCOPY);
	assert_true(turn());
	assert_int_equal(may_send(bulk), SHARES_FLOOR_BYTES_PER_S);
	assert_int_equal(may_send(postcopy), RATE_UNLIMITED);
	assert_int_equal(may_come(bulk), RATE_UNLIMITED);
	atomic_store(&fixture.terms[postcopy]->share_class, SHARE_BULK);
	assert_false(turn());
	assert_int_equal(may_send(bulk), RATE_UNLIMITED);
}

static void postcopy_that_begins_between_two_measurements_leaves_bulk_its_floor(void **state)
{
	size_t bulk = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);
	size_t postcopy = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);

	(void)state;
	turns(5);
	atomic_store(&fixture.terms[postcopy]->share_class, SHARE_POSTCOPY);
	assert_true(scheduler_turn(fixture.scheduler, fixture.now_ms + 10));
	assert_int_equal(may_send(bulk), SHARES_FLOOR_BYTES_PER_S);
}

static void what_the_peer_asks_for_leaves_more_to_others(void **state)
{
	size_t one = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);
	size_t other = join(SHARE_BULK, RATE_UNLIMITED, 100 * MB);

	(void)state;
	scheduler_set_limit(fixture.scheduler, 50 * MB);
	atomic_store(&fixture.channels[one].peer_rate, 10 * MB);
	turns(20);
	assert_near(may_send(one), 10 * MB);
	assert_near(may_send(other), 40 * MB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(without_a_limit_nothing_turns_and_nothing_is_paced),
		TEST(a_limit_is_shared_in_both_directions),
		TEST(what_one_does_not_use_another_gets),
		TEST(a_limit_that_is_lifted_leaves_no_pace),
		TEST(a_channel_is_limited_from_its_first_byte),
		TEST(control_is_never_limited),
		TEST(a_cap_alone_needs_turns_and_changes_while_it_runs),
		TEST(channels_of_one_migration_share_its_cap),
		TEST(postcopy_goes_before_bulk_within_a_limit),
		TEST(bulk_makes_room_for_postcopy_without_a_limit_until_it_ends),
		TEST(postcopy_that_begins_between_two_measurements_leaves_bulk_its_floor),
		TEST(what_the_peer_asks_for_leaves_more_to_others),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
