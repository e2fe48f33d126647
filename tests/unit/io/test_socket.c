/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "io/socket.h"

#define DEADLINE_MS 10000

static void wait_for(int fd, short events)
{
	struct pollfd wanted = {.fd = fd, .events = events};

	assert_int_equal(poll(&wanted, 1, DEADLINE_MS), 1);
}

static void assert_non_blocking_and_private(int fd)
{
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* A listener on a free port of 127.0.0.1 */
static int listen_somewhere(struct sockaddr_in *address)
{
	struct addrinfo where = {.ai_family = AF_INET,
		.ai_addr = (struct sockaddr *)address,
		.ai_addrlen = sizeof(*address)};
	socklen_t length = sizeof(*address);
	struct error err;
	int fd;

	*address = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	fd = socket_listen(&where, &err);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &length), 0);
	return fd;
}

static int connect_to(struct sockaddr_in *address, struct error *err)
{
	return socket_connect((const struct sockaddr *)address, sizeof(*address), err);
}

static void a_connection_is_made_without_blocking(void **state)
{
	struct sockaddr_in address;
	CLEANUP_FD int listener = listen_somewhere(&address);
	struct error err;
	CLEANUP_FD int fd = connect_to(&address, &err);
	CLEANUP_FD int accepted = -1;

	(void)state;
	assert_true(fd >= 0);
	assert_non_blocking_and_private(fd);
	wait_for(listener, POLLIN);
	accepted = socket_accept(listener);
	assert_true(accepted >= 0);
	assert_non_blocking_and_private(accepted);
	wait_for(fd, POLLOUT);
	assert_int_equal(socket_connected(fd, &err), 0);
}

static void a_refused_connection_is_the_fault_of_the_link(void **state)
{
	struct sockaddr_in address;
	struct error err;
	CLEANUP_FD int fd = -1;

	(void)state;
	close(listen_somewhere(&address));
	fd = connect_to(&address, &err);
	if (fd >= 0) {
		wait_for(fd, POLLOUT);
		assert_int_equal(socket_connected(fd, &err), -1);
	}
	assert_int_equal(err.code, ERROR_LINK);
	assert_non_null(strstr(err.message, "refused"));
}

static void nobody_waiting_is_no_error(void **state)
{
	struct sockaddr_in address;
	CLEANUP_FD int listener = listen_somewhere(&address);

	(void)state;
	assert_int_equal(socket_accept(listener), -1);
	assert_int_equal(errno, EAGAIN);
}

static int option(int fd, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, name, &value, &length), 0);
	return value;
}

static void both_ends_of_a_link_queue_little(void **state)
{
	struct sockaddr_in address;
	CLEANUP_FD int listener = listen_somewhere(&address);
	struct error err;
	CLEANUP_FD int fd = connect_to(&address, &err);
	CLEANUP_FD int accepted = -1;

	(void)state;
	wait_for(listener, POLLIN);
	accepted = socket_accept(listener);
	assert_int_equal(option(fd, TCP_NOTSENT_LOWAT), SOCKET_UNSENT_BYTES);
	assert_int_equal(option(accepted, TCP_NOTSENT_LOWAT), SOCKET_UNSENT_BYTES);
	assert_true(option(fd, TCP_NODELAY));
	assert_true(option(accepted, TCP_NODELAY));
	socket_set_patience(fd, 3500);
	assert_int_equal(option(fd, TCP_USER_TIMEOUT), 3500);
}

static void a_link_that_is_not_read_has_no_room(void **state)
{
	struct sockaddr_in address;
	CLEANUP_FD int listener = listen_somewhere(&address);
	struct error err;
	CLEANUP_FD int fd = connect_to(&address, &err);
	CLEANUP_FD int accepted = -1;
	static char bytes[65536];

	(void)state;
	wait_for(listener, POLLIN);
	accepted = socket_accept(listener);
	assert_true(socket_link_has_room(fd));
	while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
	assert_false(socket_link_has_room(fd));
}

static void a_port_in_use_is_named(void **state)
{
	struct sockaddr_in address;
	CLEANUP_FD int listener = listen_somewhere(&address);
	struct addrinfo where = {.ai_family = AF_INET,
		.ai_addr = (struct sockaddr *)&address,
		.ai_addrlen = sizeof(address)};
	struct error err;
	char text[80];

	(void)state;
	socket_address_text(where.ai_addr, where.ai_addrlen, text, sizeof(text));
	assert_int_equal(socket_listen(&where, &err), -1);
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, text));
	assert_non_null(strstr(err.message, "in use"));
}

static void the_end_of_a_hypervisor_takes_little(void **state)
{
	static char bytes[65536];
	struct error err;
	int pair[2];
	size_t taken_bytes = 0;
	ssize_t sent;

	(void)state;
	assert_int_equal(socket_pair(pair, &err), 0);
	assert_non_blocking_and_private(pair[0]);
	assert_non_blocking_and_private(pair[1]);
	socket_tune_hypervisor(pair[1]);
	while ((sent = send(pair[1], bytes, sizeof(bytes), MSG_NOSIGNAL)) > 0)
		taken_bytes += (size_t)sent;
	assert_in_range(taken_bytes, 1, 65536);
	close(pair[0]);
	close(pair[1]);
}

struct place {
	char directory[64];
	char path[80];
};

static int set_up_place(void **state)
{
	static struct place place;

	snprintf(place.directory, sizeof(place.directory), "/tmp/culvert-test-XXXXXX");
	assert_non_null(mkdtemp(place.directory));
	snprintf(place.path, sizeof(place.path), "%s/s", place.directory);
	*state = &place;
	return 0;
}

static int tear_down_place(void **state)
{
	struct place *place = *state;

	(void)unlink(place->path);
	return rmdir(place->directory);
}

static void a_unix_listener_has_the_mode_that_was_asked_for(void **state)
{
	struct place *place = *state;
	struct error err;
	CLEANUP_FD int fd = socket_listen_unix(place->path, 0660, getgid(), &err);
	CLEANUP_FD int client = socket_connect_unix(place->path, &err);
	struct stat facts;

	assert_non_blocking_and_private(fd);
	assert_int_equal(stat(place->path, &facts), 0);
	assert_int_equal(facts.st_mode & 07777, 0660);
	assert_true(client >= 0);
}

static void a_stale_unix_socket_is_replaced(void **state)
{
	struct place *place = *state;
	struct error err;
	CLEANUP_FD int fd = -1;

	close(socket_listen_unix(place->path, 0600, getgid(), &err));
	fd = socket_listen_unix(place->path, 0600, getgid(), &err);
	assert_true(fd >= 0);
}

static void a_unix_socket_in_use_is_not_replaced(void **state)
{
	struct place *place = *state;
	struct error err;
	CLEANUP_FD int fd = socket_listen_unix(place->path, 0600, getgid(), &err);

	assert_int_equal(socket_listen_unix(place->path, 0600, getgid(), &err), -1);
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, place->path));
	assert_null(strstr(err.message, "culvertd"));
	assert_int_equal(errno, EADDRINUSE);
}

static void a_unix_path_too_long_is_named_with_the_limit(void **state)
{
	char path[200];
	struct error err;

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(socket_listen_unix(path, 0600, getgid(), &err), -1);
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, "too long"));
	assert_non_null(strstr(err.message, "108"));
}

static void a_unix_socket_that_is_not_there_is_named(void **state)
{
	struct place *place = *state;
	struct error err;

	assert_int_equal(socket_connect_unix(place->path, &err), -1);
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, place->path));
}

static void a_name_that_does_not_resolve_is_the_fault_of_the_link(void **state)
{
	struct host_port where = {.host = "no-such-host.invalid", .port = "1"};
	struct error err;

	(void)state;
	assert_null(socket_resolve(&where, false, &err));
	assert_int_equal(err.code, ERROR_LINK);
	assert_non_null(strstr(err.message, "no-such-host.invalid"));
}

static void an_address_to_listen_on_that_does_not_resolve_is_local(void **state)
{
	struct host_port where = {.host = "no-such-host.invalid", .port = "1"};
	struct error err;

	(void)state;
	assert_null(socket_resolve(&where, true, &err));
	assert_int_equal(err.code, ERROR_LOCAL);
}

static void an_ipv6_address_is_written_in_brackets(void **state)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
		.sin6_port = htons(16520)};
	char text[80];

	(void)state;
	socket_address_text((struct sockaddr *)&address, sizeof(address), text, sizeof(text));
	assert_string_equal(text, "[::1]:16520");
}

static void an_ipv4_address_is_written_with_its_port(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(16520)};
	char text[80];

	(void)state;
	socket_address_text((struct sockaddr *)&address, sizeof(address), text, sizeof(text));
	assert_string_equal(text, "127.0.0.1:16520");
}

#define TEST_WITH_PLACE(name) cmocka_unit_test_setup_teardown(name, set_up_place, tear_down_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_made_without_blocking),
		cmocka_unit_test(a_refused_connection_is_the_fault_of_the_link),
		cmocka_unit_test(nobody_waiting_is_no_error),
		cmocka_unit_test(both_ends_of_a_link_queue_little),
		cmocka_unit_test(a_link_that_is_not_read_has_no_room),
		cmocka_unit_test(a_port_in_use_is_named),
		cmocka_unit_test(the_end_of_a_hypervisor_takes_little),
		TEST_WITH_PLACE(a_unix_listener_has_the_mode_that_was_asked_for),
		TEST_WITH_PLACE(a_stale_unix_socket_is_replaced),
		TEST_WITH_PLACE(a_unix_socket_in_use_is_not_replaced),
		cmocka_unit_test(a_unix_path_too_long_is_named_with_the_limit),
		TEST_WITH_PLACE(a_unix_socket_that_is_not_there_is_named),
		cmocka_unit_test(a_name_that_does_not_resolve_is_the_fault_of_the_link),
		cmocka_unit_test(an_address_to_listen_on_that_does_not_resolve_is_local),
		cmocka_unit_test(an_ipv6_address_is_written_in_brackets),
		cmocka_unit_test(an_ipv4_address_is_written_with_its_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
