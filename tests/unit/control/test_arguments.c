#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/arguments.h"

struct values {
	const char *vm;
	const char *mode;
	bool quit_source;
	uint64_t count;
};

static int read_text(const char *text, json_t **object, struct values *values, struct error *err)
{
	const struct argument table[] = {
		{.key = "vm", .required = true, .text = &values->vm},
		{.key = "mode", .text = &values->mode},
		{.key = "quit_source", .flag = &values->quit_source},
		{.key = "count", .number = &values->count},
	};

	*object = json_loads(text, 0, NULL);
	assert_non_null(*object);
	return arguments_read(*object, table, ARGUMENTS_COUNT(table), err);
}

static void refused(const char *text, const char *expected)
{
	struct values values = {0};
	struct error err;
	json_t *object;

	assert_int_equal(read_text(text, &object, &values, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_string_equal(err.message, expected);
	json_decref(object);
}

static void every_type_is_taken(void **state)
{
	struct values values = {0};
	struct error err;
	json_t *object;

	(void)state;
	assert_int_equal(read_text("{\"vm\": \"web1\", \"mode\": \"precopy\", "
				   "\"quit_source\": true, \"count\": 3}",
				 &object, &values, &err),
		0);
	assert_string_equal(values.vm, "web1");
	assert_string_equal(values.mode, "precopy");
	assert_true(values.quit_source);
	assert_int_equal(values.count, 3);
	json_decref(object);
}

static void what_is_absent_keeps_its_default(void **state)
{
	struct values values = {.mode = "hybrid", .quit_source = true, .count = 5};
	struct error err;
	json_t *object;

	(void)state;
	assert_int_equal(read_text("{\"vm\": \"web1\"}", &object, &values, &err), 0);
	assert_string_equal(values.mode, "hybrid");
	assert_true(values.quit_source);
	assert_int_equal(values.count, 5);
	json_decref(object);
}

static void a_missing_argument_is_named(void **state)
{
	(void)state;
	refused("{\"mode\": \"hybrid\"}", "argument 'vm' is missing");
}

static void an_unknown_argument_is_named_with_the_known(void **state)
{
	(void)state;
	refused("{\"vm\": \"web1\", \"hots\": \"b\"}",
		"unknown argument 'hots': known are vm, mode, quit_source, count");
}

static void a_wrong_type_is_named(void **state)
{
	(void)state;
	refused("{\"vm\": 3}", "argument 'vm' must be a text");
	refused("{\"vm\": null}", "argument 'vm' must be a text");
	refused("{\"vm\": \"\"}", "argument 'vm' must be a text that is not empty");
	refused("{\"vm\": \"a\", \"quit_source\": 1}",
		"argument 'quit_source' must be true or false");
	refused("{\"vm\": \"a\", \"count\": 1.5}",
		"argument 'count' must be a whole number, 0 or more");
	refused("{\"vm\": \"a\", \"count\": -1}",
		"argument 'count' must be a whole number, 0 or more");
}

static void no_arguments_are_fine_where_none_is_required(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(arguments_read(NULL, NULL, 0, &err), 0);
}

static void any_argument_is_too_many_where_none_is_known(void **state)
{
	struct error err;
	json_t *object = json_pack("{s:i}", "x", 1);

	(void)state;
	assert_int_equal(arguments_read(object, NULL, 0, &err), -1);
	assert_string_equal(err.message, "unknown argument 'x': the command takes none");
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_taken),
		cmocka_unit_test(what_is_absent_keeps_its_default),
		cmocka_unit_test(a_missing_argument_is_named),
		cmocka_unit_test(an_unknown_argument_is_named_with_the_known),
		cmocka_unit_test(a_wrong_type_is_named),
		cmocka_unit_test(no_arguments_are_fine_where_none_is_required),
		cmocka_unit_test(any_argument_is_too_many_where_none_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
