/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/chunk.h"

static void a_chunk_that_was_put_back_is_taken_again_and_is_empty(void **state)
{
	struct chunk_pool pool;
	struct chunk *chunk;

	(void)state;
	chunk_pool_init(&pool);
	chunk = chunk_pool_take(&pool);
	chunk->begin = 3;
	chunk->end = 9;
	chunk->end_offset = 77;
	chunk_pool_put(&pool, chunk);
	assert_ptr_equal(chunk_pool_take(&pool), chunk);
	assert_int_equal(chunk->begin, 0);
	assert_int_equal(chunk->end, 0);
	assert_int_equal(chunk->end_offset, 0);
	assert_null(chunk->next);
	chunk_pool_put(&pool, chunk);
	chunk_pool_fini(&pool);
}

static void a_queue_gives_back_in_the_order_it_grew(void **state)
{
	struct chunk_pool pool;
	struct chunk_queue queue = {0};
	struct chunk *first;
	struct chunk *second;

	(void)state;
	chunk_pool_init(&pool);
	first = chunk_queue_grow(&queue, &pool);
	second = chunk_queue_grow(&queue, &pool);
	assert_int_equal(queue.count, 2);
	assert_ptr_equal(queue.first, first);
	assert_ptr_equal(queue.last, second);
	chunk_queue_drop(&queue, &pool);
	assert_ptr_equal(queue.first, second);
	chunk_queue_drop(&queue, &pool);
	assert_null(queue.first);
	assert_null(queue.last);
	assert_int_equal(queue.count, 0);
	chunk_pool_fini(&pool);
}

static void a_queue_grows_again_after_it_was_cleared(void **state)
{
	struct chunk_pool pool;
	struct chunk_queue queue = {0};
	struct chunk *chunk;

	(void)state;
	chunk_pool_init(&pool);
	chunk_queue_grow(&queue, &pool);
	chunk_queue_grow(&queue, &pool);
	chunk_queue_clear(&queue, &pool);
	assert_int_equal(queue.count, 0);
	chunk = chunk_queue_grow(&queue, &pool);
	assert_ptr_equal(queue.first, chunk);
	assert_ptr_equal(queue.last, chunk);
	chunk_queue_clear(&queue, &pool);
	chunk_pool_fini(&pool);
}

static void a_pool_gives_back_what_was_not_wanted_for_a_while(void **state)
{
	struct chunk_pool pool;
	struct chunk_queue queue = {0};

	(void)state;
	chunk_pool_init(&pool);
	for (int i = 0; i < 8; i++)
		chunk_queue_grow(&queue, &pool);
	chunk_queue_clear(&queue, &pool);
	chunk_pool_tidy(&pool);
	assert_int_equal(pool.free_count, 8);
	for (int i = 0; i < 3; i++)
		chunk_queue_grow(&queue, &pool);
	chunk_queue_clear(&queue, &pool);
	chunk_pool_tidy(&pool);
	assert_int_equal(pool.free_count, 3);
	chunk_pool_tidy(&pool);
	assert_int_equal(pool.free_count, 0);
	chunk_pool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chunk_that_was_put_back_is_taken_again_and_is_empty),
		cmocka_unit_test(a_queue_gives_back_in_the_order_it_grew),
		cmocka_unit_test(a_queue_grows_again_after_it_was_cleared),
		cmocka_unit_test(a_pool_gives_back_what_was_not_wanted_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
