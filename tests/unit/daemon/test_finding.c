/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "daemon/finding.h"

static const char *text_of(const json_t *list, const char *key)
{
	return json_string_value(json_object_get(json_array_get(list, 0), key));
}

static void a_finding_becomes_json(void **state)
{
	struct finding finding = finding_make("clocks", FINDING_WARNING, "%d s", 3);
	json_t *list = json_array();

	(void)state;
	finding_remedy(&finding, "use %s", "NTP");
	finding_append(list, "hosta", &finding);
	assert_string_equal(text_of(list, "host"), "hosta");
	assert_string_equal(text_of(list, "check"), "clocks");
	assert_string_equal(text_of(list, "state"), "warning");
	assert_string_equal(text_of(list, "text"), "3 s");
	assert_string_equal(text_of(list, "remedy"), "use NTP");
	json_decref(list);
}

static void what_is_about_both_has_no_host_and_what_is_good_no_remedy(void **state)
{
	struct finding finding = finding_make("clocks", FINDING_GOOD, "alike");
	json_t *list = json_array();

	(void)state;
	finding_append(list, NULL, &finding);
	assert_true(json_is_null(json_object_get(json_array_get(list, 0), "host")));
	assert_true(json_is_null(json_object_get(json_array_get(list, 0), "remedy")));
	json_decref(list);
}

/* @returns the list with what was taken; NULL: refused */
static json_t *take(const char *theirs)
{
	json_t *list = json_array();
	json_t *value = json_loads(theirs, JSON_DECODE_ANY, NULL);
	struct error err;
	int result = finding_append_theirs(list, "hostb", value, &err);

	assert_non_null(value);
	json_decref(value);
	if (result == 0)
		return list;
	assert_int_equal(err.code, ERROR_PEER);
	json_decref(list);
	return NULL;
}

static void a_peers_finding_is_about_that_peer(void **state)
{
	json_t *list = take("[{\"host\": \"hosta\", \"check\": \"qemu\", \"state\": \"bad\","
			    " \"text\": \"none\", \"remedy\": \"install\"}]");

	(void)state;
	assert_string_equal(text_of(list, "host"), "hostb");
	assert_string_equal(text_of(list, "state"), "bad");
	assert_string_equal(text_of(list, "remedy"), "install");
	json_decref(list);
}

static void a_peers_text_is_made_printable_and_cut(void **state)
{
	char long_text[2000];
	char theirs[2200];
	json_t *list;

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	snprintf(theirs, sizeof(theirs),
		"[{\"check\": \"qemu\", \"state\": \"good\", \"text\": \"a\\u001b[2J\\u00e9%s\"}]",
		long_text);
	list = take(theirs);
	assert_memory_equal(text_of(list, "text"), "a?[2J??x", 8);
	assert_int_equal(strlen(text_of(list, "text")), sizeof(((struct finding *)0)->text) - 1);
	json_decref(list);
}

static void what_is_no_list_of_findings_is_refused(void **state)
{
	static const char *const wrong[] = {
		"null",
		"{}",
		"[1]",
		"[{}]",
		"[{\"check\": \"a b\", \"state\": \"good\", \"text\": \"\"}]",
		"[{\"check\": \"qemu\", \"state\": \"fine\", \"text\": \"\"}]",
		"[{\"check\": \"qemu\", \"state\": \"good\", \"text\": 1}]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_null(take(wrong[i]));
}

static void more_findings_than_any_host_has_are_refused(void **state)
{
	json_t *theirs = json_array();
	json_t *list = json_array();
	struct error err;

	(void)state;
	for (int i = 0; i < 25; i++)
		json_array_append_new(theirs,
			json_pack("{ss ss ss}", "check", "qemu", "state", "good", "text", "x"));
	assert_int_equal(finding_append_theirs(list, "hostb", theirs, &err), -1);
	assert_int_equal(err.code, ERROR_PEER);
	json_decref(theirs);
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_finding_becomes_json),
		cmocka_unit_test(what_is_about_both_has_no_host_and_what_is_good_no_remedy),
		cmocka_unit_test(a_peers_finding_is_about_that_peer),
		cmocka_unit_test(a_peers_text_is_made_printable_and_cut),
		cmocka_unit_test(what_is_no_list_of_findings_is_refused),
		cmocka_unit_test(more_findings_than_any_host_has_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
