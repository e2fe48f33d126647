/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/rendezvous_table.h"
#include "daemon/terms.h"
#include "io/socket.h"

struct fixture {
	char directory[32];
	struct config config;
	struct rendezvous_table *table;
	struct migrations *migrations;
	char token[RENDEZVOUS_TOKEN_CHARACTERS + 1];
	char path[CONFIG_SOCKET_BYTES]; /* where the hypervisor would listen */
	struct terms *terms;            /* of who was connected last, held */
	struct error err;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.directory = "/tmp/rendezvous-XXXXXX"};
	assert_non_null(mkdtemp(fixture.directory));
	fixture.config.runtime_directory = fixture.directory;
	fixture.config.hypervisor_group = getgid();
	fixture.table = rendezvous_table_new(&fixture.config);
	fixture.migrations = migrations_new(NULL);
	assert_int_equal(
		rendezvous_table_add(fixture.table, "hosta", fixture.token, &fixture.err), 0);
	rendezvous_socket_path(&fixture.config, fixture.token, RENDEZVOUS_MIGRATE, fixture.path);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char path[64];

	terms_put(fixture->terms);
	rendezvous_table_free(fixture->table);
	migrations_free(fixture->migrations);
	snprintf(path, sizeof(path), "%s/m", fixture->directory);
	/* Whatever a test has made there is gone with its rendezvous. */
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(fixture->directory), 0);
	return 0;
}

static int listen_at(struct fixture *fixture, const char *path)
{
	int fd = socket_listen_unix(path, 0600, (gid_t)-1, &fixture->err);

	assert_true(fd >= 0);
	return fd;
}

/* "TOKEN" and @rest */
static int connect_as(struct fixture *fixture, const char *peer, const char *rest)
{
	char which[RENDEZVOUS_TOKEN_CHARACTERS + 64];

	snprintf(which, sizeof(which), "%s%s", fixture->token, rest);
	terms_put(fixture->terms);
	fixture->terms = NULL;
	return rendezvous_table_connect(
		fixture->table, peer, which, &fixture->terms, &fixture->err);
}

static void assert_unknown(struct fixture *fixture, const char *peer, const char *rest)
{
	assert_int_equal(connect_as(fixture, peer, rest), -1);
	assert_int_equal(fixture->err.code, ERROR_USAGE);
}

static void its_directory_is_for_the_hypervisor_only(void **state)
{
	struct fixture *fixture = *state;
	struct stat what;

	*strrchr(fixture->path, '/') = '\0';
	assert_int_equal(stat(fixture->path, &what), 0);
	assert_int_equal(what.st_mode & 07777, 02770);
	assert_int_equal(what.st_gid, fixture->config.hypervisor_group);
}

static void the_peer_is_connected_to_who_listens(void **state)
{
	struct fixture *fixture = *state;
	int listener = listen_at(fixture, fixture->path);
	int fd = connect_as(fixture, "hosta", ".migrate");
	int accepted = socket_accept(listener);

	assert_true(fd >= 0);
	assert_true(accepted >= 0);
	close(accepted);
	close(fd);
	close(listener);
}

static void all_that_is_connected_waits_once_the_guest_runs_here(void **state)
{
	struct fixture *fixture = *state;
	int listener = listen_at(fixture, fixture->path);
	int first = connect_as(fixture, "hosta", ".migrate");
	struct terms *terms = terms_hold(fixture->terms);
	int second;

	assert_false(atomic_load(&terms->patient));
	rendezvous_table_await(fixture->table, fixture->token);
	assert_true(atomic_load(&terms->patient));
	second = connect_as(fixture, "hosta", ".migrate");
	assert_true(atomic_load(&fixture->terms->patient));
	/* A channel outlives the place. */
	rendezvous_table_remove(fixture->table, fixture->token);
	rendezvous_table_await(fixture->table, fixture->token);
	assert_true(atomic_load(&terms->patient));
	terms_put(terms);
	close(second);
	close(first);
	close(listener);
}

static void another_peer_finds_nothing(void **state)
{
	struct fixture *fixture = *state;
	int listener = listen_at(fixture, fixture->path);

	assert_unknown(fixture, "hostc", ".migrate");
	assert_int_equal(socket_accept(listener), -1);
	close(listener);
}

static void nothing_but_a_token_and_a_name_is_understood(void **state)
{
	static const char *const rests[] = {
		"", ".", ".migrate.sock", ".other", "/migrate", "/../x", "a.migrate"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++)
		assert_unknown(fixture, "hosta", rests[i]);
	*fixture->token ^= 1;
	assert_unknown(fixture, "hosta", ".migrate");
	memcpy(fixture->token, "../", 3);
	assert_unknown(fixture, "hosta", ".migrate");
}

static void what_connects_runs_under_the_terms_of_its_migration(void **state)
{
	struct fixture *fixture = *state;
	struct terms *terms = terms_new(125000);
	int listener = listen_at(fixture, fixture->path);
	int fd;

	assert_int_equal(
		rendezvous_table_use(fixture->table, "hostc", fixture->token, terms, &fixture->err),
		-1);
	assert_int_equal(fixture->err.code, ERROR_USAGE);
	assert_int_equal(
		rendezvous_table_use(fixture->table, "hosta", "short", terms, &fixture->err), -1);
	assert_int_equal(
		rendezvous_table_use(fixture->table, "hosta", fixture->token, terms, &fixture->err),
		0);
	fd = connect_as(fixture, "hosta", ".migrate");
	assert_true(fd >= 0);
	assert_ptr_equal(fixture->terms, terms);
	terms_put(terms);
	close(fd);
	close(listener);
}

/* Whether the hypervisor sees the end of what has connected, once the channel's end is closed */
static bool sees_end(int accepted)
{
	char byte;

	return read(accepted, &byte, 1) == 0;
}

static void what_is_held_does_not_end_before_it_is_let_go(void **state)
{
	struct fixture *fixture = *state;
	int listener = listen_at(fixture, fixture->path);
	int accepted[2];

	rendezvous_table_hold(fixture->table, fixture->token, true);
	for (int i = 0; i < 2; i++) {
		int fd = connect_as(fixture, "hosta", ".migrate");

		assert_true(fd >= 0);
		accepted[i] = socket_accept(listener);
		close(fd);
		assert_false(sees_end(accepted[i]));
	}
	/* A recovery has no third. */
	assert_int_equal(connect_as(fixture, "hosta", ".migrate"), -1);
	rendezvous_table_hold(fixture->table, fixture->token, false);
	for (int i = 0; i < 2; i++) {
		assert_true(sees_end(accepted[i]));
		close(accepted[i]);
	}
	close(listener);
}

static void a_symbolic_link_leads_nowhere(void **state)
{
	struct fixture *fixture = *state;
	char other[64];
	int listener;

	snprintf(other, sizeof(other), "%s/other.sock", fixture->directory);
	listener = listen_at(fixture, other);
	assert_int_equal(symlink(other, fixture->path), 0);
	assert_int_equal(connect_as(fixture, "hosta", ".migrate"), -1);
	assert_int_equal(fixture->err.code, ERROR_LOCAL);
	assert_int_equal(socket_accept(listener), -1);
	close(listener);
	unlink(other);
}

static void a_hard_link_leads_nowhere(void **state)
{
	struct fixture *fixture = *state;
	char other[64];
	int listener;

	snprintf(other, sizeof(other), "%s/other.sock", fixture->directory);
	listener = listen_at(fixture, other);
	assert_int_equal(link(other, fixture->path), 0);
	assert_int_equal(connect_as(fixture, "hosta", ".migrate"), -1);
	assert_int_equal(socket_accept(listener), -1);
	close(listener);
	unlink(other);
}

static void a_directory_in_it_goes_too(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkdir(fixture->path, 0700), 0);
	rendezvous_table_remove(fixture->table, fixture->token);
	assert_int_equal(access(fixture->path, F_OK), -1);
}

static void what_was_removed_is_unknown_and_gone(void **state)
{
	struct fixture *fixture = *state;
	int listener = listen_at(fixture, fixture->path);

	rendezvous_table_remove(fixture->table, fixture->token);
	assert_unknown(fixture, "hosta", ".migrate");
	assert_int_equal(access(fixture->path, F_OK), -1);
	assert_int_equal(errno, ENOENT);
	close(listener);
}

static void what_a_killed_daemon_left_is_removed(void **state)
{
	struct fixture *fixture = *state;
	int listener = listen_at(fixture, fixture->path);

	rendezvous_directories_sweep(&fixture->config);
	assert_int_equal(access(fixture->path, F_OK), -1);
	close(listener);
}

static void a_source_lets_nobody_write(void **state)
{
	static const char token[] = "00112233445566778899aabbccddeeff";
	struct fixture *fixture = *state;
	char path[CONFIG_SOCKET_BYTES];
	struct stat what;

	assert_int_equal(rendezvous_directory_make(
				 &fixture->config, token, RENDEZVOUS_SOURCE, &fixture->err),
		0);
	assert_int_equal(rendezvous_directory_make(
				 &fixture->config, token, RENDEZVOUS_SOURCE, &fixture->err),
		-1);
	rendezvous_socket_path(&fixture->config, token, RENDEZVOUS_DISKS, path);
	assert_non_null(strstr(path, "/disks.sock"));
	*strrchr(path, '/') = '\0';
	assert_int_equal(stat(path, &what), 0);
	assert_int_equal(what.st_mode & 07777, 0750);
	rendezvous_directory_remove(&fixture->config, token);
	assert_int_equal(stat(path, &what), -1);
}

static struct migration_plan plan(const char *id, const char *vm)
{
	struct migration_plan plan = {.incoming = true, .host = "hosta", .mode = MODE_HYBRID};

	snprintf(plan.id, sizeof(plan.id), "%s", id);
	snprintf(plan.vm, sizeof(plan.vm), "%s", vm);
	snprintf(plan.destination_vm, sizeof(plan.destination_vm), "%s", vm);
	return plan;
}

static void enter(struct fixture *fixture, const char *token, const char *id, const char *vm)
{
	struct migration_plan entered = plan(id, vm);

	assert_int_equal(rendezvous_table_enter(fixture->table, token, fixture->migrations,
				 &entered, &fixture->err),
		0);
	assert_true(rendezvous_table_leads(fixture->table, token));
}

/* The records say: "PHASE GUEST\n" each */
static void assert_listed(struct fixture *fixture, const char *expected)
{
	json_t *list = migrations_list(fixture->migrations);
	char text[200] = "";
	json_t *record;
	size_t i;

	json_array_foreach(list, i, record)
	{
		size_t length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "%s %s\n",
			json_string_value(json_object_get(record, "phase")),
			json_string_value(json_object_get(record, "guest")));
	}
	json_decref(list);
	assert_string_equal(text, expected);
}

static void its_source_says_how_far_the_migration_is_and_how_it_ended(void **state)
{
	struct fixture *fixture = *state;

	enter(fixture, fixture->token, "0badcafe", "web1");
	assert_listed(fixture, "precopy source\n");
	rendezvous_table_await(fixture->table, fixture->token);
	assert_listed(fixture, "postcopy destination\n");
	rendezvous_table_finish(fixture->table, fixture->token, GUEST_DESTINATION, true);
	assert_false(rendezvous_table_leads(fixture->table, fixture->token));
	assert_listed(fixture, "completed destination\n");
	/* Once is the end. */
	rendezvous_table_await(fixture->table, fixture->token);
	rendezvous_table_finish(fixture->table, fixture->token, GUEST_SOURCE, false);
	assert_listed(fixture, "completed destination\n");
}

static void a_migration_whose_source_leaves_without_a_word_ended_nobody_knows_how(void **state)
{
	struct fixture *fixture = *state;

	enter(fixture, fixture->token, "0badcafe", "web1");
	rendezvous_table_remove(fixture->table, fixture->token);
	assert_listed(fixture, "failed unknown\n");
}

static void a_second_rendezvous_takes_the_record_of_the_first(void **state)
{
	struct fixture *fixture = *state;
	char second[RENDEZVOUS_TOKEN_CHARACTERS + 1];

	enter(fixture, fixture->token, "0badcafe", "web1");
	rendezvous_table_await(fixture->table, fixture->token);
	assert_int_equal(rendezvous_table_add(fixture->table, "hosta", second, &fixture->err), 0);
	enter(fixture, second, "0badcafe", "web1");
	assert_false(rendezvous_table_leads(fixture->table, fixture->token));
	assert_true(rendezvous_table_used_up(fixture->table, fixture->token));
	assert_false(rendezvous_table_used_up(fixture->table, second));
	rendezvous_table_remove(fixture->table, fixture->token);
	assert_listed(fixture, "postcopy destination\n");
}

static void another_peer_takes_no_record(void **state)
{
	struct fixture *fixture = *state;
	struct migration_plan entered = plan("0badcafe", "web1");
	char second[RENDEZVOUS_TOKEN_CHARACTERS + 1];

	strcpy(entered.host, "hostc");
	enter(fixture, fixture->token, "0badcafe", "web1");
	assert_int_equal(rendezvous_table_add(fixture->table, "hostc", second, &fixture->err), 0);
	assert_int_equal(rendezvous_table_enter(fixture->table, second, fixture->migrations,
				 &entered, &fixture->err),
		-1);
	assert_int_equal(fixture->err.code, ERROR_USAGE);
	assert_true(rendezvous_table_leads(fixture->table, fixture->token));
	assert_listed(fixture, "precopy source\n");
}

static void a_source_that_has_forgotten_its_migration_can_begin_anew(void **state)
{
	struct fixture *fixture = *state;
	char second[RENDEZVOUS_TOKEN_CHARACTERS + 1];

	enter(fixture, fixture->token, "0badcafe", "web1");
	assert_int_equal(rendezvous_table_add(fixture->table, "hosta", second, &fixture->err), 0);
	enter(fixture, second, "00000001", "web1");
	assert_listed(fixture, "failed unknown\nprecopy source\n");
}

static void a_source_that_comes_back_says_how_it_ended_after_all(void **state)
{
	struct fixture *fixture = *state;
	char second[RENDEZVOUS_TOKEN_CHARACTERS + 1];

	enter(fixture, fixture->token, "0badcafe", "web1");
	rendezvous_table_remove(fixture->table, fixture->token);
	assert_int_equal(rendezvous_table_add(fixture->table, "hosta", second, &fixture->err), 0);
	enter(fixture, second, "0badcafe", "web1");
	rendezvous_table_finish(fixture->table, second, GUEST_SOURCE, false);
	assert_listed(fixture, "failed source\n");
}

static void what_comes_for_a_migration_has_its_terms(void **state)
{
	struct fixture *fixture = *state;
	int listener = listen_at(fixture, fixture->path);
	char which[RENDEZVOUS_TOKEN_CHARACTERS + 64];
	struct terms *terms;
	int fd;

	int before = connect_as(fixture, "hosta", ".migrate");

	enter(fixture, fixture->token, "0badcafe", "web1");
	snprintf(which, sizeof(which), "%s.migrate", fixture->token);
	fd = rendezvous_table_connect(fixture->table, "hosta", which, &terms, &fixture->err);
	assert_true(fd >= 0);
	assert_non_null(terms);
	assert_ptr_not_equal(terms, fixture->terms);
	close(before);
	terms_put(terms);
	close(fd);
	close(listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_directory_is_for_the_hypervisor_only),
		TEST(the_peer_is_connected_to_who_listens),
		TEST(all_that_is_connected_waits_once_the_guest_runs_here),
		TEST(another_peer_finds_nothing),
		TEST(nothing_but_a_token_and_a_name_is_understood),
		TEST(what_connects_runs_under_the_terms_of_its_migration),
		TEST(what_is_held_does_not_end_before_it_is_let_go),
		TEST(a_symbolic_link_leads_nowhere),
		TEST(a_hard_link_leads_nowhere),
		TEST(a_directory_in_it_goes_too),
		TEST(what_was_removed_is_unknown_and_gone),
		TEST(what_a_killed_daemon_left_is_removed),
		TEST(a_source_lets_nobody_write),
		TEST(its_source_says_how_far_the_migration_is_and_how_it_ended),
		TEST(a_migration_whose_source_leaves_without_a_word_ended_nobody_knows_how),
		TEST(a_second_rendezvous_takes_the_record_of_the_first),
		TEST(another_peer_takes_no_record),
		TEST(a_source_that_has_forgotten_its_migration_can_begin_anew),
		TEST(a_source_that_comes_back_says_how_it_ended_after_all),
		TEST(what_comes_for_a_migration_has_its_terms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
