#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/libvirt_options.h"

static void a_libvirt_of_this_host_is_taken(void **state)
{
	static const char *const good[] = {"qemu:///system", "qemu:///session",
		"qemu+unix:///system", "qemu+unix:///system?socket=/run/libvirt/virtqemud-sock"};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct libvirt_options options = {0};

		assert_int_equal(libvirt_options_set_uri(&options, good[i], &err), 0);
		assert_string_equal(libvirt_options_uri(&options), good[i]);
		assert_string_equal(libvirt_options_given(&options), "connect");
	}
}

static void a_libvirt_elsewhere_or_behind_a_program_is_refused(void **state)
{
	static const char *const bad[] = {"", "qemu", "qemu:///", "qemu:system",
		"qemu://hostb/system", "qemu+ssh://hostb/system", "qemu+tcp:///system",
		"qemu+ext:///system?command=/bin/sh", "qemu+unix:///system?command=/bin/sh",
		"qemu+unix:///system?socket=/a&command=/bin/sh",
		"qemu+unix:///system?socket=/a;command=/b", "qemu+unix:///system?socket=%2fa",
		"qemu+unix:///system?socket=", "qemu+unix:///system?socket=/",
		"qemu+unix:///system?socket=a", "qemu:///system#a", "qemu:///system?",
		"QEMU:///system", "test:///default", "xen:///system", "qemu:///system\n"};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct libvirt_options options = {0};

		assert_int_equal(libvirt_options_set_uri(&options, bad[i], &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		assert_string_equal(libvirt_options_uri(&options), "qemu:///system");
	}
}

static void a_libvirt_with_too_long_a_name_is_refused(void **state)
{
	struct libvirt_options options = {0};
	char uri[sizeof(options.uri) + 1];
	struct error err;

	(void)state;
	memset(uri, 'a', sizeof(uri));
	memcpy(uri, "qemu:///", strlen("qemu:///"));
	uri[sizeof(options.uri)] = '\0';
	assert_int_equal(libvirt_options_set_uri(&options, uri, &err), -1);
	uri[sizeof(options.uri) - 1] = '\0';
	assert_int_equal(libvirt_options_set_uri(&options, uri, &err), 0);
}

static void disks_are_copied_whole_or_their_topmost_image(void **state)
{
	struct libvirt_options options = {0};
	struct error err;

	(void)state;
	assert_null(libvirt_options_given(&options));
	assert_int_equal(libvirt_options_set_copy_storage(&options, "some", &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_int_equal(options.copy_storage, COPY_STORAGE_NONE);
	assert_int_equal(libvirt_options_set_copy_storage(&options, "inc", &err), 0);
	assert_int_equal(options.copy_storage, COPY_STORAGE_INC);
	assert_int_equal(libvirt_options_set_copy_storage(&options, "all", &err), 0);
	assert_int_equal(options.copy_storage, COPY_STORAGE_ALL);
	assert_string_equal(libvirt_options_given(&options), "copy_storage");
}

static void parallel_streams_and_postcopy_need_a_qemu_that_survives_them(void **state)
{
	const struct libvirt_options parallel = {.parallel_count = 2};
	const struct libvirt_options none = {.compressed = true};
	struct error err;

	(void)state;
	assert_int_equal(libvirt_options_check(&parallel, MODE_PRECOPY, 7002022, "hostb", &err), 0);
	assert_int_equal(libvirt_options_check(&none, MODE_HYBRID, 7002022, "hostb", &err), 0);
	assert_int_equal(libvirt_options_check(&parallel, MODE_HYBRID, 10001000, "hostb", &err), 0);
	assert_int_equal(
		libvirt_options_check(&parallel, MODE_HYBRID, 10000099, "hostb", &err), -1);
	assert_int_equal(
		libvirt_options_check(&parallel, MODE_POSTCOPY, 7002022, "hostb", &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.message, "that of hostb is 7.2.22"));
	assert_non_null(strstr(err.message, "--mode precopy"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_libvirt_of_this_host_is_taken),
		cmocka_unit_test(a_libvirt_elsewhere_or_behind_a_program_is_refused),
		cmocka_unit_test(a_libvirt_with_too_long_a_name_is_refused),
		cmocka_unit_test(disks_are_copied_whole_or_their_topmost_image),
		cmocka_unit_test(parallel_streams_and_postcopy_need_a_qemu_that_survives_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
