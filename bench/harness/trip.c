/* Small messages that come back, one at a time. */
#include "endpoint.h"
#include "fail.h"
#include "load.h"
#include "moment.h"

#define MESSAGE_BYTES 64

static void *ask(void *argument)
{
	struct lane *lane = argument;
	unsigned char message[MESSAGE_BYTES] = {0};

	while (!atomic_load(&lane->load->stopping)) {
		uint64_t sent_ns = moment_ns();

		endpoint_write(lane->source, message, sizeof(message));
		if (!endpoint_read(lane->source, message, sizeof(message)))
			fail("the stream ended in a round trip");
		load_note(lane->load, moment_ns() - sent_ns);
	}
	/* The last one says so. */
	message[0] = 1;
	endpoint_write(lane->source, message, sizeof(message));
	return NULL;
}

static void *answer(void *argument)
{
	struct lane *lane = argument;
	unsigned char message[MESSAGE_BYTES];

	for (;;) {
		if (!endpoint_read(lane->sink, message, sizeof(message)))
			fail("the stream ended in a round trip");
		if (message[0])
			return NULL;
		endpoint_write(lane->sink, message, sizeof(message));
	}
}

static void start(struct load *load)
{
	load_start(&load->lanes[0], 0, ask);
	load_start(&load->lanes[0], 1, answer);
}

static void join(struct load *load)
{
	pthread_join(load->lanes[0].threads[0], NULL);
	pthread_join(load->lanes[0].threads[1], NULL);
}

const struct load_kind load_trip = {.start = start, .join = join};
