/* The to_local buffer: bytes received from the peer and not yet written to the local program.
 *
 * Floor: tunnel (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Streams".
 * Threads: owned by one session, on its loop's thread.
 */
#ifndef CULVERT_TUNNEL_DELIVERY_H
#define CULVERT_TUNNEL_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "tunnel/chunk.h"

struct delivery {
	struct chunk_pool *pool;
	struct chunk_queue chunks;
	uint64_t delivered; /* positions since the channel was opened */
	uint64_t received;
	uint64_t limit; /* what the peer was told it may send up to */
	bool eof_received;
	bool eof_delivered;
};

/** @limit  the first limit told to the peer */
void delivery_init(struct delivery *delivery, struct chunk_pool *pool, uint64_t limit);
void delivery_fini(struct delivery *delivery);

/** What is held will not be delivered: the channel has ended. Put no more */
void delivery_drop(struct delivery *delivery);

/**
 * Take bytes from the peer; what is already here is dropped.
 *
 * @errors  ERROR_PEER: a gap, past the limit, or after the end; ERROR_LOCAL: no memory
 */
int delivery_put(struct delivery *delivery, uint64_t offset, const void *bytes, size_t length,
	struct error *err);
int delivery_put_eof(struct delivery *delivery, uint64_t offset, struct error *err);

/** Bytes to write to the local program, in order. @returns how many of @spans were filled */
int delivery_spans(const struct delivery *delivery, struct iovec *spans, int count);

/** The local program took the first @length bytes of the spans */
void delivery_delivered(struct delivery *delivery, size_t length);

/** All bytes are delivered and the end is not: shut the local socket's writing side down */
bool delivery_eof_due(const struct delivery *delivery);
void delivery_delivered_eof(struct delivery *delivery);

#endif
