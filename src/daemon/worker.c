#include "daemon/worker.h"

#include <stdlib.h>

#include "daemon/channel.h"
#include "tunnel/pace.h"

#define DRAIN_TURN_MS 20
#define TIDY_MS       1000

struct beginning {
	struct worker *worker;
	uv_sem_t over;
};

/* On the worker's thread: it is that thread's time that is asked for later. */
static void begin(void *argument)
{
	struct beginning *beginning = argument;

	processor_init(&beginning->worker->processor);
	uv_sem_post(&beginning->over);
}

static int start(struct worker *worker, struct error *err)
{
	struct beginning beginning = {.worker = worker};

	if (loop_start(worker->loop, err) < 0)
		return -1;
	uv_sem_init(&beginning.over, 0);
	loop_post(worker->loop, begin, &beginning);
	uv_sem_wait(&beginning.over);
	uv_sem_destroy(&beginning.over);
	return 0;
}

struct worker *worker_new(struct budget *budget, struct error *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	strangers_init(&worker->strangers);
	list_init(&worker->channels);
	chunk_pool_init(&worker->pool);
	tls_memory_init(&worker->tls_memory);
	worker->processor.fd = -1;
	worker->budget = budget;
	worker->loop = loop_new(err);
	if (!worker->loop) {
		free(worker);
		return NULL;
	}
	turns_init(&worker->turns, loop_uv(worker->loop));
	if (start(worker, err) < 0) {
		turns_fini(&worker->turns);
		loop_free(worker->loop);
		free(worker);
		return NULL;
	}
	return worker;
}

static void close_all(void *argument)
{
	struct worker *worker = argument;

	worker->stopping = true;
	while (!list_empty(&worker->channels))
		channel_stop_listed(worker->channels.next);
	strangers_expel_all(&worker->strangers, "culvertd is stopping");
}

static void tidy(struct worker *worker)
{
	chunk_pool_tidy(&worker->pool);
	tls_memory_tidy(&worker->tls_memory);
}

void worker_tidy(struct worker *worker)
{
	uint64_t now_ms = loop_now_ms(worker->loop);

	/* Without channels nothing is wanted, and nobody would call again. */
	if (list_empty(&worker->channels))
		tidy(worker);
	else if (now_ms < worker->tidied_ms + TIDY_MS)
		return;
	worker->tidied_ms = now_ms;
	tidy(worker);
}

uint64_t worker_wanted_us(struct worker *worker, uint64_t now_us)
{
	if (now_us >= worker->wanted_at_us + PACE_SAMPLE_US) {
		worker->wanted_us = processor_wanted_us(&worker->processor);
		worker->wanted_at_us = now_us;
	}
	return worker->wanted_us;
}

bool worker_drain(struct worker *worker, unsigned timeout_ms)
{
	for (unsigned waited_ms = 0; atomic_load(&worker->channel_count) > 0;
		waited_ms += DRAIN_TURN_MS) {
		if (waited_ms >= timeout_ms)
			return false;
		uv_sleep(DRAIN_TURN_MS);
	}
	return true;
}

void workers_stop(struct worker **workers, unsigned count)
{
	bool busy = true;

	for (unsigned i = 0; i < count; i++) {
		loop_post(workers[i]->loop, close_all, workers[i]);
		loop_stop(workers[i]->loop);
	}
	for (unsigned i = 0; i < count; i++)
		loop_join(workers[i]->loop);
	/* A link on its way arrives at a worker that stops, and is closed there. */
	while (busy) {
		busy = false;
		for (unsigned i = 0; i < count; i++)
			busy |= loop_settle(workers[i]->loop);
	}
	for (unsigned i = 0; i < count; i++) {
		turns_fini(&workers[i]->turns);
		loop_free(workers[i]->loop);
		chunk_pool_fini(&workers[i]->pool);
		tls_memory_fini(&workers[i]->tls_memory);
		processor_fini(&workers[i]->processor);
		free(workers[i]);
	}
}
