#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/format.h"

static void bytes_have_the_unit_that_reads_best(void **state)
{
	(void)state;
	assert_string_equal(format_bytes(0).text, "0 B");
	assert_string_equal(format_bytes(1023).text, "1023 B");
	assert_string_equal(format_bytes(1024).text, "1.0 KiB");
	assert_string_equal(format_bytes(1536).text, "1.5 KiB");
	assert_string_equal(format_bytes(100 * 1024).text, "100 KiB");
	assert_string_equal(format_bytes(512ull << 20).text, "512 MiB");
	assert_string_equal(format_bytes(UINT64_MAX).text, "16.0 EiB");
}

static void bytes_never_round_up_to_1024(void **state)
{
	(void)state;
	assert_string_equal(format_bytes((1 << 20) - 1).text, "1.0 MiB");
	assert_string_equal(format_bytes(102399).text, "100 KiB");
}

static void rates_are_bytes_a_second(void **state)
{
	(void)state;
	assert_string_equal(format_rate(3ull << 29).text, "1.5 GiB/s");
}

static void short_durations_keep_their_digits(void **state)
{
	(void)state;
	assert_string_equal(format_us(250).text, "250 us");
	assert_string_equal(format_us(1830).text, "1.83 ms");
	assert_string_equal(format_us(2500000).text, "2.50 s");
	assert_string_equal(format_ms(23).text, "23 ms");
	assert_string_equal(format_ms(4219).text, "4.21 s");
	assert_string_equal(format_ms(59999).text, "59.99 s");
}

static void long_durations_are_minutes_and_hours(void **state)
{
	(void)state;
	assert_string_equal(format_ms(185000).text, "3 min 05 s");
	assert_string_equal(format_ms(3720000).text, "1 h 02 min");
}

static void a_clock_counts_seconds(void **state)
{
	(void)state;
	assert_string_equal(format_clock(7999).text, "0:07");
	assert_string_equal(format_clock(3723000).text, "1:02:03");
}

static void clean_text_cannot_drive_a_terminal(void **state)
{
	char text[] = "a\033[2Jb\nc\x7f\xc2\x9bm caf\xc3\xa9";

	(void)state;
	format_clean(text);
	assert_string_equal(text, "a?[2Jb?c???m caf\xc3\xa9");
}

static void a_copy_ends_between_characters(void **state)
{
	char copy[5];

	(void)state;
	format_copy(copy, sizeof(copy), "abc\xc3\xa9");
	assert_string_equal(copy, "abc");
	format_copy(copy, sizeof(copy), "a\tb");
	assert_string_equal(copy, "a?b");
}

static void columns_count_characters(void **state)
{
	(void)state;
	assert_int_equal(format_columns("caf\xc3\xa9"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_have_the_unit_that_reads_best),
		cmocka_unit_test(bytes_never_round_up_to_1024),
		cmocka_unit_test(rates_are_bytes_a_second),
		cmocka_unit_test(short_durations_keep_their_digits),
		cmocka_unit_test(long_durations_are_minutes_and_hours),
		cmocka_unit_test(a_clock_counts_seconds),
		cmocka_unit_test(clean_text_cannot_drive_a_terminal),
		cmocka_unit_test(a_copy_ends_between_characters),
		cmocka_unit_test(columns_count_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
