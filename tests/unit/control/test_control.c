#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "control/control.h"

static struct error failed(enum error_code code, const char *message)
{
	struct error failure;

	error_set(&failure, code, "%s", message);
	return failure;
}

static void an_error_keeps_class_and_text_on_its_way(void **state)
{
	(void)state;
	for (int code = ERROR_USAGE; code <= ERROR_GUEST; code++) {
		struct error sent = failed((enum error_code)code, "QEMU said no");
		struct error received;
		json_t *object = control_error_encode(&sent);

		control_error_decode(object, &received);
		assert_int_equal(received.code, code);
		assert_string_equal(received.message, "QEMU said no");
		json_decref(object);
	}
}

static void an_error_that_is_not_utf8_arrives(void **state)
{
	struct error sent = failed(ERROR_LINK, "cut in \xc3");
	json_t *object = control_error_encode(&sent);

	(void)state;
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "desc")), "cut in ?");
	json_decref(object);
}

static void an_error_of_an_unknown_class_is_local(void **state)
{
	struct error received;
	json_t *object = json_pack("{s:s, s:s}", "class", "WEATHER", "desc", "rain");

	(void)state;
	control_error_decode(object, &received);
	assert_int_equal(received.code, ERROR_LOCAL);
	assert_string_equal(received.message, "rain");
	json_decref(object);
}

static void an_error_of_class_none_is_an_error_all_the_same(void **state)
{
	struct error received;
	json_t *object = json_pack("{s:s}", "class", "NONE");

	(void)state;
	control_error_decode(object, &received);
	assert_int_equal(received.code, ERROR_LOCAL);
	assert_string_not_equal(received.message, "");
	json_decref(object);
}

static void a_command_that_was_built_can_be_read(void **state)
{
	struct control_command command;
	struct error err;
	json_t *message =
		control_command("watch", json_pack("{s:s}", "migration", "web1"), json_integer(7));

	(void)state;
	assert_int_equal(control_read_command(message, &command, &err), 0);
	assert_string_equal(command.name, "watch");
	assert_string_equal(
		json_string_value(json_object_get(command.arguments, "migration")), "web1");
	assert_int_equal(json_integer_value(command.id), 7);
	json_decref(message);
}

static void a_command_without_arguments_and_id_has_none(void **state)
{
	struct control_command command;
	struct error err;
	json_t *message = control_command("status", NULL, NULL);

	(void)state;
	assert_int_equal(json_object_size(message), 1);
	assert_int_equal(control_read_command(message, &command, &err), 0);
	assert_null(command.arguments);
	assert_null(command.id);
	json_decref(message);
}

static void refused(const char *text, const char *expected)
{
	struct control_command command;
	struct error err;
	json_t *message = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_int_equal(control_read_command(message, &command, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.message, expected));
	json_decref(message);
}

static void a_command_that_is_none_is_refused(void **state)
{
	(void)state;
	refused("[]", "object");
	refused("7", "object");
	refused("{}", "'execute'");
	refused("{\"execute\": 3}", "'execute'");
	refused("{\"execute\": \"ping\", \"arguments\": []}", "'arguments'");
	refused("{\"execute\": \"ping\", \"argument\": {}}", "'argument'");
}

static void a_refused_command_still_has_its_id(void **state)
{
	struct control_command command;
	struct error err;
	json_t *message = json_pack("{s:i, s:s}", "execute", 3, "id", "x");

	(void)state;
	assert_int_equal(control_read_command(message, &command, &err), -1);
	assert_string_equal(json_string_value(command.id), "x");
	json_decref(message);
}

static void a_return_carries_value_and_id(void **state)
{
	struct control_answer answer;
	struct error err;
	json_t *id = json_string("x");
	json_t *message = control_return(json_integer(3), id);

	(void)state;
	assert_int_equal(control_read_answer(message, &answer, &err), 0);
	assert_int_equal(answer.kind, CONTROL_RETURN);
	assert_int_equal(json_integer_value(answer.value), 3);
	assert_string_equal(json_string_value(answer.id), "x");
	json_decref(message);
	json_decref(id);
}

static void a_return_of_nothing_is_an_empty_object(void **state)
{
	json_t *message = control_return(NULL, NULL);
	char *text = json_dumps(message, JSON_COMPACT);

	(void)state;
	assert_string_equal(text, "{\"return\":{}}");
	free(text);
	json_decref(message);
}

static void an_error_answer_is_read_as_one(void **state)
{
	struct control_answer answer;
	struct error err;
	struct error sent = failed(ERROR_PEER, "refused");
	json_t *message = control_error(&sent, NULL);

	(void)state;
	assert_int_equal(control_read_answer(message, &answer, &err), 0);
	assert_int_equal(answer.kind, CONTROL_ERROR);
	assert_int_equal(answer.failure.code, ERROR_PEER);
	assert_string_equal(answer.failure.message, "refused");
	json_decref(message);
}

static void an_event_carries_name_and_data(void **state)
{
	struct control_answer answer;
	struct error err;
	json_t *message = control_event("migration", json_pack("{s:b}", "ended", 1));

	(void)state;
	assert_int_equal(control_read_answer(message, &answer, &err), 0);
	assert_int_equal(answer.kind, CONTROL_EVENT);
	assert_string_equal(answer.event, "migration");
	assert_true(json_is_true(json_object_get(answer.value, "ended")));
	json_decref(message);
}

static void an_answer_that_is_none_is_the_peers_fault(void **state)
{
	static const char *const texts[] = {
		"[]", "3", "{}", "{\"return\": 1, \"error\": {}}", "{\"event\": 3}"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct control_answer answer;
		struct error err;
		json_t *message = json_loads(texts[i], JSON_DECODE_ANY, NULL);

		assert_int_equal(control_read_answer(message, &answer, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
		json_decref(message);
	}
}

static void the_greeting_names_version_and_host(void **state)
{
	json_t *message = control_greeting("hosta");
	json_t *culvert = json_object_get(message, "culvert");

	(void)state;
	assert_string_equal(
		json_string_value(json_object_get(culvert, "version")), CULVERT_VERSION);
	assert_string_equal(json_string_value(json_object_get(culvert, "host")), "hosta");
	json_decref(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_keeps_class_and_text_on_its_way),
		cmocka_unit_test(an_error_that_is_not_utf8_arrives),
		cmocka_unit_test(an_error_of_an_unknown_class_is_local),
		cmocka_unit_test(an_error_of_class_none_is_an_error_all_the_same),
		cmocka_unit_test(a_command_that_was_built_can_be_read),
		cmocka_unit_test(a_command_without_arguments_and_id_has_none),
		cmocka_unit_test(a_command_that_is_none_is_refused),
		cmocka_unit_test(a_refused_command_still_has_its_id),
		cmocka_unit_test(a_return_carries_value_and_id),
		cmocka_unit_test(a_return_of_nothing_is_an_empty_object),
		cmocka_unit_test(an_error_answer_is_read_as_one),
		cmocka_unit_test(an_event_carries_name_and_data),
		cmocka_unit_test(an_answer_that_is_none_is_the_peers_fault),
		cmocka_unit_test(the_greeting_names_version_and_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
