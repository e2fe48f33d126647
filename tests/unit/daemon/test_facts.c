/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "daemon/facts.h"

static struct facts of_some_host(void)
{
	return (struct facts){
		.version = "0.1.0",
		.qemu = "7.2.22",
		.memory_bytes = (uint64_t)5 << 30,
		.receive_bytes = 6291456,
		.send_bytes = 4194304,
		.may_libvirt = true,
		.name_there = "hosta",
	};
}

static void what_is_told_is_what_was_known(void **state)
{
	struct facts facts = of_some_host();
	struct facts told;
	json_t *object = facts_encode(&facts);
	struct error err;

	(void)state;
	assert_int_equal(facts_decode(object, &told, &err), 0);
	assert_true(told.clock_ms > 0);
	told.clock_ms = 0;
	assert_memory_equal(&told, &facts, sizeof(facts));
	json_decref(object);
}

/* @value  stolen; NULL: the key is left out */
static void assert_refused(const char *key, json_t *value)
{
	struct facts facts = of_some_host();
	json_t *object = facts_encode(&facts);
	struct error err;

	if (value)
		json_object_set_new(object, key, value);
	else
		json_object_del(object, key);
	assert_int_equal(facts_decode(object, &facts, &err), -1);
	assert_int_equal(err.code, ERROR_PEER);
	json_decref(object);
}

static void a_fact_that_is_missing_is_refused(void **state)
{
	static const char *const keys[] = {"version", "qemu", "libvirt", "clock_ms", "memory_bytes",
		"tcp_receive_bytes", "tcp_send_bytes", "libvirt_permitted", "you"};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_refused(keys[i], NULL);
}

static void a_fact_that_is_out_of_bounds_is_refused(void **state)
{
	(void)state;
	assert_refused("version", json_string("1.0\n2"));
	assert_refused("qemu", json_string("1234567890123456789012345678901234567890"));
	assert_refused("clock_ms", json_integer(-1));
	assert_refused("clock_ms", json_integer(INT64_MAX));
	assert_refused("memory_bytes", json_real(1.5));
	assert_refused("libvirt_permitted", json_string("yes"));
	assert_refused("you", json_string("../x"));
}

static void what_is_no_object_is_refused(void **state)
{
	struct facts facts;
	struct error err;

	(void)state;
	assert_int_equal(facts_decode(NULL, &facts, &err), -1);
	assert_int_equal(err.code, ERROR_PEER);
}

static void a_fact_of_a_later_version_is_left_alone(void **state)
{
	struct facts facts = of_some_host();
	json_t *object = facts_encode(&facts);
	struct error err;

	(void)state;
	json_object_set_new(object, "later", json_true());
	assert_int_equal(facts_decode(object, &facts, &err), 0);
	json_decref(object);
}

static void this_host_has_a_clock_and_memory(void **state)
{
	struct facts facts;

	(void)state;
	facts_gather(&facts);
	assert_string_equal(facts.version, CULVERT_VERSION);
	assert_true(facts.memory_bytes > 0);
	assert_true(facts_clock_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_told_is_what_was_known),
		cmocka_unit_test(a_fact_that_is_missing_is_refused),
		cmocka_unit_test(a_fact_that_is_out_of_bounds_is_refused),
		cmocka_unit_test(what_is_no_object_is_refused),
		cmocka_unit_test(a_fact_of_a_later_version_is_left_alone),
		cmocka_unit_test(this_host_has_a_clock_and_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
