#include "io/loop.h"

#include <stdbool.h>
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
	uv_mutex_t lock; /* guards the queue */
	struct task *first;
	struct task **last;
};

static void run_tasks(uv_async_t *wake)
{
	struct loop *loop = wake->data;
	struct task *task;

	uv_mutex_lock(&loop->lock);
	task = loop->first;
	loop->first = NULL;
	loop->last = &loop->first;
	uv_mutex_unlock(&loop->lock);
	while (task) {
		struct task *next = task->next;

		task->run(task->argument);
		free(task);
		task = next;
	}
}

struct loop *loop_new(struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop || uv_loop_init(&loop->uv) != 0 || uv_mutex_init(&loop->lock) != 0 ||
		uv_async_init(&loop->uv, &loop->wake, run_tasks) != 0) {
		free(loop);
		error_set(err, ERROR_LOCAL, "cannot make an event loop: too few resources");
		return NULL;
	}
	loop->wake.data = loop;
	loop->last = &loop->first;
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

void loop_free(struct loop *loop)
{
	if (loop->threaded)
		uv_thread_join(&loop->thread);
	uv_close((uv_handle_t *)&loop->wake, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	run_tasks(&loop->wake);
	uv_loop_close(&loop->uv);
	uv_mutex_destroy(&loop->lock);
	free(loop);
}

void loop_post(struct loop *loop, void (*run)(void *argument), void *argument)
{
	struct task *task = malloc(sizeof(*task));

	if (!task)
		abort(); /* nobody could be told */
	*task = (struct task){.run = run, .argument = argument};
	uv_mutex_lock(&loop->lock);
	*loop->last = task;
	loop->last = &task->next;
	uv_mutex_unlock(&loop->lock);
	uv_async_send(&loop->wake);
}

uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

uint64_t loop_now_ms(struct loop *loop)
{
	return uv_now(&loop->uv);
}
