/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"

static void numbers_are_big_endian(void **state)
{
	unsigned char bytes[8];
	struct bytes_writer writer = {.bytes = bytes, .size = sizeof(bytes)};
	struct bytes_reader reader = {.next = bytes, .left = sizeof(bytes)};

	(void)state;
	bytes_put_number(&writer, 0x0102030405060708u, 8);
	assert_memory_equal(bytes, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(bytes_take_number(&reader, 1), 1);
	assert_int_equal(bytes_take_number(&reader, 2), 0x0203);
	assert_int_equal(bytes_take_number(&reader, 4), 0x04050607);
	assert_false(reader.failed);
}

static void reading_past_the_end_fails_for_good(void **state)
{
	struct bytes_reader reader = {.next = (const unsigned char *)"abc", .left = 3};

	(void)state;
	assert_int_equal(bytes_take_number(&reader, 4), 0);
	assert_true(reader.failed);
	assert_int_equal(bytes_take_number(&reader, 1), 0);
	assert_int_equal(reader.left, 3);
}

static void bytes_that_are_not_there_are_read_as_zero(void **state)
{
	struct bytes_reader reader = {.next = (const unsigned char *)"abc", .left = 3};
	unsigned char bytes[4] = "xxxx";

	(void)state;
	bytes_take(&reader, bytes, 4);
	assert_true(reader.failed);
	assert_memory_equal(bytes, "\0\0\0\0", 4);
}

static void writing_past_the_end_fails_and_writes_nothing(void **state)
{
	unsigned char bytes[4] = "....";
	struct bytes_writer writer = {.bytes = bytes, .size = 3};

	(void)state;
	bytes_put_number(&writer, 0, 4);
	assert_true(writer.failed);
	assert_memory_equal(bytes, "....", 4);
	bytes_put_number(&writer, 0, 1);
	assert_int_equal(writer.used, 0);
}

static void text_comes_back_as_it_was(void **state)
{
	unsigned char bytes[64];
	char text[64];
	struct bytes_writer writer = {.bytes = bytes, .size = sizeof(bytes)};
	struct bytes_reader reader = {.next = bytes};

	(void)state;
	bytes_put_text(&writer, "no such token");
	bytes_put_text(&writer, "");
	reader.left = writer.used;
	bytes_take_text(&reader, text, sizeof(text));
	assert_string_equal(text, "no such token");
	bytes_take_text(&reader, text, sizeof(text));
	assert_string_equal(text, "");
	assert_false(reader.failed);
	assert_int_equal(reader.left, 0);
}

static void text_that_does_not_fit_its_place_fails(void **state)
{
	struct bytes_reader reader = {.next = (const unsigned char *)"\4abcd", .left = 5};
	char text[4];

	(void)state;
	bytes_take_text(&reader, text, sizeof(text));
	assert_true(reader.failed);
	assert_string_equal(text, "");
}

static void text_shorter_than_it_says_fails(void **state)
{
	struct bytes_reader reader = {.next = (const unsigned char *)"\4abc", .left = 4};
	char text[64];

	(void)state;
	bytes_take_text(&reader, text, sizeof(text));
	assert_true(reader.failed);
}

static void text_that_is_not_printable_ascii_fails(void **state)
{
	static const unsigned char wrong[] = {0, '\n', 0x1b, 0x1f, 0x7f, 0x80, 0xff};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong); i++) {
		unsigned char bytes[] = {3, 'a', wrong[i], 'b'};
		struct bytes_reader reader = {.next = bytes, .left = sizeof(bytes)};
		char text[64];

		bytes_take_text(&reader, text, sizeof(text));
		assert_true(reader.failed);
	}
}

static void text_longer_than_a_byte_can_say_fails(void **state)
{
	unsigned char bytes[512];
	char text[300];
	struct bytes_writer writer = {.bytes = bytes, .size = sizeof(bytes)};

	(void)state;
	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	bytes_put_text(&writer, text);
	assert_false(writer.failed);
	text[255] = 'a';
	text[256] = '\0';
	bytes_put_text(&writer, text);
	assert_true(writer.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_big_endian),
		cmocka_unit_test(reading_past_the_end_fails_for_good),
		cmocka_unit_test(bytes_that_are_not_there_are_read_as_zero),
		cmocka_unit_test(writing_past_the_end_fails_and_writes_nothing),
		cmocka_unit_test(text_comes_back_as_it_was),
		cmocka_unit_test(text_that_does_not_fit_its_place_fails),
		cmocka_unit_test(text_shorter_than_it_says_fails),
		cmocka_unit_test(text_that_is_not_printable_ascii_fails),
		cmocka_unit_test(text_longer_than_a_byte_can_say_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
