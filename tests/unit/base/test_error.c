/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"

static void an_error_says_what_was_set(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_set(&err, ERROR_PEER, "frame of type %d", 12), -1);
	assert_int_equal(err.code, ERROR_PEER);
	assert_string_equal(err.message, "frame of type 12");
}

static void a_system_error_is_named_and_kept(void **state)
{
	struct error err;

	(void)state;
	errno = ENOENT;
	assert_int_equal(error_errno(&err, "cannot open %s", "/x"), -1);
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_string_equal(err.message, "cannot open /x: No such file or directory");
	assert_int_equal(errno, ENOENT);
}

static void context_goes_in_front_and_the_code_stays(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, ERROR_IDENTITY, "expired");
	assert_int_equal(error_prefix(&err, "peer %s", "hostb"), -1);
	assert_int_equal(err.code, ERROR_IDENTITY);
	assert_string_equal(err.message, "peer hostb: expired");
}

static void a_message_that_is_too_long_is_cut(void **state)
{
	char text[2 * ERROR_MESSAGE_BYTES];
	struct error err;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERROR_LOCAL, "%s", text);
	assert_int_equal(strlen(err.message), ERROR_MESSAGE_BYTES - 1);
	error_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.message), ERROR_MESSAGE_BYTES - 1);
}

static void every_code_is_found_by_its_name(void **state)
{
	(void)state;
	for (int code = ERROR_NONE; code <= ERROR_GUEST; code++)
		assert_int_equal(error_code_find(error_code_name((enum error_code)code)), code);
}

static void an_unknown_name_is_a_local_error(void **state)
{
	(void)state;
	assert_int_equal(error_code_find("NO SUCH"), ERROR_LOCAL);
	assert_int_equal(error_code_find(""), ERROR_LOCAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_says_what_was_set),
		cmocka_unit_test(a_system_error_is_named_and_kept),
		cmocka_unit_test(context_goes_in_front_and_the_code_stays),
		cmocka_unit_test(a_message_that_is_too_long_is_cut),
		cmocka_unit_test(every_code_is_found_by_its_name),
		cmocka_unit_test(an_unknown_name_is_a_local_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
