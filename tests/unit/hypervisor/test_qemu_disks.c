/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fake_qmp.h"
#include "hypervisor/qemu_disks.h"

#define RETURN(text) "{\"return\": " text ", \"id\": $ID}\r\n"
#define REFUSE(words)                                                                              \
	"{\"error\": {\"class\": \"GenericError\", \"desc\": \"" words "\"}, \"id\": $ID}\r\n"
#define DISK(device, node, ro, bytes)                                                              \
	"{\"device\": \"" device "\", \"inserted\": {\"node-name\": \"" node "\", \"ro\": " ro     \
	", \"file\": \"/disk.img\", \"image\": {\"virtual-size\": " bytes "}}}"
#define BLOCK(list)                                                                                \
	{                                                                                          \
		"\"query-block\"", RETURN("[" list "]")                                            \
	}
#define TWO DISK("one", "#block1", "false", "4096") ", " DISK("", "two", "false", "512")
#define JOB(number, status, more)                                                                  \
	"{\"id\": \"culvert-disk-" number "\", \"status\": \"" status                              \
	"\", \"current-progress\": 3, "                                                            \
	"\"total-progress\": 10" more "}"
#define JOBS(list)                                                                                 \
	{                                                                                          \
		"\"query-jobs\"", RETURN("[" list "]")                                             \
	}
#define OTHER_JOB "{\"id\": \"backup\", \"status\": \"running\"}"
#define NO_NODES                                                                                   \
	{                                                                                          \
		"\"query-named-block-nodes\"", RETURN("[{\"node-name\": \"two\"}]")                \
	}
#define NO_EXPORTS                                                                                 \
	{                                                                                          \
		"\"query-block-exports\"", RETURN("[{\"id\": \"backup\"}]")                        \
	}

static struct error err;
static struct qemu_disks disks;

static struct qmp *open_fake(const struct step *steps, struct fake_qmp **fake)
{
	struct qmp *qmp;
	int fd;

	*fake = fake_qmp_pair(steps, &fd);
	qmp = qmp_new(fd, "web1", 5000, &err);
	assert_non_null(qmp);
	return qmp;
}

static void close_fake(struct qmp *qmp, struct fake_qmp *fake)
{
	qmp_free(qmp);
	assert_int_equal(fake_qmp_finish(fake), -1);
}

static int find(const struct step *steps)
{
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);
	int result = qemu_disks_find(qmp, &disks, &err);

	close_fake(qmp, fake);
	return result;
}

static void disks_have_the_names_of_their_drives_or_nodes(void **state)
{
	const struct step steps[] = {GREETING,
		BLOCK(TWO ", " DISK("cd", "#block3", "true", "8") ", {\"device\": \"floppy\"}"),
		DONE};

	(void)state;
	assert_int_equal(find(steps), 0);
	assert_int_equal(disks.count, 2);
	assert_string_equal(disks.list[0].name, "one");
	assert_string_equal(disks.list[0].node, "#block1");
	assert_int_equal(disks.list[0].bytes, 4096);
	assert_string_equal(disks.list[1].name, "two");
}

static void a_guest_without_disks_and_a_disk_without_a_name_are_told(void **state)
{
	const struct step none[] = {GREETING, BLOCK(""), DONE};
	const struct step nameless[] = {GREETING, BLOCK(DISK("", "#block1", "false", "8")), DONE};

	(void)state;
	assert_int_equal(find(none), -1);
	assert_non_null(strstr(err.message, "without --disks"));
	assert_int_equal(find(nameless), -1);
	assert_non_null(strstr(err.message, "-drive id=NAME"));
}

static void what_is_told_of_disks_is_understood(void **state)
{
	const struct qemu_disks told = {.count = 1, .list = {{.name = "one", .bytes = 4096}}};
	json_t *value = qemu_disks_encode(&told);

	(void)state;
	assert_int_equal(qemu_disks_decode(value, &disks, &err), 0);
	assert_int_equal(disks.count, 1);
	assert_string_equal(disks.list[0].name, "one");
	assert_int_equal(disks.list[0].bytes, 4096);
	json_decref(value);
}

static void what_is_not_disks_is_refused(void **state)
{
	static const char *const texts[] = {"{}", "1", "[1]", "[{}]", "[{\"name\": \"one\"}]",
		"[{\"name\": \"one\", \"bytes\": -1}]", "[{\"name\": \"one\", \"bytes\": 1.5}]",
		"[{\"name\": \"a\\nevent=x\", \"bytes\": 1}]",
		"[{\"name\": \"#b\", \"bytes\": 1}]"};
	json_t *many = json_array();

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);

		assert_non_null(value);
		assert_int_equal(qemu_disks_decode(value, &disks, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		json_decref(value);
	}
	for (int i = 0; i <= QEMU_DISKS_MOST; i++)
		json_array_append_new(many, json_pack("{ss si}", "name", "a", "bytes", 1));
	assert_int_equal(qemu_disks_decode(many, &disks, &err), -1);
	json_decref(many);
}

static int match(const char *name, uint64_t bytes)
{
	const struct step steps[] = {GREETING, BLOCK(TWO), DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);
	int result;

	disks = (struct qemu_disks){.count = 1, .list = {{.bytes = bytes}}};
	strcpy(disks.list[0].name, name);
	result = qemu_disks_match(qmp, &disks, &err);
	close_fake(qmp, fake);
	return result;
}

static void a_disk_is_there_by_its_name_and_size_or_it_is_told(void **state)
{
	(void)state;
	assert_int_equal(match("one", 4096), 0);
	assert_string_equal(disks.list[0].node, "#block1");
	assert_int_equal(match("one", 4097), -1);
	assert_non_null(strstr(err.message, "'one' has 4096 bytes there, and 4097"));
	assert_int_equal(match("three", 4096), -1);
	assert_non_null(strstr(err.message, "no disk 'three'"));
}

static void a_disk_that_cannot_be_served_ends_the_server(void **state)
{
	const struct step steps[] = {GREETING, {"\"nbd-server-start\"", OK},
		{"\"block-export-add\"", OK},
		{"\"block-export-add\"", REFUSE("Failed to get lock")}, {"\"nbd-server-stop\"", OK},
		DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	disks = (struct qemu_disks){
		.count = 2, .list = {{.name = "one", .node = "a"}, {.name = "two", .node = "b"}}};
	assert_int_equal(qemu_disks_export(qmp, &disks, "/x.sock", &err), -1);
	assert_non_null(strstr(err.message, "disk 'two'"));
	close_fake(qmp, fake);
}

static void copies_are_ready_when_all_are(void **state)
{
	const struct step steps[] = {GREETING,
		JOBS(JOB("0", "ready", "") ", " OTHER_JOB ", " JOB("1", "running", "")),
		JOBS(JOB("0", "ready", "") ", " JOB("1", "ready", "")), DONE};
	struct qemu_disks_progress progress;
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_disks_progress(qmp, 2, &progress, &err), 0);
	assert_false(progress.ready);
	assert_int_equal(progress.total_bytes, 20);
	assert_int_equal(progress.copied_bytes, 6);
	assert_int_equal(qemu_disks_progress(qmp, 2, &progress, &err), 0);
	assert_true(progress.ready);
	close_fake(qmp, fake);
}

static void a_copy_that_failed_or_is_gone_is_told(void **state)
{
	const struct step steps[] = {GREETING,
		JOBS(JOB("0", "concluded", ", \"error\": \"No space left on device\"")), JOBS(""),
		DONE};
	struct qemu_disks_progress progress;
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_disks_progress(qmp, 1, &progress, &err), -1);
	assert_non_null(strstr(err.message, "No space left on device"));
	assert_int_equal(qemu_disks_progress(qmp, 1, &progress, &err), -1);
	close_fake(qmp, fake);
}

static void complete_copies_are_let_go_when_all_are_written(void **state)
{
	const struct step steps[] = {GREETING, JOBS(JOB("0", "ready", "")),
		{"\"block-job-cancel\",\"arguments\":{\"device\":\"culvert-disk-0\"}", OK},
		JOBS(JOB("0", "waiting", "")), JOBS(JOB("0", "concluded", "")),
		{"\"job-dismiss\"", OK}, {"\"blockdev-del\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_disks_complete(qmp, 1, &err), 0);
	assert_int_equal(qemu_disks_complete(qmp, 1, &err), 0);
	assert_int_equal(qemu_disks_complete(qmp, 1, &err), 1);
	close_fake(qmp, fake);
}

static void a_copy_that_fails_at_the_end_is_not_complete(void **state)
{
	const struct step steps[] = {
		GREETING, JOBS(JOB("0", "concluded", ", \"error\": \"broken\"")), DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_disks_complete(qmp, 1, &err), -1);
	close_fake(qmp, fake);
}

static void what_is_abandoned_is_removed_and_nothing_else(void **state)
{
	const struct step steps[] = {GREETING, JOBS(OTHER_JOB ", " JOB("0", "running", "")),
		{"\"block-job-cancel\",\"arguments\":{\"device\":\"culvert-disk-0\",\"force\":"
		 "true}",
			OK},
		JOBS(OTHER_JOB ", " JOB("0", "concluded", "")), {"\"job-dismiss\"", OK},
		JOBS(OTHER_JOB),
		{"\"query-named-block-nodes\"",
			RETURN("[{\"node-name\": \"two\"}, {\"node-name\": \"culvert-disk-0\"}]")},
		{"\"blockdev-del\",\"arguments\":{\"node-name\":\"culvert-disk-0\"}", OK},
		NO_EXPORTS, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_true(qemu_disks_abandon(qmp));
	close_fake(qmp, fake);
}

static void what_was_served_is_abandoned_with_its_server(void **state)
{
	const struct step steps[] = {GREETING, JOBS(""), NO_NODES,
		{"\"query-block-exports\"", RETURN("[{\"id\": \"culvert-disk-0\"}]")},
		{"\"nbd-server-stop\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qmp *qmp = open_fake(steps, &fake);

	(void)state;
	assert_true(qemu_disks_abandon(qmp));
	close_fake(qmp, fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks_have_the_names_of_their_drives_or_nodes),
		cmocka_unit_test(a_guest_without_disks_and_a_disk_without_a_name_are_told),
		cmocka_unit_test(what_is_told_of_disks_is_understood),
		cmocka_unit_test(what_is_not_disks_is_refused),
		cmocka_unit_test(a_disk_is_there_by_its_name_and_size_or_it_is_told),
		cmocka_unit_test(a_disk_that_cannot_be_served_ends_the_server),
		cmocka_unit_test(copies_are_ready_when_all_are),
		cmocka_unit_test(a_copy_that_failed_or_is_gone_is_told),
		cmocka_unit_test(complete_copies_are_let_go_when_all_are_written),
		cmocka_unit_test(a_copy_that_fails_at_the_end_is_not_complete),
		cmocka_unit_test(what_is_abandoned_is_removed_and_nothing_else),
		cmocka_unit_test(what_was_served_is_abandoned_with_its_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
