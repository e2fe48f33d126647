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
#include "io/socket.h"

struct fixture {
	char directory[32];
	struct config config;
	struct rendezvous_table *table;
	char token[RENDEZVOUS_TOKEN_CHARACTERS + 1];
	char path[CONFIG_SOCKET_BYTES]; /* where the hypervisor would listen */
	struct terms *terms;            /* of what was connected last */
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

	rendezvous_table_free(fixture->table);
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
	terms_put(fixture->terms);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_directory_is_for_the_hypervisor_only),
		TEST(the_peer_is_connected_to_who_listens),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
