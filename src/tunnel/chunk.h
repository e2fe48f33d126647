/* 64 KiB pieces of memory that streams are kept in, and the pool they come from.
 *
 * Floor: tunnel (no descriptors, no clock, no logging).
 * Threads: a pool and its chunks belong to one loop's thread.
 */
#ifndef CULVERT_TUNNEL_CHUNK_H
#define CULVERT_TUNNEL_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_BYTES 65536

struct chunk {
	struct chunk *next;
	uint64_t end_offset; /* stream position after the last byte in it (replay) */
	uint32_t begin;      /* bytes[begin..end) are in use */
	uint32_t end;
	unsigned char bytes[CHUNK_BYTES];
};

/* First in, first out */
struct chunk_queue {
	struct chunk *first;
	struct chunk *last;
	size_t count;
};

/* What is given back stays at hand until a while has passed in which it was not wanted: memory that
 * comes anew from the system costs more than what is done with it. */
struct chunk_pool {
	struct chunk *free;
	size_t free_count;
	size_t idle_count; /* of those that are free: not wanted since chunk_pool_tidy() */
};

void chunk_pool_init(struct chunk_pool *pool);
void chunk_pool_fini(struct chunk_pool *pool);

/** Give back to the system what was not wanted since the last time */
void chunk_pool_tidy(struct chunk_pool *pool);

/** An empty chunk, or NULL when there is no memory. Owned by the caller until put back */
struct chunk *chunk_pool_take(struct chunk_pool *pool);
void chunk_pool_put(struct chunk_pool *pool, struct chunk *chunk);

/** Append an empty chunk from the pool. @returns it, or NULL when there is no memory */
struct chunk *chunk_queue_grow(struct chunk_queue *queue, struct chunk_pool *pool);

/** Give the first chunk back to the pool */
void chunk_queue_drop(struct chunk_queue *queue, struct chunk_pool *pool);

/** Give all chunks back to the pool */
void chunk_queue_clear(struct chunk_queue *queue, struct chunk_pool *pool);

#endif
