/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hypervisor/qemu_user.h"

static char directory[64];

static int make_directory(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/culvert-test-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/file", directory);
	(void)unlink(path);
	return rmdir(directory);
}

static void assert_user_is(const char *settings, const char *name)
{
	char path[96];
	char found[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/file", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(settings, file);
	fclose(file);
	assert_true(qemu_user_of_libvirt(path, found));
	assert_string_equal(found, name);
}

static void settings_name_the_user(void **state)
{
	(void)state;
	assert_user_is("user = \"root\"\n", "root");
	assert_user_is("# user = \"other\"\n  user=\"nobody\"\ngroup = \"x\"\n", "nobody");
	assert_user_is("user = \"+0\"\n", "root");
	assert_user_is("user = \"0\"\n", "root");
}

static void the_last_setting_counts(void **state)
{
	(void)state;
	assert_user_is("user = \"nobody\"\nuser = \"root\"\n", "root");
}

static void a_socket_tells_who_made_it(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char found[64];

	(void)state;
	assert_false(qemu_user_of_sockets(directory, found));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/file", directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_true(qemu_user_of_sockets(directory, found));
	if (geteuid() != 0)
		return;
	assert_string_equal(found, "root");
	assert_int_equal(chown(address.sun_path, 4000000, 0), 0);
	assert_true(qemu_user_of_sockets(directory, found));
	assert_string_equal(found, "4000000"); /* without an account */
}

static void a_directory_without_sockets_tells_nobody(void **state)
{
	char found[64];

	(void)state;
	assert_false(qemu_user_of_sockets(directory, found));
	assert_false(qemu_user_of_sockets("/nowhere", found));
}

static void root_needs_no_group_and_nobody_has_only_its_own(void **state)
{
	(void)state;
	assert_true(qemu_user_in_group("root", 12345));
	assert_false(qemu_user_in_group("nobody", 0));
	assert_true(qemu_user_in_group("nobody", 65534));
	assert_false(qemu_user_in_group("no such account", 0));
}

static void whether_a_file_may_be_opened_follows_its_mode(void **state)
{
	(void)state;
	assert_true(qemu_user_may_open("nobody", "/dev/null"));
	assert_false(qemu_user_may_open("nobody", "/etc/passwd"));
	assert_true(qemu_user_may_open("root", "/etc/passwd"));
	assert_false(qemu_user_may_open("nobody", "/nowhere"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			settings_name_the_user, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(
			the_last_setting_counts, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(
			a_socket_tells_who_made_it, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(
			a_directory_without_sockets_tells_nobody, make_directory, remove_directory),
		cmocka_unit_test(root_needs_no_group_and_nobody_has_only_its_own),
		cmocka_unit_test(whether_a_file_may_be_opened_follows_its_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
