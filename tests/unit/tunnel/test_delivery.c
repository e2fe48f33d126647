/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tunnel/delivery.h"

enum { LIMIT = 200000 };

struct fixture {
	struct chunk_pool pool;
	struct delivery delivery;
	struct error err;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	chunk_pool_init(&fixture->pool);
	delivery_init(&fixture->delivery, &fixture->pool, LIMIT);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	delivery_fini(&fixture->delivery);
	chunk_pool_fini(&fixture->pool);
	free(fixture);
	return 0;
}

static int put(struct fixture *fixture, uint64_t offset, const char *text)
{
	return delivery_put(&fixture->delivery, offset, text, strlen(text), &fixture->err);
}

static void expect_held(const struct delivery *delivery, const char *text)
{
	struct iovec span = {0};

	assert_int_equal(delivery_spans(delivery, &span, 1), *text ? 1 : 0);
	assert_int_equal(span.iov_len, strlen(text));
	assert_memory_equal(span.iov_base, text, strlen(text));
}

static void bytes_come_out_in_order(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put(fixture, 0, "hello "), 0);
	assert_int_equal(put(fixture, 6, "world"), 0);
	expect_held(&fixture->delivery, "hello world");
	delivery_delivered(&fixture->delivery, 4);
	expect_held(&fixture->delivery, "o world");
	assert_int_equal(fixture->delivery.received - fixture->delivery.delivered, 7);
}

static void bytes_that_came_before_are_dropped(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put(fixture, 0, "hello"), 0);
	assert_int_equal(put(fixture, 0, "XXXXX"), 0);
	assert_int_equal(put(fixture, 3, "XX world"), 0);
	expect_held(&fixture->delivery, "hello world");
	assert_int_equal(fixture->delivery.received, 11);
}

static void a_gap_is_refused(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put(fixture, 0, "hello"), 0);
	assert_int_equal(put(fixture, 6, "x"), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
	assert_int_equal(put(fixture, UINT64_MAX, "xy"), -1);
	expect_held(&fixture->delivery, "hello");
}

static void bytes_beyond_the_limit_are_refused_and_not_held(void **state)
{
	struct fixture *fixture = *state;
	char *much = calloc(1, LIMIT + 1);

	assert_int_equal(delivery_put(&fixture->delivery, 0, much, LIMIT + 1, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
	assert_int_equal(fixture->delivery.chunks.count, 0);
	assert_int_equal(delivery_put(&fixture->delivery, 0, much, LIMIT, &fixture->err), 0);
	free(much);
}

static void bytes_larger_than_a_chunk_lie_in_several(void **state)
{
	struct fixture *fixture = *state;
	char *much = calloc(1, 2 * CHUNK_BYTES + 1);
	struct iovec spans[4];

	assert_int_equal(
		delivery_put(&fixture->delivery, 0, much, 2 * CHUNK_BYTES + 1, &fixture->err), 0);
	assert_int_equal(delivery_spans(&fixture->delivery, spans, 4), 3);
	assert_int_equal(spans[2].iov_len, 1);
	delivery_delivered(&fixture->delivery, CHUNK_BYTES + 5);
	assert_int_equal(fixture->delivery.chunks.count, 2);
	free(much);
}

static void the_end_is_due_after_the_last_byte(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put(fixture, 0, "hello"), 0);
	assert_int_equal(delivery_put_eof(&fixture->delivery, 5, &fixture->err), 0);
	assert_false(delivery_eof_due(&fixture->delivery));
	delivery_delivered(&fixture->delivery, 5);
	assert_true(delivery_eof_due(&fixture->delivery));
	delivery_delivered_eof(&fixture->delivery);
	assert_false(delivery_eof_due(&fixture->delivery));
	assert_int_equal(fixture->delivery.delivered, 6);
}

static void an_end_at_another_place_is_refused(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put(fixture, 0, "hello"), 0);
	assert_int_equal(delivery_put_eof(&fixture->delivery, 4, &fixture->err), -1);
	assert_int_equal(delivery_put_eof(&fixture->delivery, 6, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void an_end_that_came_before_is_dropped(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(delivery_put_eof(&fixture->delivery, 0, &fixture->err), 0);
	assert_int_equal(delivery_put_eof(&fixture->delivery, 0, &fixture->err), 0);
	assert_int_equal(fixture->delivery.received, 1);
	assert_int_equal(delivery_put_eof(&fixture->delivery, 1, &fixture->err), -1);
}

static void bytes_after_the_end_are_refused(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put(fixture, 0, "hello"), 0);
	assert_int_equal(delivery_put_eof(&fixture->delivery, 5, &fixture->err), 0);
	assert_int_equal(put(fixture, 0, "hello"), 0);
	assert_int_equal(put(fixture, 5, "x"), -1);
	assert_int_equal(put(fixture, 4, "ox"), -1);
	assert_int_equal(put(fixture, 6, "x"), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
}

static void bytes_up_to_the_last_position_do_not_wrap(void **state)
{
	struct fixture *fixture = *state;

	fixture->delivery.received = UINT64_MAX - 2;
	fixture->delivery.delivered = UINT64_MAX - 2;
	fixture->delivery.limit = UINT64_MAX;
	assert_int_equal(put(fixture, UINT64_MAX - 2, "abcd"), -1);
	assert_int_equal(put(fixture, UINT64_MAX - 2, "ab"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(bytes_come_out_in_order),
		TEST(bytes_that_came_before_are_dropped),
		TEST(a_gap_is_refused),
		TEST(bytes_beyond_the_limit_are_refused_and_not_held),
		TEST(bytes_larger_than_a_chunk_lie_in_several),
		TEST(the_end_is_due_after_the_last_byte),
		TEST(an_end_at_another_place_is_refused),
		TEST(an_end_that_came_before_is_dropped),
		TEST(bytes_after_the_end_are_refused),
		TEST(bytes_up_to_the_last_position_do_not_wrap),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
