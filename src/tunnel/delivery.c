#include "tunnel/delivery.h"

#include <assert.h>
#include <string.h>

void delivery_init(struct delivery *delivery, struct chunk_pool *pool, uint64_t limit)
{
	*delivery = (struct delivery){.pool = pool, .limit = limit};
}

void delivery_fini(struct delivery *delivery)
{
	chunk_queue_clear(&delivery->chunks, delivery->pool);
}

void delivery_drop(struct delivery *delivery)
{
	chunk_queue_clear(&delivery->chunks, delivery->pool);
	delivery->received = delivery->delivered;
	delivery->eof_received = delivery->eof_delivered;
}

/* May bytes at [offset, offset + length) come now? Those before delivery->received came before. */
static int check_place(
	const struct delivery *delivery, uint64_t offset, size_t length, struct error *err)
{
	uint64_t end = delivery->received - (delivery->eof_received ? 1 : 0);

	if (offset > end)
		return error_set(err, ERROR_PEER, "gap in the stream");
	if (end - offset >= length)
		return 0;
	if (delivery->eof_received)
		return error_set(err, ERROR_PEER, "data after the end of the stream");
	if (length > delivery->limit - offset)
		return error_set(err, ERROR_PEER, "data beyond the limit");
	return 0;
}

int delivery_put(struct delivery *delivery, uint64_t offset, const void *bytes, size_t length,
	struct error *err)
{
	const unsigned char *next = bytes;
	size_t skip;

	if (check_place(delivery, offset, length, err) < 0)
		return -1;
	skip = delivery->received - offset < length ? (size_t)(delivery->received - offset)
						    : length;
	next += skip;
	length -= skip;
	while (length > 0) {
		struct chunk *last = delivery->chunks.last;
		size_t part;

		if (!last || last->end == CHUNK_BYTES)
			last = chunk_queue_grow(&delivery->chunks, delivery->pool);
		if (!last)
			return error_set(err, ERROR_LOCAL, "no memory for received data");
		part = CHUNK_BYTES - last->end;
		if (part > length)
			part = length;
		memcpy(last->bytes + last->end, next, part);
		last->end += (uint32_t)part;
		delivery->received += part;
		next += part;
		length -= part;
	}
	return 0;
}

int delivery_put_eof(struct delivery *delivery, uint64_t offset, struct error *err)
{
	uint64_t end = delivery->received - (delivery->eof_received ? 1 : 0);

	if (offset != end)
		return error_set(err, ERROR_PEER, "EOF at the wrong position");
	if (!delivery->eof_received) {
		delivery->eof_received = true;
		delivery->received++;
	}
	return 0;
}

int delivery_spans(const struct delivery *delivery, struct iovec *spans, int count)
{
	int filled = 0;

	for (struct chunk *chunk = delivery->chunks.first; chunk && filled < count;
		chunk = chunk->next) {
		spans[filled].iov_base = chunk->bytes + chunk->begin;
		spans[filled].iov_len = chunk->end - chunk->begin;
		filled++;
	}
	return filled;
}

void delivery_delivered(struct delivery *delivery, size_t length)
{
	delivery->delivered += length;
	while (length > 0) {
		struct chunk *first = delivery->chunks.first;
		size_t part;

		assert(first);
		part = first->end - first->begin;
		if (part > length) {
			first->begin += (uint32_t)length;
			return;
		}
		length -= part;
		chunk_queue_drop(&delivery->chunks, delivery->pool);
	}
}

bool delivery_eof_due(const struct delivery *delivery)
{
	return delivery->eof_received && !delivery->eof_delivered && !delivery->chunks.first;
}

void delivery_delivered_eof(struct delivery *delivery)
{
	assert(delivery_eof_due(delivery));
	delivery->eof_delivered = true;
	delivery->delivered++;
}
