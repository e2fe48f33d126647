#include "cli/bench_direction.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/socket.h>

#define BLOCK_BYTES 131072

/* Rare enough not to be a load itself */
#define TRIP_PAUSE_US 2000

struct stream {
	struct bench_flow *flow;
	struct bench_channel *channel;
	pthread_t thread;
	uint64_t until_us;
	uint64_t bytes;
	uint64_t ended_us;
	int result;
	struct error err;
};

static int finish_writing(struct stream *stream)
{
	if (shutdown(stream->channel->waiter.fd, SHUT_WR) < 0)
		return error_errno(&stream->err, "shutdown");
	return 0;
}

static int send_for_a_while(struct stream *stream)
{
	static const unsigned char block[BLOCK_BYTES];
	uint64_t arrived;

	do {
		if (waiter_write(&stream->channel->waiter, block, BLOCK_BYTES, &stream->err) !=
			IO_OK)
			return -1;
		stream->bytes += BLOCK_BYTES;
	} while (bench_now_us() < stream->until_us);
	if (finish_writing(stream) < 0 ||
		bench_channel_take_number(stream->channel, &arrived, &stream->err) < 0)
		return -1;
	if (arrived != stream->bytes)
		return error_set(&stream->err, ERROR_PEER, "%" PRIu64 " bytes arrived of %" PRIu64,
			arrived, stream->bytes);
	return 0;
}

static int receive_for_a_while(struct stream *stream)
{
	unsigned char block[BLOCK_BYTES];
	bool told = false;

	for (;;) {
		size_t got;

		switch (waiter_read(
			&stream->channel->waiter, block, sizeof(block), &got, &stream->err)) {
		case IO_OK:
			stream->bytes += got;
			break;
		case IO_EOF:
			if (!told)
				return error_set(&stream->err, ERROR_LINK,
					"the channel ended early: the connection was lost for too "
					"long, or culvertd was stopped");
			return 0;
		case IO_AGAIN:
		case IO_FAILED:
			return -1;
		}
		if (!told && bench_now_us() >= stream->until_us) {
			if (finish_writing(stream) < 0)
				return -1;
			told = true;
		}
	}
}

static void *run(void *argument)
{
	struct stream *stream = argument;

	stream->result = bench_channel_order(stream->channel, stream->flow->order, &stream->err);
	if (stream->result == 0)
		stream->result = stream->flow->order == BENCH_SINK ? send_for_a_while(stream)
								   : receive_for_a_while(stream);
	stream->ended_us = bench_now_us();
	if (stream->result < 0)
		atomic_store(stream->flow->leave, true);
	bench_channel_close(stream->channel);
	return NULL;
}

/* The cause, not those that were told to end because of it */
static void keep_cause(const struct error *failure, struct error *err)
{
	if (err->code == ERROR_NONE || err->code == ERROR_CANCELLED)
		*err = *failure;
}

static int start(struct stream *stream, struct error *err)
{
	if (pthread_create(&stream->thread, NULL, run, stream) == 0)
		return 0;
	atomic_store(stream->flow->leave, true);
	return error_set(err, ERROR_LOCAL, "cannot start a thread");
}

int bench_direction_measure(
	struct bench_flow *flow, struct bench_direction *direction, struct error *err)
{
	struct stream streams[BENCH_CHANNELS_MOST];
	struct error failure = {0};
	uint64_t begun_us = bench_now_us();
	uint64_t until_us = begun_us + flow->time_us;
	unsigned started = 0;
	int result = 0;

	*direction = (struct bench_direction){0};
	for (; result == 0 && started < flow->channel_count; started += result == 0) {
		streams[started] = (struct stream){
			.flow = flow, .channel = &flow->channels[started], .until_us = until_us};
		result = start(&streams[started], &failure);
	}
	if (result == 0 &&
		bench_trips_measure(
			flow->echo, until_us, TRIP_PAUSE_US, &direction->trips, &failure) < 0) {
		atomic_store(flow->leave, true);
		result = -1;
	}
	for (unsigned i = 0; i < started; i++) {
		pthread_join(streams[i].thread, NULL);
		direction->bytes += streams[i].bytes;
		if (streams[i].ended_us - begun_us > direction->duration_us)
			direction->duration_us = streams[i].ended_us - begun_us;
		if (streams[i].result < 0) {
			keep_cause(&streams[i].err, &failure);
			result = -1;
		}
	}
	if (result < 0)
		*err = failure;
	return result;
}
