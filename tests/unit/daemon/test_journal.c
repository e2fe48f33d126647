/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/journal.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static struct {
	char directory[64];
	struct error err;
	int count;
	struct journal_entry last; /* found: a reference */
} fixture;

static int set_up(void **state)
{
	(void)state;
	memset(&fixture, 0, sizeof(fixture));
	strcpy(fixture.directory, "/tmp/culvert-test-XXXXXX");
	return mkdtemp(fixture.directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[100];

	(void)state;
	json_decref(fixture.last.found);
	json_decref(fixture.last.libvirt);
	snprintf(command, sizeof(command), "rm -r %s", fixture.directory);
	return system(command);
}

static struct journal_entry entry(void)
{
	return (struct journal_entry){.plan = {.id = "0badcafe",
					      .vm = "web1",
					      .destination_vm = "web2",
					      .host = "hostb",
					      .mode = MODE_POSTCOPY,
					      .quit_source = true,
					      .streams = {.preempt = true},
					      .bandwidth = 125000}};
}

static void take(void *argument, const struct journal_entry *found)
{
	(void)argument;
	fixture.count++;
	json_decref(fixture.last.found);
	json_decref(fixture.last.libvirt);
	fixture.last = *found;
	json_incref(fixture.last.found);
	json_incref(fixture.last.libvirt);
}

static int read_all(void)
{
	fixture.count = 0;
	journal_read(fixture.directory, take, NULL);
	return fixture.count;
}

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/migrations", fixture.directory);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/migrations/%s", fixture.directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void what_was_written_is_read(void **state)
{
	struct journal_entry written = entry();

	(void)state;
	written.started = written.halted = true;
	written.found = json_pack("{s:[]}", "capabilities");
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_int_equal(read_all(), 1);
	assert_string_equal(fixture.last.plan.id, "0badcafe");
	assert_string_equal(fixture.last.plan.vm, "web1");
	assert_string_equal(fixture.last.plan.destination_vm, "web2");
	assert_string_equal(fixture.last.plan.host, "hostb");
	assert_int_equal(fixture.last.plan.mode, MODE_POSTCOPY);
	assert_true(fixture.last.plan.quit_source);
	assert_int_equal(fixture.last.plan.bandwidth, 125000);
	assert_true(fixture.last.plan.streams.preempt);
	assert_false(fixture.last.plan.incoming);
	assert_true(fixture.last.started);
	assert_true(fixture.last.halted);
	assert_true(json_equal(fixture.last.found, written.found));
	assert_null(fixture.last.libvirt);
	json_decref(written.found);
}

static void which_domain_of_libvirt_it_is_is_read(void **state)
{
	struct journal_entry written = entry();

	(void)state;
	written.libvirt = json_pack("{ss}", "uuid", "of the domain");
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_int_equal(read_all(), 1);
	assert_true(json_equal(fixture.last.libvirt, written.libvirt));
	json_decref(written.libvirt);
}

static void a_second_entry_replaces_the_first(void **state)
{
	struct journal_entry written = entry();

	(void)state;
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	written.started = true;
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_int_equal(read_all(), 1);
	assert_true(fixture.last.started);
}

static void both_ends_of_a_migration_have_an_entry_each(void **state)
{
	struct journal_entry written = entry();

	(void)state;
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	written.plan.incoming = true;
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_int_equal(read_all(), 2);
	journal_remove(fixture.directory, &written.plan);
	assert_int_equal(read_all(), 1);
	assert_false(fixture.last.plan.incoming);
}

static void that_the_source_has_kept_the_guest_is_read(void **state)
{
	struct journal_entry written = entry();

	(void)state;
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_int_equal(read_all(), 1);
	assert_false(fixture.last.kept);
	written.kept = true;
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_int_equal(read_all(), 1);
	assert_true(fixture.last.kept);
}

static void an_entry_of_an_older_daemon_is_read(void **state)
{
	(void)state;
	put("e.json",
		"{\"id\": \"0badcafe\", \"incoming\": false, \"vm\": \"a\", \"destination_vm\": "
		"\"a\", "
		"\"host\": \"h\", \"mode\": \"hybrid\", \"quit_source\": false, \"started\": true, "
		"\"halted\": false}");
	assert_int_equal(read_all(), 1);
	assert_false(fixture.last.kept);
	assert_false(fixture.last.plan.streams.preempt);
}

static void an_entry_is_there_until_it_is_removed(void **state)
{
	struct journal_entry written = entry();
	struct migration_plan other = written.plan;

	(void)state;
	other.incoming = true;
	assert_false(journal_has(fixture.directory, &written.plan));
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_true(journal_has(fixture.directory, &written.plan));
	assert_false(journal_has(fixture.directory, &other));
	journal_remove(fixture.directory, &written.plan);
	assert_false(journal_has(fixture.directory, &written.plan));
}

static void nothing_written_is_nothing_read(void **state)
{
	(void)state;
	assert_int_equal(read_all(), 0);
}

static void what_cannot_be_read_is_passed_over(void **state)
{
	struct journal_entry written = entry();

	(void)state;
	put("a.json", "");
	put("b.json", "{");
	put("c.json", "[1]");
	put("d.json",
		"{\"id\": \"../../../x\", \"incoming\": true, \"vm\": \"a\", \"destination_vm\": "
		"\"a\", "
		"\"host\": \"h\", \"mode\": \"hybrid\", \"quit_source\": false, \"started\": true, "
		"\"halted\": false}");
	put("e.json",
		"{\"id\": \"0badcafe\", \"incoming\": true, \"vm\": \"../a\", \"destination_vm\": "
		"\"a\", "
		"\"host\": \"h\", \"mode\": \"hybrid\", \"quit_source\": false, \"started\": true, "
		"\"halted\": false}");
	put("f.txt", "nothing of ours");
	assert_int_equal(journal_write(fixture.directory, &written, &fixture.err), 0);
	assert_int_equal(read_all(), 1);
}

static void what_a_killed_daemon_was_writing_is_swept_up(void **state)
{
	char path[200];

	(void)state;
	put("0badcafe-incoming.json.new", "{");
	assert_int_equal(read_all(), 0);
	snprintf(path, sizeof(path), "%s/migrations/0badcafe-incoming.json.new", fixture.directory);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_place_that_cannot_be_written_is_told(void **state)
{
	struct journal_entry written = entry();
	char path[200];

	(void)state;
	snprintf(path, sizeof(path), "%s/none", fixture.directory);
	assert_int_equal(journal_write(path, &written, &fixture.err), -1);
	assert_int_equal(fixture.err.code, ERROR_LOCAL);
	assert_non_null(strstr(fixture.err.message, "none/migrations"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_read),
		TEST(which_domain_of_libvirt_it_is_is_read),
		TEST(a_second_entry_replaces_the_first),
		TEST(both_ends_of_a_migration_have_an_entry_each),
		TEST(that_the_source_has_kept_the_guest_is_read),
		TEST(an_entry_of_an_older_daemon_is_read),
		TEST(an_entry_is_there_until_it_is_removed),
		TEST(nothing_written_is_nothing_read),
		TEST(what_cannot_be_read_is_passed_over),
		TEST(what_a_killed_daemon_was_writing_is_swept_up),
		TEST(a_place_that_cannot_be_written_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
