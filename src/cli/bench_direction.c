#include "cli/bench_direction.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"

#define BLOCK_BYTES 131072

/* Rare enough not to be a load itself */
#define TRIP_PAUSE_US 2000

struct bulk_thread {
	struct bench_bulk *bulk;
	struct bench_channel *channel;
	pthread_t id;
	uint64_t until_us;
	uint64_t bytes;
	uint64_t ended_us;
	int result;
	struct error err;
};

static int finish_writing(struct bulk_thread *thread)
{
	if (shutdown(thread->channel->waiter.fd, SHUT_WR) < 0)
		return error_errno(&thread->err, "shutdown");
	return 0;
}

static int send_for_a_while(struct bulk_thread *thread)
{
	static const unsigned char block[BLOCK_BYTES];
	uint64_t arrived;

	do {
		if (waiter_write(&thread->channel->waiter, block, BLOCK_BYTES, &thread->err) !=
			IO_OK)
			return -1;
		thread->bytes += BLOCK_BYTES;
	} while (clock_now_us() < thread->until_us);
	if (finish_writing(thread) < 0 ||
		bench_channel_take_number(thread->channel, &arrived, &thread->err) < 0)
		return -1;
	if (arrived != thread->bytes)
		return error_set(&thread->err, ERROR_PEER, "%" PRIu64 " bytes arrived of %" PRIu64,
			arrived, thread->bytes);
	return 0;
}

static int receive_for_a_while(struct bulk_thread *thread)
{
	unsigned char block[BLOCK_BYTES];
	bool told = false;

	for (;;) {
		size_t got;

		switch (waiter_read(
			&thread->channel->waiter, block, sizeof(block), &got, &thread->err)) {
		case IO_OK:
			thread->bytes += got;
			break;
		case IO_EOF:
			if (!told)
				return error_set(&thread->err, ERROR_LINK,
					"the channel ended early: the connection was lost for too "
					"long, or culvertd was stopped");
			return 0;
		case IO_AGAIN:
		case IO_FAILED:
			return -1;
		}
		if (!told && clock_now_us() >= thread->until_us) {
			if (finish_writing(thread) < 0)
				return -1;
			told = true;
		}
	}
}

static void *run(void *argument)
{
	struct bulk_thread *thread = argument;

	thread->result = bench_channel_order(thread->channel, thread->bulk->order, &thread->err);
	if (thread->result == 0)
		thread->result = thread->bulk->order == BENCH_SINK ? send_for_a_while(thread)
								   : receive_for_a_while(thread);
	thread->ended_us = clock_now_us();
	if (thread->result < 0)
		atomic_store(thread->bulk->leave, true);
	bench_channel_close(thread->channel);
	return NULL;
}

/* The cause, not those that were told to end because of it */
static void keep_cause(const struct error *failure, struct error *err)
{
	if (err->code == ERROR_NONE || err->code == ERROR_CANCELLED)
		*err = *failure;
}

static int start(struct bulk_thread *thread, struct error *err)
{
	if (pthread_create(&thread->id, NULL, run, thread) == 0)
		return 0;
	atomic_store(thread->bulk->leave, true);
	return error_set(err, ERROR_LOCAL, "cannot start a thread");
}

int bench_direction_measure(
	struct bench_bulk *bulk, struct bench_direction *direction, struct error *err)
{
	struct bulk_thread threads[BENCH_CHANNELS_MOST];
	struct error failure = {0};
	uint64_t begun_us = clock_now_us();
	uint64_t until_us = begun_us + bulk->time_us;
	unsigned started = 0;
	int result = 0;

	*direction = (struct bench_direction){0};
	for (; result == 0 && started < bulk->channel_count; started += result == 0) {
		threads[started] = (struct bulk_thread){
			.bulk = bulk, .channel = &bulk->channels[started], .until_us = until_us};
		result = start(&threads[started], &failure);
	}
	if (result == 0 &&
		bench_trips_measure(
			bulk->echo, until_us, TRIP_PAUSE_US, &direction->trips, &failure) < 0) {
		atomic_store(bulk->leave, true);
		result = -1;
	}
	for (unsigned i = 0; i < started; i++) {
		pthread_join(threads[i].id, NULL);
		direction->bytes += threads[i].bytes;
		if (threads[i].ended_us - begun_us > direction->duration_us)
			direction->duration_us = threads[i].ended_us - begun_us;
		if (threads[i].result < 0) {
			keep_cause(&threads[i].err, &failure);
			result = -1;
		}
	}
	if (result < 0)
		*err = failure;
	return result;
}

double bench_direction_rate(const struct bench_direction *direction)
{
	if (direction->duration_us == 0)
		return 0;
	return (double)direction->bytes * 1e6 / (double)direction->duration_us;
}
