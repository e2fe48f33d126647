#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/libvirt_journal.h"

static const char uuid[] = "c20ce9da-3e64-4447-9dee-5f786ef209a7";

static void what_was_written_is_read(void **state)
{
	struct libvirt_options written = {.uri = "qemu+unix:///system?socket=/run/other",
		.persistent = true,
		.copy_storage = COPY_STORAGE_INC,
		.parallel_count = 7,
		.auto_converge = true};
	json_t *value = libvirt_journal_encode(uuid, &written);
	char found[LIBVIRT_UUID_CHARACTERS + 1];
	struct libvirt_options options;
	struct error err;

	(void)state;
	assert_int_equal(libvirt_journal_decode(value, found, &options, &err), 0);
	json_decref(value);
	assert_string_equal(found, uuid);
	assert_string_equal(options.uri, written.uri);
	assert_true(options.persistent);
	assert_false(options.undefine_source);
	assert_int_equal(options.copy_storage, COPY_STORAGE_INC);
	assert_int_equal(options.parallel_count, 7);
	assert_false(options.compressed);
	assert_true(options.auto_converge);
}

static void what_was_not_named_is_the_usual_libvirt(void **state)
{
	struct libvirt_options written = {0};
	json_t *value = libvirt_journal_encode(uuid, &written);
	char found[LIBVIRT_UUID_CHARACTERS + 1];
	struct libvirt_options options;
	struct error err;

	(void)state;
	assert_int_equal(libvirt_journal_decode(value, found, &options, &err), 0);
	json_decref(value);
	assert_string_equal(libvirt_options_uri(&options), LIBVIRT_URI);
}

static void what_it_has_not_written_is_refused(void **state)
{
	static const struct {
		const char *key;
		const char *value;
	} bad[] = {
		{"uuid", "\"web1\""},
		{"uuid", "\"c20ce9da-3e64-4447-9dee-5f786ef209a7/\""},
		{"uuid", "\"../../../../../../../../../../../../\""},
		{"uuid", "7"},
		{"connect", "\"qemu+ssh://hostb/system\""},
		{"copy_storage", "3"},
		{"copy_storage", "-1"},
		{"parallel", "256"},
		{"parallel", "-1"},
		{"persistent", "1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct libvirt_options options = {0};
		json_t *value = libvirt_journal_encode(uuid, &options);
		char found[LIBVIRT_UUID_CHARACTERS + 1];
		struct error err;

		json_object_set_new(
			value, bad[i].key, json_loads(bad[i].value, JSON_DECODE_ANY, NULL));
		assert_int_equal(libvirt_journal_decode(value, found, &options, &err), -1);
		assert_int_not_equal(err.code, ERROR_NONE);
		json_object_del(value, bad[i].key);
		assert_int_equal(libvirt_journal_decode(value, found, &options, &err), -1);
		json_decref(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(what_was_not_named_is_the_usual_libvirt),
		cmocka_unit_test(what_it_has_not_written_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
