/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "wire/message.h"

static const struct open_message question = {
	.version = PROTOCOL_VERSION,
	.id = "0123456789abcde",
	.secret = "a secret of thirty-two bytes....",
	.limit = 1ull << 40,
	.service = "migration",
	.argument = "6f2a",
};

/* The frame in @bytes, which is whole */
static struct frame_view view_of(const unsigned char *bytes, size_t length)
{
	struct frame_view view = {.payload = bytes + FRAME_HEADER_BYTES};
	struct error err;

	assert_int_equal(frame_header_decode(bytes, &view.header, &err), 0);
	assert_int_equal(view.header.length, length - FRAME_HEADER_BYTES);
	return view;
}

static void open_comes_back_as_it_was(void **state)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct frame_view view = view_of(bytes, message_encode_open(&question, bytes));
	struct open_message decoded;
	struct error err;

	(void)state;
	assert_int_equal(view.header.type, FRAME_OPEN);
	assert_int_equal(message_decode_open(&view, &decoded, &err), 0);
	assert_int_equal(decoded.version, PROTOCOL_VERSION);
	assert_memory_equal(decoded.id, question.id, sizeof(question.id));
	assert_memory_equal(decoded.secret, question.secret, sizeof(question.secret));
	assert_int_equal(decoded.limit, question.limit);
	assert_string_equal(decoded.service, question.service);
	assert_string_equal(decoded.argument, question.argument);
}

static void the_longest_texts_of_the_protocol_are_taken(void **state)
{
	struct open_message open = question;
	struct open_message decoded;
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct frame_view view;
	struct error err;

	(void)state;
	memset(open.service, 's', 255);
	memset(open.argument, 'a', 255);
	view = view_of(bytes, message_encode_open(&open, bytes));
	assert_int_equal(message_decode_open(&view, &decoded, &err), 0);
	assert_int_equal(strlen(decoded.service), 255);
	assert_int_equal(strlen(decoded.argument), 255);
}

static void open_cut_at_any_byte_is_refused(void **state)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct frame_view view = view_of(bytes, message_encode_open(&question, bytes));
	uint32_t whole = view.header.length;

	(void)state;
	for (uint32_t length = 0; length < whole; length++) {
		struct open_message decoded;
		struct error err;

		view.header.length = length;
		assert_int_equal(message_decode_open(&view, &decoded, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
	}
}

static void open_with_a_byte_too_many_is_refused(void **state)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES] = {0};
	struct frame_view view = view_of(bytes, message_encode_open(&question, bytes));
	struct open_message decoded;
	struct error err;

	(void)state;
	view.header.length++;
	assert_int_equal(message_decode_open(&view, &decoded, &err), -1);
}

static void a_service_that_is_not_printable_is_refused(void **state)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct frame_view view = view_of(bytes, message_encode_open(&question, bytes));
	struct open_message decoded;
	struct error err;

	(void)state;
	bytes[FRAME_HEADER_BYTES + 2 + 16 + 32 + 8 + 1] = '\n';
	assert_int_equal(message_decode_open(&view, &decoded, &err), -1);
}

static void of_an_open_of_another_version_only_the_version_is_known(void **state)
{
	unsigned char payload[70] = {0, 2};
	struct frame_view view = {
		.header = {.type = FRAME_OPEN, .length = sizeof(payload)}, .payload = payload};
	struct open_message decoded;
	struct error err;

	(void)state;
	memset(payload + 2, 0xff, sizeof(payload) - 2);
	assert_int_equal(message_decode_open(&view, &decoded, &err), 0);
	assert_int_equal(decoded.version, 2);
}

static void a_limit_comes_back_as_it_was(void **state)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct frame_view view =
		view_of(bytes, message_encode_limit(FRAME_ACK, 77, UINT64_MAX, bytes));
	struct error err;
	uint64_t limit;

	(void)state;
	assert_int_equal(view.header.type, FRAME_ACK);
	assert_int_equal(view.header.offset, 77);
	assert_int_equal(message_decode_limit(&view, &limit, &err), 0);
	assert_true(limit == UINT64_MAX);
}

static void a_reason_comes_back_as_it_was(void **state)
{
	const struct reason_message reset = {.reason = REASON_STOPPING, .text = "stopping there"};
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct frame_view view = view_of(bytes, message_encode_reason(FRAME_RESET, &reset, bytes));
	struct reason_message decoded;
	struct error err;

	(void)state;
	assert_int_equal(message_decode_reason(&view, &decoded, &err), 0);
	assert_int_equal(decoded.reason, REASON_STOPPING);
	assert_string_equal(decoded.text, "stopping there");
}

static void a_text_of_ours_is_made_printable(void **state)
{
	const struct reason_message reset = {
		.reason = REASON_ENDED, .text = "no\nsuch \xc3\xa9 file\x7f"};
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct frame_view view = view_of(bytes, message_encode_reason(FRAME_RESET, &reset, bytes));
	struct reason_message decoded;
	struct error err;

	(void)state;
	assert_int_equal(message_decode_reason(&view, &decoded, &err), 0);
	assert_string_equal(decoded.text, "no?such ?? file?");
}

static void an_unknown_reason_is_refused(void **state)
{
	static const unsigned char unknown[] = {0, 9, 255};

	(void)state;
	for (size_t i = 0; i < sizeof(unknown); i++) {
		unsigned char payload[] = {unknown[i], 1, 'x'};
		struct frame_view view = {
			.header = {.type = FRAME_RESET, .length = sizeof(payload)},
			.payload = payload};
		struct reason_message decoded;
		struct error err;

		assert_int_equal(message_decode_reason(&view, &decoded, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
	}
}

static void a_reason_longer_or_shorter_than_its_text_is_refused(void **state)
{
	unsigned char payload[] = {1, 2, 'x', 'y', 'z'};
	struct frame_view view = {
		.header = {.type = FRAME_REFUSE, .length = 5}, .payload = payload};
	struct reason_message decoded;
	struct error err;

	(void)state;
	assert_int_equal(message_decode_reason(&view, &decoded, &err), -1);
	view.header.length = 3;
	assert_int_equal(message_decode_reason(&view, &decoded, &err), -1);
	view.header.length = 4;
	assert_int_equal(message_decode_reason(&view, &decoded, &err), 0);
}

static void an_empty_frame_is_its_header(void **state)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];

	(void)state;
	assert_int_equal(message_encode_empty(FRAME_PONG, 5, bytes), FRAME_HEADER_BYTES);
	assert_memory_equal(bytes, "\13\0\0\0\0\0\0\0\0\0\0\0\0\0\0\5", FRAME_HEADER_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_comes_back_as_it_was),
		cmocka_unit_test(the_longest_texts_of_the_protocol_are_taken),
		cmocka_unit_test(open_cut_at_any_byte_is_refused),
		cmocka_unit_test(open_with_a_byte_too_many_is_refused),
		cmocka_unit_test(a_service_that_is_not_printable_is_refused),
		cmocka_unit_test(of_an_open_of_another_version_only_the_version_is_known),
		cmocka_unit_test(a_limit_comes_back_as_it_was),
		cmocka_unit_test(a_reason_comes_back_as_it_was),
		cmocka_unit_test(a_text_of_ours_is_made_printable),
		cmocka_unit_test(an_unknown_reason_is_refused),
		cmocka_unit_test(a_reason_longer_or_shorter_than_its_text_is_refused),
		cmocka_unit_test(an_empty_frame_is_its_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
