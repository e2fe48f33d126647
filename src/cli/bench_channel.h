/* A channel to the service `bench` of another host, through this host's culvertd.
 *
 * Spec:    docs/PROTOCOL.md, "Bench".
 */
#ifndef CULVERT_CLI_BENCH_CHANNEL_H
#define CULVERT_CLI_BENCH_CHANNEL_H

#include <stdint.h>

#include "control/client.h"
#include "io/waiter.h"
#include "wire/bench.h"

struct bench_channel {
	struct waiter waiter; /* fd -1: closed */
	uint64_t opening_us;
};

/**
 * @host    for messages, too
 * @leave   see struct waiter
 * @errors  as opening a forward, with what the host there may lack in front
 */
int bench_channel_open(struct bench_channel *channel, struct client *client, const char *host,
	const atomic_bool *leave, struct error *err);
void bench_channel_close(struct bench_channel *channel);

int bench_channel_order(struct bench_channel *channel, enum bench_order order, struct error *err);

/** The line that is due, a number */
int bench_channel_take_number(struct bench_channel *channel, uint64_t *number, struct error *err);

#endif
