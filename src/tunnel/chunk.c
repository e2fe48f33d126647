#include "tunnel/chunk.h"

#include <stdlib.h>

void chunk_pool_init(struct chunk_pool *pool)
{
	*pool = (struct chunk_pool){0};
}

static void keep_at_most(struct chunk_pool *pool, size_t count)
{
	while (pool->free_count > count) {
		struct chunk *chunk = pool->free;

		pool->free = chunk->next;
		pool->free_count--;
		free(chunk);
	}
}

void chunk_pool_fini(struct chunk_pool *pool)
{
	keep_at_most(pool, 0);
}

void chunk_pool_tidy(struct chunk_pool *pool)
{
	keep_at_most(pool, pool->free_count - pool->idle_count);
	pool->idle_count = pool->free_count;
}

struct chunk *chunk_pool_take(struct chunk_pool *pool)
{
	struct chunk *chunk = pool->free;

	if (chunk) {
		pool->free = chunk->next;
		pool->free_count--;
		if (pool->idle_count > pool->free_count)
			pool->idle_count = pool->free_count;
	} else {
		chunk = malloc(sizeof(*chunk));
		if (!chunk)
			return NULL;
	}
	chunk->next = NULL;
	chunk->end_offset = 0;
	chunk->begin = 0;
	chunk->end = 0;
	return chunk;
}

void chunk_pool_put(struct chunk_pool *pool, struct chunk *chunk)
{
	chunk->next = pool->free;
	pool->free = chunk;
	pool->free_count++;
}

struct chunk *chunk_queue_grow(struct chunk_queue *queue, struct chunk_pool *pool)
{
	struct chunk *chunk = chunk_pool_take(pool);

	if (!chunk)
		return NULL;
	if (queue->last)
		queue->last->next = chunk;
	else
		queue->first = chunk;
	queue->last = chunk;
	queue->count++;
	return chunk;
}

void chunk_queue_drop(struct chunk_queue *queue, struct chunk_pool *pool)
{
	struct chunk *chunk = queue->first;

	queue->first = chunk->next;
	if (!queue->first)
		queue->last = NULL;
	queue->count--;
	chunk_pool_put(pool, chunk);
}

void chunk_queue_clear(struct chunk_queue *queue, struct chunk_pool *pool)
{
	while (queue->first)
		chunk_queue_drop(queue, pool);
}
