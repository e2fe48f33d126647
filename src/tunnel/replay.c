#include "tunnel/replay.h"

#include <assert.h>

#include "wire/frame.h"

/* A chunk with less room than this is left as it is: small reads cost more than they save. */
#define SMALLEST_SPACE_BYTES 4096

void replay_init(
	struct replay *replay, struct chunk_pool *pool, size_t largest_bytes, struct budget *budget)
{
	size_t count = largest_bytes / CHUNK_BYTES;

	*replay = (struct replay){
		.pool = pool, .chunk_count_largest = count < 2 ? 2 : count, .budget = budget};
	if (budget)
		budget_join(budget);
}

static void give_back(struct replay *replay, size_t count)
{
	if (count == 0)
		return;
	budget_give_back(replay->budget, count);
	replay->borrowed -= count;
}

void replay_drop(struct replay *replay)
{
	chunk_queue_clear(&replay->chunks, replay->pool);
	replay->unsent = NULL;
	give_back(replay, replay->borrowed);
}

void replay_fini(struct replay *replay)
{
	replay_drop(replay);
	if (replay->budget)
		budget_leave(replay->budget);
	replay->budget = NULL;
}

/* The next chunk is nobody's but this replay's. */
static bool below_floor(const struct replay *replay)
{
	return !replay->budget || replay->chunks.count < BUDGET_FLOOR_CHUNKS;
}

/* One chunk more for data, or NULL */
static struct chunk *grow(struct replay *replay)
{
	bool borrowing = !below_floor(replay);
	struct chunk *chunk;

	if (replay->chunks.count >= replay->chunk_count_largest)
		return NULL;
	if (borrowing && !budget_borrow(replay->budget, replay->borrowed))
		return NULL;
	replay->borrowed += borrowing;
	chunk = chunk_queue_grow(&replay->chunks, replay->pool);
	if (!chunk && borrowing)
		give_back(replay, 1);
	return chunk;
}

/* The chunk that the next frame goes to, or NULL */
static struct chunk *open_chunk(struct replay *replay, size_t needed)
{
	struct chunk *last = replay->chunks.last;

	if (last && CHUNK_BYTES - last->end >= needed)
		return last;
	return grow(replay);
}

bool replay_has_space(const struct replay *replay)
{
	const struct chunk *last = replay->chunks.last;

	if (replay->eof_taken)
		return false;
	if (last && CHUNK_BYTES - last->end >= FRAME_HEADER_BYTES + SMALLEST_SPACE_BYTES)
		return true;
	return replay->chunks.count < replay->chunk_count_largest &&
		(below_floor(replay) || budget_would_lend(replay->budget, replay->borrowed));
}

void *replay_space(struct replay *replay, size_t *length)
{
	struct chunk *chunk;

	if (replay->eof_taken)
		return NULL;
	chunk = open_chunk(replay, FRAME_HEADER_BYTES + SMALLEST_SPACE_BYTES);
	if (!chunk)
		return NULL;
	*length = CHUNK_BYTES - chunk->end - FRAME_HEADER_BYTES;
	return chunk->bytes + chunk->end + FRAME_HEADER_BYTES;
}

static void append_frame(struct replay *replay, struct chunk *chunk, enum frame_type type,
	size_t length, uint64_t positions)
{
	struct frame_header header = {
		.type = type, .length = (uint32_t)length, .offset = replay->taken};

	frame_header_encode(&header, chunk->bytes + chunk->end);
	if (!replay->unsent) {
		replay->unsent = chunk;
		replay->unsent_begin = chunk->end;
	}
	chunk->end += FRAME_HEADER_BYTES + (uint32_t)length;
	replay->taken += positions;
	chunk->end_offset = replay->taken;
}

void replay_take(struct replay *replay, size_t length)
{
	struct chunk *chunk = replay->chunks.last;

	assert(chunk && length > 0 && !replay->eof_taken);
	assert(length + FRAME_HEADER_BYTES <= CHUNK_BYTES - chunk->end);
	append_frame(replay, chunk, FRAME_DATA, length, length);
}

void replay_leave_space(struct replay *replay)
{
	const struct chunk *first = replay->chunks.first;

	/* Behind others it goes with the last of them. */
	if (!first || first != replay->chunks.last || first->end > 0)
		return;
	chunk_queue_drop(&replay->chunks, replay->pool);
	give_back(replay, replay->borrowed > 0);
}

int replay_take_eof(struct replay *replay)
{
	struct chunk *last = replay->chunks.last;

	assert(!replay->eof_taken);
	/* The end must pass even when the buffer is full: it may take one chunk more, and needs no
	 * loan for it. */
	if (!last || CHUNK_BYTES - last->end < FRAME_HEADER_BYTES)
		last = chunk_queue_grow(&replay->chunks, replay->pool);
	if (!last)
		return -1;
	append_frame(replay, last, FRAME_EOF, 0, 1);
	replay->eof_taken = true;
	return 0;
}

const void *replay_unsent(const struct replay *replay, size_t *length)
{
	if (!replay->unsent)
		return NULL;
	*length = replay->unsent->end - replay->unsent_begin;
	return replay->unsent->bytes + replay->unsent_begin;
}

/* The last chunk is empty when replay_space() gave a place that nothing was put in. */
static struct chunk *next_filled(const struct chunk *chunk)
{
	return chunk->next && chunk->next->end > 0 ? chunk->next : NULL;
}

/* Of what replay_unsent() returned, the part that was sent before */
static uint64_t sent_before(const struct replay *replay)
{
	uint64_t end = replay->unsent->end_offset;
	struct frame_header first;
	struct error impossible;

	if (frame_header_decode(replay->unsent->bytes + replay->unsent_begin, &first, &impossible) <
			0 ||
		first.offset >= replay->sent)
		return 0;
	return (end < replay->sent ? end : replay->sent) - first.offset;
}

void replay_sent(struct replay *replay)
{
	assert(replay->unsent);
	replay->replayed += sent_before(replay);
	/* What is sent again does not unsay what was sent before. */
	if (replay->sent < replay->unsent->end_offset)
		replay->sent = replay->unsent->end_offset;
	replay->unsent = next_filled(replay->unsent);
	replay->unsent_begin = 0;
}

void replay_rewind(struct replay *replay)
{
	const struct chunk *first = replay->chunks.first;

	replay->unsent = first && first->end > 0 ? replay->chunks.first : NULL;
	replay->unsent_begin = 0;
}

int replay_acknowledge(struct replay *replay, uint64_t offset, struct error *err)
{
	if (offset < replay->acknowledged)
		return error_set(err, ERROR_PEER, "ACK runs backwards");
	if (offset > replay->sent)
		return error_set(err, ERROR_PEER, "ACK beyond what was sent");
	replay->acknowledged = offset;
	while (replay->chunks.first && replay->chunks.first->end_offset <= offset) {
		/* After a rewind, what the peer had already needs not be sent again. */
		if (replay->chunks.first == replay->unsent) {
			replay->unsent = next_filled(replay->unsent);
			replay->unsent_begin = 0;
		}
		chunk_queue_drop(&replay->chunks, replay->pool);
		give_back(replay, replay->borrowed > 0);
	}
	return 0;
}

bool replay_finished(const struct replay *replay)
{
	return replay->eof_taken && replay->acknowledged == replay->taken;
}
