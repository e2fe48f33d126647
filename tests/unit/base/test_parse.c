/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/parse.h"

static void a_number_within_its_bounds_is_taken(void **state)
{
	uint64_t number;
	struct error err;

	(void)state;
	assert_int_equal(parse_number("7", 7, 9, &number, &err), 0);
	assert_int_equal(number, 7);
	assert_int_equal(parse_number("9", 7, 9, &number, &err), 0);
	assert_int_equal(number, 9);
	assert_int_equal(parse_number("18446744073709551615", 0, UINT64_MAX, &number, &err), 0);
	assert_true(number == UINT64_MAX);
}

static void what_is_not_wholly_a_number_is_refused(void **state)
{
	static const char *const texts[] = {"", " 1", "1 ", "-1", "+1", "1k", "0x1", "1.0", "one",
		"18446744073709551616", "99999999999999999999999"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		uint64_t number = 42;
		struct error err;

		assert_int_equal(parse_number(texts[i], 0, UINT64_MAX, &number, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		assert_int_equal(number, 42);
	}
}

static void a_number_out_of_bounds_is_refused_with_the_bounds(void **state)
{
	uint64_t number;
	struct error err;

	(void)state;
	assert_int_equal(parse_number("6", 7, 9, &number, &err), -1);
	assert_int_equal(parse_number("10", 7, 9, &number, &err), -1);
	assert_string_equal(err.message, "'10' is not a number from 7 to 9");
}

static void a_duration_has_a_unit_or_is_in_seconds(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} durations[] = {{"250ms", 250}, {"30s", 30000}, {"30", 30000}, {"5m", 300000},
		{"1h", 3600000}, {"0", 0}, {"365h", 365ull * 3600000}};

	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		uint64_t ms;
		struct error err;

		assert_int_equal(parse_duration(durations[i].text, &ms, &err), 0);
		assert_int_equal(ms, durations[i].ms);
	}
}

static void what_is_not_a_duration_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "s", "1 s", "1d", "1msx", "-1s", "1.5s", "8761h", "18446744073709551615h"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		uint64_t ms;
		struct error err;

		assert_int_equal(parse_duration(texts[i], &ms, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
	}
}

static void a_size_has_a_unit_or_is_in_bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {{"1048576", 1 << 20}, {"1024k", 1 << 20}, {"64m", 64 << 20}, {"1g", 1 << 30},
		{"64g", 64ull << 30}};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t bytes;
		struct error err;

		assert_int_equal(parse_size(sizes[i].text, 1 << 20, 64ull << 30, &bytes, &err), 0);
		assert_int_equal(bytes, sizes[i].bytes);
	}
}

static void what_is_not_a_size_is_refused_with_the_bounds(void **state)
{
	static const char *const texts[] = {"", "m", "64 m", "64M", "64mb", "-1m", "1.5g", "256",
		"1023k", "0", "65g", "18446744073709551615g", "99999999999999999999"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		uint64_t bytes = 42;
		struct error err;

		assert_int_equal(parse_size(texts[i], 1 << 20, 64ull << 30, &bytes, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		assert_non_null(strstr(
			err.message, "is not a size from 1m to 65536m: write 512k, 64m or 1g"));
		assert_int_equal(bytes, 42);
	}
}

static void a_rate_is_in_bits_and_given_in_bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes_per_s;
	} rates[] = {{"1Mbit", 125000}, {"1000kbit", 125000}, {"5Gbit", 625000000},
		{"500mbit", 62500000}, {"10000Gbit", PARSE_RATE_MOST}, {"none", RATE_UNLIMITED}};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		uint64_t bytes_per_s;
		struct error err;

		assert_int_equal(parse_rate(rates[i].text, &bytes_per_s, &err), 0);
		assert_int_equal(bytes_per_s, rates[i].bytes_per_s);
	}
}

static void what_is_not_a_rate_is_refused(void **state)
{
	static const char *const texts[] = {"", "0", "5", "5g", "0Mbit", "999kbit", "10001Gbit",
		"-5Mbit", "1.5Gbit", "5 Gbit", "5Gbit ", "5Gbits", "None",
		"18446744073709551615Gbit"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		uint64_t bytes_per_s = 42;
		struct error err;

		assert_int_equal(parse_rate(texts[i], &bytes_per_s, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		assert_int_equal(bytes_per_s, 42);
	}
}

static void an_address_is_a_host_and_perhaps_a_port(void **state)
{
	static const struct {
		const char *text;
		const char *host;
		const char *port;
	} addresses[] = {{"hostb", "hostb", "16520"}, {"hostb:1", "hostb", "1"},
		{"192.0.2.7:65535", "192.0.2.7", "65535"}, {"[::1]:80", "::1", "80"},
		{"[::1]", "::1", "16520"}, {"::1", "::1", "16520"},
		{"fe80::1%eth0", "fe80::1%eth0", "16520"}, {"hostb:0080", "hostb", "80"}};

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct host_port result;
		struct error err;

		assert_int_equal(parse_host_port(addresses[i].text, "16520", &result, &err), 0);
		assert_string_equal(result.host, addresses[i].host);
		assert_string_equal(result.port, addresses[i].port);
	}
}

static void what_is_not_an_address_is_refused(void **state)
{
	static const char *const texts[] = {"", ":80", "hostb:", "hostb:0", "hostb:65536",
		"hostb:x", "[]:80", "[::1", "[::1]x", "[::1]80", "host b", "host/b", "hostb\n"};
	struct host_port result;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(parse_host_port(texts[i], "16520", &result, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
	}
}

static void a_host_that_is_too_long_is_refused(void **state)
{
	char text[300];
	struct host_port result;
	struct error err;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	assert_int_equal(parse_host_port(text, "1", &result, &err), 0);
	text[255] = 'a';
	text[256] = '\0';
	assert_int_equal(parse_host_port(text, "1", &result, &err), -1);
}

static void a_name_cannot_be_a_path_or_an_option(void **state)
{
	char text[65];

	(void)state;
	assert_true(parse_is_name("web-1_a.b"));
	assert_false(parse_is_name(""));
	assert_false(parse_is_name(".."));
	assert_false(parse_is_name("-v"));
	assert_false(parse_is_name("a/b"));
	assert_false(parse_is_name("a b"));
	assert_false(parse_is_name("a\n"));
	memset(text, 'a', sizeof(text));
	text[64] = '\0';
	assert_false(parse_is_name(text));
	text[63] = '\0';
	assert_true(parse_is_name(text));
}

static void what_is_not_a_name_is_not_copied(void **state)
{
	char name[64] = "as it was";
	struct error err;

	(void)state;
	assert_int_equal(parse_name("../web1", name, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_string_equal(name, "as it was");
	assert_int_equal(parse_name("web1", name, &err), 0);
	assert_string_equal(name, "web1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_within_its_bounds_is_taken),
		cmocka_unit_test(what_is_not_wholly_a_number_is_refused),
		cmocka_unit_test(a_number_out_of_bounds_is_refused_with_the_bounds),
		cmocka_unit_test(a_duration_has_a_unit_or_is_in_seconds),
		cmocka_unit_test(what_is_not_a_duration_is_refused),
		cmocka_unit_test(a_size_has_a_unit_or_is_in_bytes),
		cmocka_unit_test(what_is_not_a_size_is_refused_with_the_bounds),
		cmocka_unit_test(a_rate_is_in_bits_and_given_in_bytes),
		cmocka_unit_test(what_is_not_a_rate_is_refused),
		cmocka_unit_test(an_address_is_a_host_and_perhaps_a_port),
		cmocka_unit_test(what_is_not_an_address_is_refused),
		cmocka_unit_test(a_host_that_is_too_long_is_refused),
		cmocka_unit_test(a_name_cannot_be_a_path_or_an_option),
		cmocka_unit_test(what_is_not_a_name_is_not_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
