#include "io/loop.h"

#include <stdatomic.h>
#include <stdlib.h>

struct task {
	struct task *next;
	void (*run)(void *argument);
	void *argument;
};

struct loop {
	uv_loop_t uv;
	uv_async_t wake;
	uv_thread_t thread;
	bool threaded;
	atomic_uint references;
	uv_mutex_t lock; /* guards the following */
	struct task *first;
	struct task **last;
	bool ended;
};

/* Under the lock */
static struct task *take_tasks(struct loop *loop)
{
	struct task *first = loop->first;

	loop->first = NULL;
	loop->last = &loop->first;
	return first;
}

static void run_each(struct task *task)
{
	while (task) {
		struct task *next = task->next;

		task->run(task->argument);
		free(task);
		task = next;
	}
}

/* @returns whether there were any */
static bool run_tasks(struct loop *loop)
{
	struct task *first;

	uv_mutex_lock(&loop->lock);
	first = take_tasks(loop);
	uv_mutex_unlock(&loop->lock);
	run_each(first);
	return first != NULL;
}

static void on_wake(uv_async_t *wake)
{
	(void)run_tasks(wake->data);
}

struct loop *loop_new(struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop || uv_loop_init(&loop->uv) != 0 || uv_mutex_init(&loop->lock) != 0 ||
		uv_async_init(&loop->uv, &loop->wake, on_wake) != 0) {
		free(loop);
		error_set(err, ERROR_LOCAL, "cannot make an event loop: too few resources");
		return NULL;
	}
	loop->wake.data = loop;
	loop->last = &loop->first;
	atomic_init(&loop->references, 1);
	return loop;
}

static void run_thread(void *argument)
{
	loop_run(argument);
}

int loop_start(struct loop *loop, struct error *err)
{
	if (uv_thread_create(&loop->thread, run_thread, loop) != 0)
		return error_set(err, ERROR_LOCAL, "cannot start a thread");
	loop->threaded = true;
	return 0;
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void stop_here(void *argument)
{
	struct loop *loop = argument;

	uv_stop(&loop->uv);
}

void loop_stop(struct loop *loop)
{
	loop_post(loop, stop_here, loop);
}

void loop_join(struct loop *loop)
{
	if (loop->threaded)
		uv_thread_join(&loop->thread);
	loop->threaded = false;
}

bool loop_settle(struct loop *loop)
{
	bool busy;

	uv_unref((uv_handle_t *)&loop->wake);
	busy = run_tasks(loop) || uv_loop_alive(&loop->uv);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	return busy;
}

/* Nothing is posted from here on. @returns what was posted before */
static struct task *close_queue(struct loop *loop)
{
	struct task *left;

	uv_mutex_lock(&loop->lock);
	loop->ended = true;
	left = take_tasks(loop);
	uv_mutex_unlock(&loop->lock);
	return left;
}

void loop_free(struct loop *loop)
{
	loop_join(loop);
	while (loop_settle(loop))
		;
	run_each(close_queue(loop));
	uv_close((uv_handle_t *)&loop->wake, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	uv_loop_close(&loop->uv);
	loop_put(loop);
}

void loop_hold(struct loop *loop)
{
	atomic_fetch_add(&loop->references, 1);
}

void loop_put(struct loop *loop)
{
	if (atomic_fetch_sub(&loop->references, 1) > 1)
		return;
	uv_mutex_destroy(&loop->lock);
	free(loop);
}

bool loop_post(struct loop *loop, void (*run)(void *argument), void *argument)
{
	struct task *task = malloc(sizeof(*task));
	bool ended;

	if (!task)
		abort(); /* nobody could be told */
	*task = (struct task){.run = run, .argument = argument};
	uv_mutex_lock(&loop->lock);
	ended = loop->ended;
	if (!ended) {
		*loop->last = task;
		loop->last = &task->next;
		/* Under the lock: its end closes what is woken here. */
		uv_async_send(&loop->wake);
	}
	uv_mutex_unlock(&loop->lock);
	if (ended)
		free(task);
	return !ended;
}

uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

uint64_t loop_now_ms(struct loop *loop)
{
	return uv_now(&loop->uv);
}
