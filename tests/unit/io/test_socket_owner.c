/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "io/socket_owner.h"

#define NOBODY 65534

struct fixture {
	int listener;
	int accepted;
	int client;
	struct sockaddr_in address;
	struct error err;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	socklen_t length = sizeof(fixture.address);

	fixture = (struct fixture){.accepted = -1,
		.client = -1,
		.address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("127.77.0.2")}};
	fixture.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fixture.listener >= 0);
	assert_int_equal(bind(fixture.listener, (struct sockaddr *)&fixture.address, length), 0);
	assert_int_equal(listen(fixture.listener, 4), 0);
	assert_int_equal(
		getsockname(fixture.listener, (struct sockaddr *)&fixture.address, &length), 0);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	fd_close(&fixture->listener);
	fd_close(&fixture->accepted);
	fd_close(&fixture->client);
	return 0;
}

static int connect_here(const struct fixture *fixture)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
		connect(fd, (const struct sockaddr *)&fixture->address, sizeof(fixture->address)) <
			0)
		return -1;
	return fd;
}

static void accept_it(struct fixture *fixture)
{
	fixture->accepted = accept(fixture->listener, NULL, NULL);
	assert_true(fixture->accepted >= 0);
}

static void ones_own_connection_is_ones_own(void **state)
{
	struct fixture *fixture = *state;
	uid_t uid = NOBODY;

	fixture->client = connect_here(fixture);
	accept_it(fixture);
	assert_int_equal(socket_owner_find(fixture->accepted, &uid, &fixture->err), 0);
	assert_int_equal(uid, geteuid());
}

/* It holds the connection until @stop is closed. */
static pid_t connect_as_nobody(const struct fixture *fixture, int *stop)
{
	int pipe_ends[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(pipe_ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(pipe_ends[1]);
		if (setuid(NOBODY) < 0 || connect_here(fixture) < 0)
			_exit(1);
		_exit(read(pipe_ends[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(pipe_ends[0]);
	*stop = pipe_ends[1];
	return child;
}

static void another_users_connection_is_that_users(void **state)
{
	struct fixture *fixture = *state;
	uid_t uid = 0;
	int status;
	int stop;
	pid_t child;

	if (geteuid() != 0) {
		print_message("only root can be somebody else: not tested\n");
		skip();
	}
	child = connect_as_nobody(fixture, &stop);
	accept_it(fixture);
	assert_int_equal(socket_owner_find(fixture->accepted, &uid, &fixture->err), 0);
	close(stop);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(uid, NOBODY);
}

/* The kernel calls such a socket root's. */
static void who_has_closed_it_is_nobody(void **state)
{
	struct fixture *fixture = *state;
	uid_t uid = NOBODY;

	fixture->client = connect_here(fixture);
	assert_int_equal(send(fixture->client, "x", 1, 0), 1);
	fd_close(&fixture->client);
	accept_it(fixture);
	assert_int_equal(socket_owner_find(fixture->accepted, &uid, &fixture->err), -1);
	assert_non_null(strstr(fixture->err.message, "closed"));
	assert_int_equal(uid, NOBODY);
}

static void what_is_not_tcp_has_no_owner(void **state)
{
	struct fixture *fixture = *state;
	uid_t uid;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fixture->accepted = pair[0];
	fixture->client = pair[1];
	assert_int_equal(socket_owner_find(pair[0], &uid, &fixture->err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ones_own_connection_is_ones_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			another_users_connection_is_that_users, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_closed_it_is_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_tcp_has_no_owner, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("io/socket_owner", tests, NULL, NULL);
}
