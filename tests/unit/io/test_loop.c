/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>

#include "io/loop.h"

enum { TASK_COUNT = 1000, THREAD_COUNT = 4 };

struct fixture {
	struct loop *loop;
	struct error err;
	int numbers[TASK_COUNT];
	size_t number_count;
	unsigned total; /* on the loop's thread */
	pthread_t ran_on;
};

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture = (struct fixture){0};
	fixture.loop = loop_new(&fixture.err);
	assert_non_null(fixture.loop);
	return 0;
}

static void note_number(void *argument)
{
	fixture.numbers[fixture.number_count++] = (int)(intptr_t)argument;
}

static void note_thread(void *argument)
{
	(void)argument;
	fixture.ran_on = pthread_self();
}

static void count(void *argument)
{
	(void)argument;
	fixture.total++;
}

static void tasks_run_in_the_order_of_posting(void **state)
{
	(void)state;
	for (int i = 0; i < TASK_COUNT; i++)
		loop_post(fixture.loop, note_number, (void *)(intptr_t)i);
	loop_stop(fixture.loop);
	loop_run(fixture.loop);
	assert_int_equal(fixture.number_count, TASK_COUNT);
	for (int i = 0; i < TASK_COUNT; i++)
		assert_int_equal(fixture.numbers[i], i);
	loop_free(fixture.loop);
}

static void a_task_runs_on_the_thread_of_the_loop(void **state)
{
	(void)state;
	assert_int_equal(loop_start(fixture.loop, &fixture.err), 0);
	loop_post(fixture.loop, note_thread, NULL);
	loop_stop(fixture.loop);
	loop_free(fixture.loop);
	assert_false(pthread_equal(fixture.ran_on, pthread_self()));
}

static void *post_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < TASK_COUNT; i++)
		loop_post(fixture.loop, count, NULL);
	return NULL;
}

static void no_task_of_several_threads_is_lost(void **state)
{
	pthread_t threads[THREAD_COUNT];

	(void)state;
	assert_int_equal(loop_start(fixture.loop, &fixture.err), 0);
	for (int i = 0; i < THREAD_COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, NULL), 0);
	for (int i = 0; i < THREAD_COUNT; i++)
		pthread_join(threads[i], NULL);
	loop_stop(fixture.loop);
	loop_free(fixture.loop);
	assert_int_equal(fixture.total, TASK_COUNT * THREAD_COUNT);
}

static void post_again(void *argument)
{
	(void)argument;
	loop_post(fixture.loop, count, NULL);
	loop_stop(fixture.loop);
}

static void a_task_may_post_a_task(void **state)
{
	(void)state;
	loop_post(fixture.loop, post_again, NULL);
	loop_run(fixture.loop);
	loop_free(fixture.loop);
	assert_int_equal(fixture.total, 1);
}

static void a_loop_that_never_ran_is_freed(void **state)
{
	(void)state;
	loop_free(fixture.loop);
}

static void on_timer(uv_timer_t *timer)
{
	struct loop *loop = timer->data;

	fixture.total = loop_now_ms(loop) > 0;
	uv_close((uv_handle_t *)timer, NULL);
	loop_stop(loop);
}

static void a_timer_runs_on_the_loop(void **state)
{
	uv_timer_t timer;

	(void)state;
	uv_timer_init(loop_uv(fixture.loop), &timer);
	timer.data = fixture.loop;
	uv_timer_start(&timer, on_timer, 1, 0);
	loop_run(fixture.loop);
	loop_free(fixture.loop);
	assert_int_equal(fixture.total, 1);
}

static void a_loop_that_has_ended_runs_nothing(void **state)
{
	(void)state;
	loop_hold(fixture.loop);
	loop_free(fixture.loop);
	assert_false(loop_post(fixture.loop, count, NULL));
	loop_put(fixture.loop);
	assert_int_equal(fixture.total, 0);
}

static struct loop *others[2];

static void post_on(void *argument)
{
	fixture.total++;
	if (fixture.total < 7)
		assert_true(loop_post(others[fixture.total % 2], post_on, argument));
}

/* A handle's close posts, as a link's does that moves. */
static void on_closed(uv_handle_t *handle)
{
	assert_true(loop_post(others[0], post_on, handle->data));
}

static void close_here(void *timer)
{
	uv_close(timer, on_closed);
}

static void what_loops_post_to_each_other_at_their_end_runs(void **state)
{
	static uv_timer_t timer;
	bool busy = true;

	(void)state;
	others[0] = fixture.loop;
	others[1] = loop_new(&fixture.err);
	assert_non_null(others[1]);
	uv_timer_init(loop_uv(others[1]), &timer);
	for (int i = 0; i < 2; i++)
		assert_int_equal(loop_start(others[i], &fixture.err), 0);
	loop_post(others[1], close_here, &timer);
	for (int i = 0; i < 2; i++)
		loop_stop(others[i]);
	for (int i = 0; i < 2; i++)
		loop_join(others[i]);
	while (busy) {
		busy = false;
		for (int i = 0; i < 2; i++)
			busy |= loop_settle(others[i]);
	}
	assert_int_equal(fixture.total, 7);
	for (int i = 0; i < 2; i++)
		loop_free(others[i]);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tasks_run_in_the_order_of_posting),
		TEST(a_task_runs_on_the_thread_of_the_loop),
		TEST(no_task_of_several_threads_is_lost),
		TEST(a_task_may_post_a_task),
		TEST(a_loop_that_never_ran_is_freed),
		TEST(a_timer_runs_on_the_loop),
		TEST(a_loop_that_has_ended_runs_nothing),
		TEST(what_loops_post_to_each_other_at_their_end_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
