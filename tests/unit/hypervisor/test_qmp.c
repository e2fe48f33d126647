/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_qmp.h"
#include "hypervisor/qmp.h"

static struct error err;

static int greeting_deadline_ms = 5000;

static struct qmp *open_fake(const struct step *steps, struct fake_qmp **fake)
{
	int fd;

	*fake = fake_qmp_pair(steps, &fd);
	return qmp_new(fd, "web1", greeting_deadline_ms, &err);
}

/* The conversation of a client that opens and executes "stop" once. */
static int stop(const struct step *steps, bool *gone)
{
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);
	int result;

	assert_non_null(qmp);
	result = qmp_execute(qmp, "stop", NULL, -1, NULL, &err);
	if (gone)
		*gone = qmp_gone(qmp);
	qmp_free(qmp);
	fake_qmp_finish(fake);
	return result;
}

static void refuses_to_open(const struct step *steps, const char *message)
{
	struct fake_qmp *fake;

	assert_null(open_fake(steps, &fake));
	fake_qmp_finish(fake);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	assert_non_null(strstr(err.message, message));
}

static void an_answer_comes_back(void **state)
{
	const struct step steps[] = {GREETING,
		{"\"execute\":\"query-x\"", "{\"return\": {\"a\": 1}, \"id\": $ID}\n"}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);
	json_t *value;

	(void)state;
	assert_int_equal(qmp_execute(qmp, "query-x", NULL, -1, &value, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(value, "a")), 1);
	json_decref(value);
	qmp_free(qmp);
	fake_qmp_finish(fake);
}

static void arguments_are_sent(void **state)
{
	const struct step steps[] = {GREETING, {"\"arguments\":{\"uri\":\"fd:x\"}", OK}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(
		qmp_execute(qmp, "migrate", json_pack("{s:s}", "uri", "fd:x"), -1, NULL, &err), 0);
	qmp_free(qmp);
	fake_qmp_finish(fake);
}

static void a_descriptor_is_passed_with_its_command(void **state)
{
	const struct step steps[] = {GREETING, {"\"getfd\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);
	int null = open("/dev/null", O_RDONLY);
	struct stat sent;
	struct stat received;
	int passed;

	(void)state;
	assert_int_equal(qmp_execute(qmp, "getfd", NULL, null, NULL, &err), 0);
	qmp_free(qmp);
	passed = fake_qmp_finish(fake);
	assert_int_equal(fstat(null, &sent), 0);
	assert_int_equal(fstat(passed, &received), 0);
	assert_int_equal(sent.st_rdev, received.st_rdev);
	close(passed);
	close(null);
}

static void an_error_has_the_words_of_qemu(void **state)
{
	const struct step steps[] = {GREETING,
		{"\"stop\"",
			"{\"error\": {\"class\": \"GenericError\", \"desc\": \"not today\"}, "
			"\"id\": $ID}\n"},
		DONE};

	(void)state;
	assert_int_equal(stop(steps, NULL), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	assert_non_null(strstr(err.message, "stop"));
	assert_non_null(strstr(err.message, "not today"));
}

static void an_error_without_an_id_is_the_answer(void **state)
{
	const struct step steps[] = {
		GREETING, {"\"stop\"", "{\"error\": {\"desc\": \"Invalid JSON syntax\"}}\n"}, DONE};

	(void)state;
	assert_int_equal(stop(steps, NULL), -1);
	assert_non_null(strstr(err.message, "Invalid JSON syntax"));
}

static void an_error_without_words_is_an_error(void **state)
{
	const struct step steps[] = {GREETING, {"\"stop\"", "{\"error\": 7, \"id\": $ID}\n"}, DONE};

	(void)state;
	assert_int_equal(stop(steps, NULL), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
}

static void an_answer_to_an_older_command_is_passed_over(void **state)
{
	const struct step steps[] = {GREETING,
		{"\"stop\"",
			"{\"return\": {}, \"id\": 1}\n{\"error\": {\"desc\": \"mine\"}, "
			"\"id\": $ID}\n"},
		DONE};

	(void)state;
	assert_int_equal(stop(steps, NULL), -1);
	assert_non_null(strstr(err.message, "mine"));
}

static void events_between_command_and_answer_are_kept_in_order(void **state)
{
	const struct step steps[] = {GREETING,
		{"\"stop\"", "{\"event\": \"A\"}\n{\"event\": \"B\"}\n" OK "{\"event\": \"C\"}\n"},
		DONE};
	const char *const expected[] = {"A", "B", "C"};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qmp_execute(qmp, "stop", NULL, -1, NULL, &err), 0);
	assert_true(qmp_ready(qmp));
	for (size_t i = 0; i < 3; i++) {
		json_t *event;

		assert_int_equal(qmp_next_event(qmp, 1000, &event, &err), 1);
		assert_string_equal(
			json_string_value(json_object_get(event, "event")), expected[i]);
		json_decref(event);
	}
	assert_false(qmp_ready(qmp));
	qmp_free(qmp);
	fake_qmp_finish(fake);
}

static void waiting_for_an_event_ends_in_time(void **state)
{
	const struct step steps[] = {GREETING, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);
	json_t *event;

	(void)state;
	assert_int_equal(qmp_next_event(qmp, 10, &event, &err), 0);
	qmp_free(qmp);
	fake_qmp_finish(fake);
}

static void a_qemu_that_dies_in_a_command_is_gone(void **state)
{
	const struct step steps[] = {GREETING, {"\"stop\"", NULL}, DONE};
	bool gone = false;

	(void)state;
	assert_int_equal(stop(steps, &gone), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	assert_true(gone);
}

static void a_qemu_that_dies_while_waited_for_is_gone(void **state)
{
	const struct step steps[] = {GREETING, {NULL, NULL}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);
	json_t *event;

	(void)state;
	assert_int_equal(qmp_next_event(qmp, -1, &event, &err), -1);
	assert_true(qmp_gone(qmp));
	assert_int_equal(qmp_execute(qmp, "stop", NULL, -1, NULL, &err), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	qmp_free(qmp);
	fake_qmp_finish(fake);
}

static void garbage_in_place_of_an_answer_does_not_mean_that_qemu_is_gone(void **state)
{
	const struct step steps[] = {GREETING, {"\"stop\"", "*****\n"}, DONE};
	bool gone = true;

	(void)state;
	assert_int_equal(stop(steps, &gone), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	assert_false(gone);
}

static void an_answer_that_is_no_object_is_an_error(void **state)
{
	const struct step steps[] = {GREETING, {"\"stop\"", "[1]\n"}, DONE};

	(void)state;
	assert_int_equal(stop(steps, NULL), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
}

static void another_protocol_is_refused_at_the_greeting(void **state)
{
	const struct step steps[] = {{NULL, "220 mail ESMTP\r\n"}, DONE};

	(void)state;
	refuses_to_open(steps, "does not speak QMP");
}

static void json_that_is_no_greeting_is_refused(void **state)
{
	const struct step steps[] = {{NULL, "{\"QGA\": {}}\r\n"}, DONE};

	(void)state;
	refuses_to_open(steps, "not a greeting");
}

static void a_qemu_that_closes_before_its_greeting_is_told(void **state)
{
	const struct step steps[] = {{NULL, NULL}, DONE};

	(void)state;
	refuses_to_open(steps, "has ended");
}

static void out_of_band_is_asked_for_where_it_is_offered(void **state)
{
	const struct step steps[] = {
		{NULL, "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\n"},
		{"\"arguments\":{\"enable\":[\"oob\"]}", OK},
		{"\"exec-oob\":\"migrate-pause\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qmp_execute_now(qmp, "migrate-pause", NULL, &err), 0);
	qmp_free(qmp);
	fake_qmp_finish(fake);
}

static void without_out_of_band_a_command_takes_its_turn(void **state)
{
	const struct step steps[] = {{NULL, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n"},
		{"{\"execute\":\"qmp_capabilities\",\"id\"", OK},
		{"\"execute\":\"migrate-pause\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qmp_execute_now(qmp, "migrate-pause", NULL, &err), 0);
	qmp_free(qmp);
	fake_qmp_finish(fake);
}

/* A connection that another client had, and lost in the middle of @first */
static int take_over(const char *first)
{
	const struct step steps[] = {{NULL, first}, {"\"exec-oob\":\"yank\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp;
	int result;
	int fd;

	fake = fake_qmp_pair(steps, &fd);
	qmp = qmp_take_over(fd, "web1", &err);
	assert_non_null(qmp);
	result = qmp_execute_now(qmp, "yank", NULL, &err);
	qmp_free(qmp);
	fake_qmp_finish(fake);
	return result;
}

static void a_connection_is_taken_over_without_a_greeting(void **state)
{
	(void)state;
	assert_int_equal(take_over("{\"event\": \"STOP\"}\n"), 0);
}

static void the_rest_of_a_line_is_passed_over_when_taking_over(void **state)
{
	(void)state;
	assert_int_equal(take_over("tus\": \"active\"}}\n"), 0);
}

static void a_second_broken_line_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(take_over("tus\": \"active\"}}\nbroken\n"), -1);
	assert_non_null(strstr(err.message, "does not speak QMP"));
}

static void no_greeting_names_the_remedy(void **state)
{
	const struct step steps[] = {DONE};

	(void)state;
	greeting_deadline_ms = 10;
	refuses_to_open(steps, "one more -qmp unix:");
	greeting_deadline_ms = 5000;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_back),
		cmocka_unit_test(arguments_are_sent),
		cmocka_unit_test(a_descriptor_is_passed_with_its_command),
		cmocka_unit_test(an_error_has_the_words_of_qemu),
		cmocka_unit_test(an_error_without_an_id_is_the_answer),
		cmocka_unit_test(an_error_without_words_is_an_error),
		cmocka_unit_test(an_answer_to_an_older_command_is_passed_over),
		cmocka_unit_test(events_between_command_and_answer_are_kept_in_order),
		cmocka_unit_test(waiting_for_an_event_ends_in_time),
		cmocka_unit_test(a_qemu_that_dies_in_a_command_is_gone),
		cmocka_unit_test(a_qemu_that_dies_while_waited_for_is_gone),
		cmocka_unit_test(garbage_in_place_of_an_answer_does_not_mean_that_qemu_is_gone),
		cmocka_unit_test(an_answer_that_is_no_object_is_an_error),
		cmocka_unit_test(another_protocol_is_refused_at_the_greeting),
		cmocka_unit_test(json_that_is_no_greeting_is_refused),
		cmocka_unit_test(a_qemu_that_closes_before_its_greeting_is_told),
		cmocka_unit_test(out_of_band_is_asked_for_where_it_is_offered),
		cmocka_unit_test(without_out_of_band_a_command_takes_its_turn),
		cmocka_unit_test(a_connection_is_taken_over_without_a_greeting),
		cmocka_unit_test(the_rest_of_a_line_is_passed_over_when_taking_over),
		cmocka_unit_test(a_second_broken_line_is_an_error),
		cmocka_unit_test(no_greeting_names_the_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
