/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake_qmp.h"
#include "hypervisor/qemu.h"

#define RETURN(text) "{\"return\": " text ", \"id\": $ID}\r\n"
#define REFUSE(words)                                                                              \
	"{\"error\": {\"class\": \"GenericError\", \"desc\": \"" words "\"}, \"id\": $ID}\r\n"
#define EVENT(status)           "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"" status "\"}}\r\n"
#define CAPABILITY(name, state) "{\"capability\": \"" name "\", \"state\": " state "}"

#define MIGRATION(answer)                                                                          \
	{                                                                                          \
		"\"query-migrate\"", RETURN(answer)                                                \
	}
#define STATUS(status, running)                                                                    \
	{                                                                                          \
		"\"query-status\"",                                                                \
			RETURN("{\"status\": \"" status "\", \"running\": " running "}")           \
	}
#define CAPABILITIES                                                                               \
	{                                                                                          \
		"\"query-migrate-capabilities\"",                                                  \
			RETURN("[" CAPABILITY("events", "false") ", " CAPABILITY(                  \
				"return-path", "false") ", " CAPABILITY("postcopy-ram",            \
				"false") ", " CAPABILITY("multifd",                                \
				"true") ", " CAPABILITY("x-new", "true") "]")                      \
	}
#define WANTED                                                                                     \
	"[{\"capability\":\"events\",\"state\":true},"                                             \
	"{\"capability\":\"return-path\",\"state\":true},"                                         \
	"{\"capability\":\"postcopy-ram\",\"state\":true},"                                        \
	"{\"capability\":\"multifd\",\"state\":false}]"
#define FOUND                                                                                      \
	"[{\"capability\":\"events\",\"state\":false},"                                            \
	"{\"capability\":\"return-path\",\"state\":false},"                                        \
	"{\"capability\":\"postcopy-ram\",\"state\":false},"                                       \
	"{\"capability\":\"multifd\",\"state\":true}]"
#define PARAMETERS                                                                                 \
	{                                                                                          \
		"\"query-migrate-parameters\"",                                                    \
			RETURN("{\"max-bandwidth\": 134217728, \"max-postcopy-bandwidth\": 5, "    \
			       "\"downtime-limit\": 300}")                                         \
	}
#define WANTED_PARAMETERS "{\"max-bandwidth\":9223372036853727232,\"max-postcopy-bandwidth\":0}"
#define FOUND_PARAMETERS  "{\"max-bandwidth\":134217728,\"max-postcopy-bandwidth\":5}"

/* What a source says when it is prepared for post-copy. */
#define PREPARED                                                                                   \
	GREETING, MIGRATION("{}"), STATUS("running", "true"), CAPABILITIES, {WANTED, OK},          \
		PARAMETERS,                                                                        \
	{                                                                                          \
		WANTED_PARAMETERS, OK                                                              \
	}
#define STARTED                                                                                    \
	PREPARED, {"\"getfd\"", OK},                                                               \
	{                                                                                          \
		"\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:", OK                         \
	}

static char directory[64];
static char path[96];
static struct error err;
static const struct streams plain;

static struct qemu *open_fake(const struct step *steps, struct fake_qmp **fake)
{
	struct qemu *qemu;

	*fake = fake_qmp_listen(steps, path);
	qemu = qemu_open(directory, "web1", &err);
	if (!qemu)
		print_error("%s\n", err.message);
	assert_non_null(qemu);
	return qemu;
}

static void close_fake(struct qemu *qemu, struct fake_qmp *fake)
{
	int passed;

	qemu_free(qemu);
	passed = fake_qmp_finish(fake);
	if (passed >= 0)
		close(passed);
}

static struct qemu *open_started(const struct step *steps, struct fake_qmp **fake)
{
	struct qemu *qemu = open_fake(steps, fake);
	int null = open("/dev/null", O_RDONLY);

	assert_int_equal(qemu_prepare(qemu, ROLE_SOURCE, MODE_HYBRID, &plain, NULL, &err), 0);
	assert_int_equal(qemu_attach(qemu, null, &err), 0);
	close(null);
	assert_int_equal(qemu_start(qemu, &err), 0);
	return qemu;
}

static void refuses_to_prepare(
	const struct step *steps, enum migration_role role, const char *other, const char *message)
{
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	assert_int_equal(qemu_prepare(qemu, role, MODE_HYBRID, &plain, other, &err), -1);
	close_fake(qemu, fake);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	if (!strstr(err.message, message))
		fail_msg("'%s' is not in: %s", message, err.message);
}

static void a_name_that_is_a_path_is_refused(void **state)
{
	(void)state;
	assert_null(qemu_open(directory, "../web1", &err));
	assert_int_equal(err.code, ERROR_USAGE);
}

static void an_unknown_machine_is_told_with_those_that_exist(void **state)
{
	char other[96];

	(void)state;
	snprintf(other, sizeof(other), "%s/db7.sock", directory);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	unlink(path);
	assert_null(qemu_open(directory, "web1", &err));
	unlink(other);
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, "db7"));
	assert_non_null(strstr(err.message, "-qmp unix:"));
}

static void a_socket_that_nobody_listens_on_is_told(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	unlink(path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_null(qemu_open(directory, "web1", &err));
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, "not running"));
}

static void the_version_comes_from_the_greeting(void **state)
{
	const struct step steps[] = {GREETING, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_string_equal(qemu_version(qemu), "7.2.22");
	close_fake(qemu, fake);
}

static void an_older_destination_is_refused(void **state)
{
	const struct step steps[] = {GREETING, DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_SOURCE, "7.1.9", "older (7.1)");
	refuses_to_prepare(steps, ROLE_DESTINATION, "8.0.0", "older (7.2)");
}

static void a_version_from_the_other_host_that_is_none_is_its_fault(void **state)
{
	const struct step steps[] = {GREETING, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_prepare(qemu, ROLE_SOURCE, MODE_HYBRID, &plain, "new", &err), -1);
	assert_int_equal(err.code, ERROR_PEER);
	close_fake(qemu, fake);
}

static void another_patch_level_is_no_older_version(void **state)
{
	const struct step steps[] = {PREPARED, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_prepare(qemu, ROLE_SOURCE, MODE_HYBRID, &plain, "7.2.0", &err), 0);
	close_fake(qemu, fake);
}

static void a_paused_source_is_refused(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{}"), STATUS("paused", "false"), DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_SOURCE, NULL, "resume it");
}

static void a_source_that_migrates_already_is_refused(void **state)
{
	const struct step steps[] = {
		GREETING, MIGRATION("{\"status\": \"active\"}"), STATUS("running", "true"), DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_SOURCE, NULL, "already migrating");
}

static void a_source_that_is_still_cancelling_is_refused(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{\"status\": \"cancelling\"}"),
		STATUS("running", "true"), DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_SOURCE, NULL, "already migrating");
}

static void a_running_destination_is_refused(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{}"), STATUS("running", "true"), DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_DESTINATION, NULL, "-incoming defer");
}

static void a_destination_that_listens_by_itself_is_refused(void **state)
{
	const struct step steps[] = {GREETING,
		MIGRATION("{\"socket-address\": [{\"port\": \"4444\", \"type\": \"inet\"}]}"),
		STATUS("inmigrate", "false"), DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_DESTINATION, NULL, "already listens");
}

static void a_missing_capability_is_named_and_nothing_is_set(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{}"), STATUS("running", "true"),
		{"\"query-migrate-capabilities\"", RETURN("[" CAPABILITY("events", "false") "]")},
		DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_SOURCE, NULL, "'return-path'");
}

static void post_copy_refused_by_the_kernel_names_the_remedy(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{}"), STATUS("inmigrate", "false"),
		CAPABILITIES, {WANTED, REFUSE("Postcopy is not supported")}, {FOUND, OK}, DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_DESTINATION, NULL, "vm.unprivileged_userfaultfd=1");
}

static void refused_parameters_restore_the_capabilities(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{}"), STATUS("running", "true"),
		CAPABILITIES, {WANTED, OK}, PARAMETERS, {WANTED_PARAMETERS, REFUSE("no")},
		{FOUND, OK}, {FOUND_PARAMETERS, OK}, DONE};

	(void)state;
	refuses_to_prepare(steps, ROLE_SOURCE, NULL, "no");
}

static void pre_copy_leaves_post_copy_off(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{}"), STATUS("inmigrate", "false"),
		CAPABILITIES,
		{"[{\"capability\":\"events\",\"state\":true},"
		 "{\"capability\":\"return-path\",\"state\":true},"
		 "{\"capability\":\"multifd\",\"state\":false}]",
			OK},
		DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_prepare(qemu, ROLE_DESTINATION, MODE_PRECOPY, &plain, NULL, &err), 0);
	close_fake(qemu, fake);
}

static void a_release_before_the_start_undoes_everything(void **state)
{
	const struct step steps[] = {PREPARED, {"\"getfd\"", OK}, {"\"closefd\"", OK}, {FOUND, OK},
		{FOUND_PARAMETERS, OK}, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_prepare(qemu, ROLE_SOURCE, MODE_HYBRID, &plain, NULL, &err), 0);
	assert_int_equal(qemu_attach(qemu, 0, &err), 0);
	qemu_release(qemu);
	close_fake(qemu, fake);
}

static void a_release_during_a_migration_changes_nothing(void **state)
{
	const struct step steps[] = {STARTED, MIGRATION("{\"status\": \"active\"}"), DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_started(steps, &fake);

	(void)state;
	qemu_release(qemu);
	close_fake(qemu, fake);
}

static void a_release_after_a_failure_restores_what_was_found(void **state)
{
	const struct step steps[] = {STARTED, MIGRATION("{\"status\": \"failed\"}"),
		{"\"query-yank\"", RETURN("[{\"type\": \"chardev\", \"id\": \"c\"}]")}, {FOUND, OK},
		{FOUND_PARAMETERS, OK}, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_started(steps, &fake);

	(void)state;
	qemu_release(qemu);
	close_fake(qemu, fake);
}

static void a_release_before_qemu_has_cleaned_up_changes_nothing(void **state)
{
	const struct step steps[] = {STARTED, MIGRATION("{\"status\": \"failed\"}"),
		{"\"query-yank\"", RETURN("[{\"type\": \"migration\"}]")}, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_started(steps, &fake);

	(void)state;
	qemu_release(qemu);
	close_fake(qemu, fake);
}

static void a_query_returns_at_once_after_an_event(void **state)
{
	const struct step steps[] = {STARTED, {NULL, EVENT("setup") EVENT("active")},
		MIGRATION("{\"status\": \"active\", \"expected-downtime\": 250, \"total-time\": 9, "
			  "\"ram\": {\"total\": 1000, \"remaining\": 400, \"transferred\": 600, "
			  "\"mbps\": 8.0, \"dirty-pages-rate\": 3, \"page-size\": 4096, "
			  "\"dirty-sync-count\": 2, \"postcopy-requests\": 5}}"),
		DONE};
	struct migration_figures figures;
	struct fake_qmp *fake;
	struct qemu *qemu = open_started(steps, &fake);

	(void)state;
	assert_int_equal(qemu_query(qemu, 600000, &figures, &err), 0);
	close_fake(qemu, fake);
	assert_int_equal(figures.state, MIGRATION_PRECOPY);
	assert_string_equal(figures.status, "active");
	assert_int_equal(figures.ram_total_bytes, 1000);
	assert_int_equal(figures.ram_remaining_bytes, 400);
	assert_int_equal(figures.ram_transferred_bytes, 600);
	assert_int_equal(figures.rate_bytes_per_s, 1000000);
	assert_int_equal(figures.dirty_rate_bytes_per_s, 12288);
	assert_int_equal(figures.pass_count, 2);
	assert_int_equal(figures.page_requests, 5);
	assert_int_equal(figures.expected_downtime_ms, 250);
	assert_int_equal(figures.downtime_limit_ms, 300);
	assert_int_equal(figures.total_ms, 9);
}

/* The figures that a source with @answer has. */
static struct migration_figures figures_of(const char *answer)
{
	const struct step steps[] = {GREETING, {"\"query-migrate\"", answer}, DONE};
	struct migration_figures figures;
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	assert_int_equal(qemu_query(qemu, 0, &figures, &err), 0);
	close_fake(qemu, fake);
	return figures;
}

static void an_unknown_status_is_another_state(void **state)
{
	struct migration_figures figures =
		figures_of(RETURN("{\"status\": \"a-status-of-the-far-future-that-is-too-long\"}"));

	(void)state;
	assert_int_equal(figures.state, MIGRATION_OTHER);
	assert_memory_equal(figures.status, "a-status-of-the-far-future-that", 32);
}

static void a_failure_without_figures_has_its_reason(void **state)
{
	struct migration_figures figures =
		figures_of(RETURN("{\"status\": \"failed\", \"error-desc\": \"broken pipe\"}"));

	(void)state;
	assert_int_equal(figures.state, MIGRATION_FAILED);
	assert_string_equal(figures.reason, "broken pipe");
	assert_int_equal(figures.ram_total_bytes, 0);
}

static void an_answer_without_a_status_has_not_begun(void **state)
{
	struct migration_figures figures = figures_of(RETURN("{}"));

	(void)state;
	assert_int_equal(figures.state, MIGRATION_NONE);
	assert_string_equal(figures.status, "none");
}

static void figures_of_a_wrong_type_are_zero(void **state)
{
	struct migration_figures figures = figures_of(RETURN(
		"{\"status\": 4, \"downtime\": -1, \"ram\": {\"total\": \"x\", \"mbps\": 1e300}}"));

	(void)state;
	assert_int_equal(figures.state, MIGRATION_NONE);
	assert_int_equal(figures.downtime_ms, 0);
	assert_int_equal(figures.ram_total_bytes, 0);
	assert_int_equal(figures.rate_bytes_per_s, 0);
}

static void every_known_status_has_its_state(void **state)
{
	static const struct {
		const char *answer;
		enum migration_state expected;
	} known[] = {
		{RETURN("{\"status\": \"setup\"}"), MIGRATION_SETUP},
		{RETURN("{\"status\": \"device\"}"), MIGRATION_PRECOPY},
		{RETURN("{\"status\": \"pre-switchover\"}"), MIGRATION_PRECOPY},
		{RETURN("{\"status\": \"postcopy-active\"}"), MIGRATION_POSTCOPY},
		{RETURN("{\"status\": \"postcopy-paused\"}"), MIGRATION_PAUSED},
		{RETURN("{\"status\": \"postcopy-recover-setup\"}"), MIGRATION_PAUSED},
		{RETURN("{\"status\": \"postcopy-recover\"}"), MIGRATION_PAUSED},
		{RETURN("{\"status\": \"completed\"}"), MIGRATION_COMPLETED},
		{RETURN("{\"status\": \"cancelling\"}"), MIGRATION_CANCELLED},
		{RETURN("{\"status\": \"cancelled\"}"), MIGRATION_CANCELLED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(figures_of(known[i].answer).state, known[i].expected);
}

static void a_failed_query_leaves_the_figures(void **state)
{
	const struct step steps[] = {GREETING, {"\"query-migrate\"", NULL}, DONE};
	struct migration_figures figures = {.pass_count = 77};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_query(qemu, 0, &figures, &err), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	assert_true(qemu_gone(qemu));
	assert_int_equal(figures.pass_count, 77);
	close_fake(qemu, fake);
}

static void a_second_switch_asks_qemu_no_more(void **state)
{
	const struct step steps[] = {STARTED, {"\"migrate-start-postcopy\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_started(steps, &fake);

	(void)state;
	assert_int_equal(qemu_switch_to_postcopy(qemu, &err), 0);
	assert_int_equal(qemu_switch_to_postcopy(qemu, &err), 0);
	close_fake(qemu, fake);
}

static void cancel_is_refused_after_the_switch(void **state)
{
	const struct step steps[] = {STARTED, {"\"migrate-start-postcopy\"", OK},
		MIGRATION("{\"status\": \"active\"}"), DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_started(steps, &fake);

	(void)state;
	assert_int_equal(qemu_switch_to_postcopy(qemu, &err), 0);
	assert_int_equal(qemu_cancel(qemu, &err), -1);
	assert_int_equal(err.code, ERROR_HYPERVISOR);
	assert_non_null(strstr(err.message, "post-copy has begun"));
	close_fake(qemu, fake);
}

static void cancel_is_refused_while_post_copy_is_paused(void **state)
{
	const struct step steps[] = {
		GREETING, MIGRATION("{\"status\": \"postcopy-paused\"}"), DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_cancel(qemu, &err), -1);
	close_fake(qemu, fake);
}

static void cancel_reaches_qemu_in_pre_copy(void **state)
{
	const struct step steps[] = {
		STARTED, MIGRATION("{\"status\": \"active\"}"), {"\"migrate_cancel\"", OK}, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_started(steps, &fake);

	(void)state;
	assert_int_equal(qemu_cancel(qemu, &err), 0);
	close_fake(qemu, fake);
}

static void a_start_on_another_incoming_names_the_remedy(void **state)
{
	const struct step steps[] = {GREETING, MIGRATION("{}"), STATUS("inmigrate", "false"),
		CAPABILITIES, {WANTED, OK},
		{"\"migrate-incoming\"", REFUSE("The incoming migration has already been started")},
		DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_prepare(qemu, ROLE_DESTINATION, MODE_HYBRID, &plain, NULL, &err), 0);
	assert_int_equal(qemu_start(qemu, &err), -1);
	assert_non_null(strstr(err.message, "-incoming defer"));
	close_fake(qemu, fake);
}

static void quit_returns_when_qemu_has_closed(void **state)
{
	const struct step steps[] = {
		GREETING, {"\"quit\"", OK "{\"event\": \"SHUTDOWN\"}\r\n"}, {NULL, NULL}, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_quit(qemu, &err), 0);
	assert_true(qemu_gone(qemu));
	close_fake(qemu, fake);
}

static void quit_without_an_answer_is_done_too(void **state)
{
	const struct step steps[] = {GREETING, {"\"quit\"", NULL}, DONE};
	struct fake_qmp *fake;
	struct qemu *qemu = open_fake(steps, &fake);

	(void)state;
	assert_int_equal(qemu_quit(qemu, &err), 0);
	close_fake(qemu, fake);
}

static int make_directory(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/culvert-test-qemu-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/web1.sock", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_is_a_path_is_refused),
		cmocka_unit_test(an_unknown_machine_is_told_with_those_that_exist),
		cmocka_unit_test(a_socket_that_nobody_listens_on_is_told),
		cmocka_unit_test(the_version_comes_from_the_greeting),
		cmocka_unit_test(an_older_destination_is_refused),
		cmocka_unit_test(a_version_from_the_other_host_that_is_none_is_its_fault),
		cmocka_unit_test(another_patch_level_is_no_older_version),
		cmocka_unit_test(a_paused_source_is_refused),
		cmocka_unit_test(a_source_that_migrates_already_is_refused),
		cmocka_unit_test(a_source_that_is_still_cancelling_is_refused),
		cmocka_unit_test(a_running_destination_is_refused),
		cmocka_unit_test(a_destination_that_listens_by_itself_is_refused),
		cmocka_unit_test(a_missing_capability_is_named_and_nothing_is_set),
		cmocka_unit_test(post_copy_refused_by_the_kernel_names_the_remedy),
		cmocka_unit_test(refused_parameters_restore_the_capabilities),
		cmocka_unit_test(pre_copy_leaves_post_copy_off),
		cmocka_unit_test(a_release_before_the_start_undoes_everything),
		cmocka_unit_test(a_release_during_a_migration_changes_nothing),
		cmocka_unit_test(a_release_after_a_failure_restores_what_was_found),
		cmocka_unit_test(a_release_before_qemu_has_cleaned_up_changes_nothing),
		cmocka_unit_test(a_query_returns_at_once_after_an_event),
		cmocka_unit_test(an_unknown_status_is_another_state),
		cmocka_unit_test(a_failure_without_figures_has_its_reason),
		cmocka_unit_test(an_answer_without_a_status_has_not_begun),
		cmocka_unit_test(figures_of_a_wrong_type_are_zero),
		cmocka_unit_test(every_known_status_has_its_state),
		cmocka_unit_test(a_failed_query_leaves_the_figures),
		cmocka_unit_test(a_second_switch_asks_qemu_no_more),
		cmocka_unit_test(cancel_is_refused_after_the_switch),
		cmocka_unit_test(cancel_is_refused_while_post_copy_is_paused),
		cmocka_unit_test(cancel_reaches_qemu_in_pre_copy),
		cmocka_unit_test(a_start_on_another_incoming_names_the_remedy),
		cmocka_unit_test(quit_returns_when_qemu_has_closed),
		cmocka_unit_test(quit_without_an_answer_is_done_too),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
