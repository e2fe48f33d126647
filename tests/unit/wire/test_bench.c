#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/bench.h"

static void every_order_is_found_by_its_name(void **state)
{
	(void)state;
	for (enum bench_order order = BENCH_SINK; order <= BENCH_USAGE; order++) {
		enum bench_order found;
		struct error err;

		assert_int_equal(bench_order_find(bench_order_name(order), &found, &err), 0);
		assert_int_equal(found, order);
	}
}

static void what_is_no_order_is_refused(void **state)
{
	static const char *const lines[] = {"", "sin", "sink ", " sink", "SINK", "migrate"};
	enum bench_order order;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(bench_order_find(lines[i], &order, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
	}
}

static void a_number_is_read_whole(void **state)
{
	uint64_t number;
	struct error err;

	(void)state;
	assert_int_equal(bench_number_read("0", &number, &err), 0);
	assert_int_equal(number, 0);
	assert_int_equal(bench_number_read("9223372036854775807", &number, &err), 0);
	assert_int_equal(number, INT64_MAX);
}

static void what_is_no_number_is_the_peers_fault(void **state)
{
	static const char *const lines[] = {"", "-1", "1x", " 1", "9223372036854775808", "1e9"};
	uint64_t number;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(bench_number_read(lines[i], &number, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_order_is_found_by_its_name),
		cmocka_unit_test(what_is_no_order_is_refused),
		cmocka_unit_test(a_number_is_read_whole),
		cmocka_unit_test(what_is_no_number_is_the_peers_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
