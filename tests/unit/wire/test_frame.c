/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

static const struct frame_header ping = {.type = FRAME_PING, .offset = 7};

static void a_header_comes_back_as_it_was(void **state)
{
	struct frame_header header = {
		.type = FRAME_DATA, .length = 65520, .offset = 0x0102030405060708u};
	struct frame_header decoded;
	unsigned char bytes[FRAME_HEADER_BYTES];
	struct error err;

	(void)state;
	frame_header_encode(&header, bytes);
	assert_memory_equal(bytes, "\6\0\0\0\0\0\xff\xf0\1\2\3\4\5\6\7\10", FRAME_HEADER_BYTES);
	assert_int_equal(frame_header_decode(bytes, &decoded, &err), 0);
	assert_int_equal(decoded.type, FRAME_DATA);
	assert_int_equal(decoded.length, 65520);
	assert_int_equal(decoded.offset, 0x0102030405060708u);
}

static void an_unknown_type_is_refused(void **state)
{
	unsigned char bytes[FRAME_HEADER_BYTES] = {0};
	struct frame_header header;
	struct error err;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		if (type >= FRAME_OPEN && type <= FRAME_RATE)
			continue;
		bytes[0] = (unsigned char)type;
		assert_int_equal(frame_header_decode(bytes, &header, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
	}
}

static void flags_and_reserved_bytes_must_be_zero(void **state)
{
	struct frame_header header;
	struct error err;

	(void)state;
	for (size_t at = 1; at <= 3; at++) {
		for (unsigned bit = 1; bit < 256; bit *= 2) {
			unsigned char bytes[FRAME_HEADER_BYTES];

			frame_header_encode(&ping, bytes);
			bytes[at] = (unsigned char)bit;
			assert_int_equal(frame_header_decode(bytes, &header, &err), -1);
			assert_int_equal(err.code, ERROR_PEER);
		}
	}
}

static void a_length_outside_the_types_is_refused(void **state)
{
	static const struct {
		enum frame_type type;
		uint32_t shortest;
		uint32_t longest;
	} bounds[] = {{FRAME_OPEN, 60, 570}, {FRAME_ACCEPT, 8, 8}, {FRAME_REFUSE, 2, 257},
		{FRAME_RESUME, 66, 66}, {FRAME_RESUMED, 8, 8}, {FRAME_DATA, 1, 65520},
		{FRAME_ACK, 8, 8}, {FRAME_EOF, 0, 0}, {FRAME_RESET, 2, 257}, {FRAME_PING, 0, 0},
		{FRAME_PONG, 0, 0}, {FRAME_RATE, 0, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		const uint32_t wrong[] = {
			bounds[i].shortest - 1, bounds[i].longest + 1, UINT32_MAX};
		struct frame_header header = {.type = bounds[i].type};
		unsigned char bytes[FRAME_HEADER_BYTES];
		struct error err;

		for (size_t j = 0; j < 3; j++) {
			header.length = wrong[j];
			frame_header_encode(&header, bytes);
			assert_int_equal(frame_header_decode(bytes, &header, &err), -1);
		}
		header.length = bounds[i].shortest;
		frame_header_encode(&header, bytes);
		assert_int_equal(frame_header_decode(bytes, &header, &err), 0);
		header.length = bounds[i].longest;
		frame_header_encode(&header, bytes);
		assert_int_equal(frame_header_decode(bytes, &header, &err), 0);
	}
}

static size_t put_frame(unsigned char *bytes, enum frame_type type, uint64_t offset,
	const void *payload, size_t length)
{
	struct frame_header header = {.type = type, .length = (uint32_t)length, .offset = offset};

	frame_header_encode(&header, bytes);
	memcpy(bytes + FRAME_HEADER_BYTES, payload, length);
	return FRAME_HEADER_BYTES + length;
}

static size_t conversation(unsigned char *bytes)
{
	size_t length = put_frame(bytes, FRAME_PING, 3, "", 0);

	length += put_frame(bytes + length, FRAME_DATA, 0, "hello", 5);
	length += put_frame(bytes + length, FRAME_ACK, 9, "\0\0\0\0\0\0\0\11", 8);
	length += put_frame(bytes + length, FRAME_DATA, 5, "world!", 6);
	length += put_frame(bytes + length, FRAME_EOF, 11, "", 0);
	return length;
}

struct heard {
	char types[16]; /* a letter for every frame that is not DATA */
	char data[16];
	size_t data_length;
};

static void hear(struct heard *heard, const struct frame_view *view)
{
	if (view->header.type == FRAME_DATA) {
		assert_int_equal(view->header.offset, heard->data_length);
		memcpy(heard->data + heard->data_length, view->payload, view->header.length);
		heard->data_length += view->header.length;
		return;
	}
	heard->types[strlen(heard->types)] = (char)('a' + (int)view->header.type);
	if (view->header.type == FRAME_ACK)
		assert_memory_equal(view->payload, "\0\0\0\0\0\0\0\11", 8);
}

static void feed(
	struct frame_reader *reader, struct heard *heard, const unsigned char *bytes, size_t length)
{
	struct frame_view view;
	struct error err;
	int found;

	while ((found = frame_reader_next(reader, &bytes, &length, &view, &err)) > 0)
		hear(heard, &view);
	assert_int_equal(found, 0);
	assert_int_equal(length, 0);
}

static void any_two_cuts_of_the_stream_give_the_same_frames(void **state)
{
	unsigned char bytes[256];
	size_t length = conversation(bytes);

	(void)state;
	for (size_t first = 0; first <= length; first++) {
		for (size_t second = first; second <= length; second++) {
			struct frame_reader reader;
			struct heard heard = {0};

			frame_reader_init(&reader);
			feed(&reader, &heard, bytes, first);
			feed(&reader, &heard, bytes + first, second - first);
			feed(&reader, &heard, bytes + second, length - second);
			assert_string_equal(heard.types, "khi");
			assert_int_equal(heard.data_length, 11);
			assert_memory_equal(heard.data, "helloworld!", 11);
			assert_int_equal(frame_reader_wants(&reader), FRAME_HEADER_BYTES);
		}
	}
}

static void reading_what_is_wanted_never_reads_past_the_frame(void **state)
{
	unsigned char bytes[256];
	size_t frame = put_frame(bytes, FRAME_ACK, 9, "\0\0\0\0\0\0\0\11", 8);
	struct frame_reader reader;
	struct heard heard = {0};
	size_t done = 0;

	(void)state;
	frame_reader_init(&reader);
	while (!*heard.types) {
		size_t wanted = frame_reader_wants(&reader);

		assert_true(wanted > 0);
		assert_true(done + wanted <= frame);
		feed(&reader, &heard, bytes + done, wanted);
		done += wanted;
	}
	assert_int_equal(done, frame);
}

static void a_stream_with_a_wrong_header_has_failed_for_good(void **state)
{
	unsigned char bytes[FRAME_HEADER_BYTES];
	const unsigned char wrong[FRAME_HEADER_BYTES] = {99};
	const unsigned char *next = bytes;
	size_t length = sizeof(bytes);
	struct frame_reader reader;
	struct frame_view view;
	struct error err;

	(void)state;
	frame_reader_init(&reader);
	frame_header_encode(&ping, bytes);
	assert_int_equal(frame_reader_next(&reader, &next, &length, &view, &err), 1);
	next = wrong;
	length = sizeof(wrong);
	assert_int_equal(frame_reader_next(&reader, &next, &length, &view, &err), -1);
	next = bytes;
	length = sizeof(bytes);
	assert_int_equal(frame_reader_next(&reader, &next, &length, &view, &err), -1);
	assert_int_equal(err.code, ERROR_PEER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_comes_back_as_it_was),
		cmocka_unit_test(an_unknown_type_is_refused),
		cmocka_unit_test(flags_and_reserved_bytes_must_be_zero),
		cmocka_unit_test(a_length_outside_the_types_is_refused),
		cmocka_unit_test(any_two_cuts_of_the_stream_give_the_same_frames),
		cmocka_unit_test(reading_what_is_wanted_never_reads_past_the_frame),
		cmocka_unit_test(a_stream_with_a_wrong_header_has_failed_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
