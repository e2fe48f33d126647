/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tunnel/replay.h"
#include "wire/frame.h"

struct fixture {
	struct chunk_pool pool;
	struct replay replay;
	struct error err;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	chunk_pool_init(&fixture->pool);
	replay_init(&fixture->replay, &fixture->pool, 3 * CHUNK_BYTES, NULL);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	replay_fini(&fixture->replay);
	chunk_pool_fini(&fixture->pool);
	free(fixture);
	return 0;
}

static void take(struct replay *replay, const char *text)
{
	size_t length;
	void *space = replay_space(replay, &length);

	assert_non_null(space);
	assert_true(length >= strlen(text));
	memcpy(space, text, strlen(text));
	replay_take(replay, strlen(text));
}

/* Take whole chunks until there is no place. @returns how many bytes were taken */
static uint64_t fill(struct replay *replay)
{
	uint64_t before = replay->taken;
	size_t length;
	void *space;

	while ((space = replay_space(replay, &length)) != NULL) {
		memset(space, 'x', length);
		replay_take(replay, length);
	}
	return replay->taken - before;
}

static void send_all(struct replay *replay)
{
	size_t length;

	while (replay_unsent(replay, &length))
		replay_sent(replay);
}

static void expect_frame(const unsigned char **bytes, size_t *length, enum frame_type type,
	uint64_t offset, const char *payload)
{
	struct frame_header header;
	struct error err;

	assert_true(*length >= FRAME_HEADER_BYTES + strlen(payload));
	assert_int_equal(frame_header_decode(*bytes, &header, &err), 0);
	assert_int_equal(header.type, type);
	assert_int_equal(header.offset, offset);
	assert_int_equal(header.length, strlen(payload));
	assert_memory_equal(*bytes + FRAME_HEADER_BYTES, payload, strlen(payload));
	*bytes += FRAME_HEADER_BYTES + strlen(payload);
	*length -= FRAME_HEADER_BYTES + strlen(payload);
}

static void what_is_taken_is_framed_with_its_position(void **state)
{
	struct fixture *fixture = *state;
	const unsigned char *frames;
	size_t length;

	take(&fixture->replay, "hello");
	take(&fixture->replay, "world!");
	assert_int_equal(replay_take_eof(&fixture->replay), 0);
	frames = replay_unsent(&fixture->replay, &length);
	assert_non_null(frames);
	expect_frame(&frames, &length, FRAME_DATA, 0, "hello");
	expect_frame(&frames, &length, FRAME_DATA, 5, "world!");
	expect_frame(&frames, &length, FRAME_EOF, 11, "");
	assert_int_equal(length, 0);
}

static void what_was_sent_is_not_offered_again(void **state)
{
	struct fixture *fixture = *state;
	const unsigned char *frames;
	size_t length;

	take(&fixture->replay, "hello");
	assert_non_null(replay_unsent(&fixture->replay, &length));
	replay_sent(&fixture->replay);
	assert_null(replay_unsent(&fixture->replay, &length));
	take(&fixture->replay, "world!");
	frames = replay_unsent(&fixture->replay, &length);
	expect_frame(&frames, &length, FRAME_DATA, 5, "world!");
}

static void one_frame_fills_a_chunk(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	assert_non_null(replay_space(&fixture->replay, &length));
	assert_int_equal(length, FRAME_DATA_LONGEST_BYTES);
}

static void it_is_full_at_its_bound(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	assert_int_equal(fill(&fixture->replay), 3 * FRAME_DATA_LONGEST_BYTES);
	assert_null(replay_space(&fixture->replay, &length));
	assert_false(replay_has_space(&fixture->replay));
	assert_int_equal(fixture->replay.chunks.count, 3);
}

static void the_last_chunk_is_filled_by_small_reads_too(void **state)
{
	struct fixture *fixture = *state;

	take(&fixture->replay, "hello");
	fill(&fixture->replay);
	send_all(&fixture->replay);
	assert_int_equal(
		replay_acknowledge(&fixture->replay, FRAME_DATA_LONGEST_BYTES, &fixture->err), 0);
	take(&fixture->replay, "hello");
	assert_int_equal(fixture->replay.chunks.count, 3);
	assert_true(replay_has_space(&fixture->replay));
}

static void the_end_passes_even_when_it_is_full(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	fill(&fixture->replay);
	assert_int_equal(replay_take_eof(&fixture->replay), 0);
	assert_int_equal(fixture->replay.chunks.count, 4);
	assert_null(replay_space(&fixture->replay, &length));
}

static void nothing_is_taken_after_the_end(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	assert_int_equal(replay_take_eof(&fixture->replay), 0);
	assert_null(replay_space(&fixture->replay, &length));
	assert_false(replay_has_space(&fixture->replay));
}

static void an_acknowledgement_frees_whole_chunks_only(void **state)
{
	struct fixture *fixture = *state;

	fill(&fixture->replay);
	send_all(&fixture->replay);
	assert_int_equal(
		replay_acknowledge(&fixture->replay, FRAME_DATA_LONGEST_BYTES - 1, &fixture->err),
		0);
	assert_int_equal(fixture->replay.chunks.count, 3);
	assert_int_equal(
		replay_acknowledge(&fixture->replay, FRAME_DATA_LONGEST_BYTES, &fixture->err), 0);
	assert_int_equal(fixture->replay.chunks.count, 2);
}

static void an_acknowledgement_of_what_was_not_sent_is_refused(void **state)
{
	struct fixture *fixture = *state;

	take(&fixture->replay, "hello");
	send_all(&fixture->replay);
	take(&fixture->replay, "world!");
	assert_int_equal(replay_acknowledge(&fixture->replay, 6, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
	assert_int_equal(replay_acknowledge(&fixture->replay, UINT64_MAX, &fixture->err), -1);
	assert_int_equal(fixture->replay.acknowledged, 0);
}

static void an_acknowledgement_that_runs_backwards_is_refused(void **state)
{
	struct fixture *fixture = *state;

	take(&fixture->replay, "hello");
	send_all(&fixture->replay);
	assert_int_equal(replay_acknowledge(&fixture->replay, 5, &fixture->err), 0);
	assert_int_equal(replay_acknowledge(&fixture->replay, 5, &fixture->err), 0);
	assert_int_equal(replay_acknowledge(&fixture->replay, 4, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
	assert_int_equal(fixture->replay.acknowledged, 5);
}

static void a_place_that_was_not_used_is_never_offered_for_sending(void **state)
{
	struct fixture *fixture = *state;
	size_t length;
	void *space = replay_space(&fixture->replay, &length);

	memset(space, 'x', length);
	replay_take(&fixture->replay, length);
	/* A place in a second chunk while the first is unsent, and then nothing to put there */
	assert_non_null(replay_space(&fixture->replay, &length));
	assert_non_null(replay_unsent(&fixture->replay, &length));
	replay_sent(&fixture->replay);
	assert_null(replay_unsent(&fixture->replay, &length));
	assert_int_equal(fixture->replay.sent, FRAME_DATA_LONGEST_BYTES);
	assert_int_equal(
		replay_acknowledge(&fixture->replay, FRAME_DATA_LONGEST_BYTES, &fixture->err), 0);
}

static void a_place_that_was_left_holds_no_memory(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	assert_non_null(replay_space(&fixture->replay, &length));
	replay_leave_space(&fixture->replay);
	assert_null(fixture->replay.chunks.first);
	take(&fixture->replay, "hello");
	replay_leave_space(&fixture->replay);
	assert_int_equal(fixture->replay.chunks.count, 1);
	assert_non_null(replay_unsent(&fixture->replay, &length));
}

static void after_a_rewind_what_is_not_acknowledged_is_sent_again(void **state)
{
	struct fixture *fixture = *state;
	const unsigned char *frames;
	size_t length;

	take(&fixture->replay, "hello");
	send_all(&fixture->replay);
	take(&fixture->replay, "world!");
	replay_rewind(&fixture->replay);
	frames = replay_unsent(&fixture->replay, &length);
	assert_non_null(frames);
	expect_frame(&frames, &length, FRAME_DATA, 0, "hello");
	expect_frame(&frames, &length, FRAME_DATA, 5, "world!");
	assert_int_equal(length, 0);
}

static void what_is_sent_again_is_counted(void **state)
{
	struct fixture *fixture = *state;

	take(&fixture->replay, "hello");
	send_all(&fixture->replay);
	take(&fixture->replay, "world!");
	assert_int_equal(fixture->replay.replayed, 0);
	replay_rewind(&fixture->replay);
	send_all(&fixture->replay);
	/* Of the chunk that was sent again, what had not been sent before does not count. */
	assert_int_equal(fixture->replay.replayed, 5);
	replay_rewind(&fixture->replay);
	send_all(&fixture->replay);
	assert_int_equal(fixture->replay.replayed, 5 + 11);
	take(&fixture->replay, "new");
	send_all(&fixture->replay);
	assert_int_equal(fixture->replay.replayed, 5 + 11);
}

static void what_was_acknowledged_meanwhile_is_not_sent_again(void **state)
{
	struct fixture *fixture = *state;

	fill(&fixture->replay);
	send_all(&fixture->replay);
	replay_rewind(&fixture->replay);
	assert_int_equal(
		replay_acknowledge(&fixture->replay, FRAME_DATA_LONGEST_BYTES, &fixture->err), 0);
	send_all(&fixture->replay);
	assert_int_equal(fixture->replay.replayed, 2 * FRAME_DATA_LONGEST_BYTES);
}

static void a_rewind_leaves_no_chunk_out(void **state)
{
	struct fixture *fixture = *state;
	uint64_t taken = fill(&fixture->replay);
	uint64_t position = 0;
	const unsigned char *frames;
	size_t length;

	send_all(&fixture->replay);
	replay_rewind(&fixture->replay);
	while ((frames = replay_unsent(&fixture->replay, &length)) != NULL) {
		struct frame_header header;

		assert_int_equal(frame_header_decode(frames, &header, &fixture->err), 0);
		assert_int_equal(header.offset, position);
		position += header.length;
		replay_sent(&fixture->replay);
	}
	assert_int_equal(position, taken);
}

static void a_rewind_of_nothing_sends_nothing(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	replay_rewind(&fixture->replay);
	assert_null(replay_unsent(&fixture->replay, &length));
	take(&fixture->replay, "hello");
	send_all(&fixture->replay);
	assert_int_equal(replay_acknowledge(&fixture->replay, 5, &fixture->err), 0);
	/* A place that was not used is no frame. */
	assert_non_null(replay_space(&fixture->replay, &length));
	replay_rewind(&fixture->replay);
	assert_null(replay_unsent(&fixture->replay, &length));
}

static void what_was_sent_before_a_rewind_may_be_acknowledged(void **state)
{
	struct fixture *fixture = *state;
	size_t length;

	take(&fixture->replay, "hello");
	send_all(&fixture->replay);
	take(&fixture->replay, "world!");
	replay_rewind(&fixture->replay);
	assert_int_equal(replay_acknowledge(&fixture->replay, 5, &fixture->err), 0);
	assert_int_equal(replay_acknowledge(&fixture->replay, 6, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERROR_PEER);
	/* The rest of the chunk is still to be sent. */
	assert_non_null(replay_unsent(&fixture->replay, &length));
}

static void a_chunk_acknowledged_while_it_is_sent_again_is_left_out(void **state)
{
	struct fixture *fixture = *state;
	struct frame_header header;
	const unsigned char *frames;
	size_t length;

	fill(&fixture->replay);
	send_all(&fixture->replay);
	replay_rewind(&fixture->replay);
	assert_int_equal(
		replay_acknowledge(&fixture->replay, FRAME_DATA_LONGEST_BYTES, &fixture->err), 0);
	frames = replay_unsent(&fixture->replay, &length);
	assert_non_null(frames);
	assert_int_equal(frame_header_decode(frames, &header, &fixture->err), 0);
	assert_int_equal(header.offset, FRAME_DATA_LONGEST_BYTES);
}

static void an_end_is_sent_again(void **state)
{
	struct fixture *fixture = *state;
	const unsigned char *frames;
	size_t length;

	assert_int_equal(replay_take_eof(&fixture->replay), 0);
	send_all(&fixture->replay);
	replay_rewind(&fixture->replay);
	frames = replay_unsent(&fixture->replay, &length);
	assert_non_null(frames);
	expect_frame(&frames, &length, FRAME_EOF, 0, "");
}

static void it_has_finished_when_the_end_is_acknowledged(void **state)
{
	struct fixture *fixture = *state;

	take(&fixture->replay, "hello");
	send_all(&fixture->replay);
	assert_int_equal(replay_acknowledge(&fixture->replay, 5, &fixture->err), 0);
	assert_false(replay_finished(&fixture->replay));
	assert_int_equal(replay_take_eof(&fixture->replay), 0);
	send_all(&fixture->replay);
	assert_false(replay_finished(&fixture->replay));
	assert_int_equal(replay_acknowledge(&fixture->replay, 6, &fixture->err), 0);
	assert_true(replay_finished(&fixture->replay));
	assert_int_equal(fixture->replay.chunks.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_is_taken_is_framed_with_its_position),
		TEST(what_was_sent_is_not_offered_again),
		TEST(one_frame_fills_a_chunk),
		TEST(it_is_full_at_its_bound),
		TEST(the_last_chunk_is_filled_by_small_reads_too),
		TEST(the_end_passes_even_when_it_is_full),
		TEST(nothing_is_taken_after_the_end),
		TEST(an_acknowledgement_frees_whole_chunks_only),
		TEST(an_acknowledgement_of_what_was_not_sent_is_refused),
		TEST(an_acknowledgement_that_runs_backwards_is_refused),
		TEST(a_place_that_was_not_used_is_never_offered_for_sending),
		TEST(a_place_that_was_left_holds_no_memory),
		TEST(after_a_rewind_what_is_not_acknowledged_is_sent_again),
		TEST(what_is_sent_again_is_counted),
		TEST(what_was_acknowledged_meanwhile_is_not_sent_again),
		TEST(a_rewind_leaves_no_chunk_out),
		TEST(a_rewind_of_nothing_sends_nothing),
		TEST(what_was_sent_before_a_rewind_may_be_acknowledged),
		TEST(a_chunk_acknowledged_while_it_is_sent_again_is_left_out),
		TEST(an_end_is_sent_again),
		TEST(it_has_finished_when_the_end_is_acknowledged),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
