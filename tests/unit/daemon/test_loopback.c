/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/descriptor.h"
#include "daemon/loopback.h"
#include "io/socket.h"

#define PORT 49300

/* The same place is a peer's loopback for who listens, and migration_address for who connects. */
struct fixture {
	struct config_peer peer;
	int listener;
	int connected;
	struct error err;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.connected = -1,
		.peer.loopback = {.address.s_addr = inet_addr("127.77.9.9"),
			.first_port = PORT,
			.last_port = PORT + 1}};
	fixture.listener = loopback_listen(&fixture.peer, PORT, &fixture.err);
	if (fixture.listener < 0)
		fail_msg("%s", fixture.err.message);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	fd_close(&fixture->listener);
	fd_close(&fixture->connected);
	return 0;
}

static int connect_port(struct fixture *fixture, const char *port)
{
	fixture->connected = loopback_connect(&fixture->peer.loopback, port, &fixture->err);
	return fixture->connected;
}

static void who_listens_at_the_port_is_reached(void **state)
{
	struct fixture *fixture = *state;
	struct pollfd wanted = {.fd = fixture->listener, .events = POLLIN};
	CLEANUP_FD int accepted = -1;

	assert_true(connect_port(fixture, "49300") >= 0);
	assert_int_equal(poll(&wanted, 1, 10000), 1);
	accepted = socket_accept(fixture->listener);
	assert_true(accepted >= 0);
	assert_int_equal(send(accepted, "x", 1, 0), 1);
	wanted.fd = fixture->connected;
	assert_int_equal(poll(&wanted, 1, 10000), 1);
	assert_int_equal(socket_connected(fixture->connected, &fixture->err), 0);
}

/* A QEMU that reads nothing for half a minute is not gone. */
static void a_hypervisor_may_be_patient(void **state)
{
	struct fixture *fixture = *state;
	int patience_ms = -1;
	socklen_t length = sizeof(patience_ms);

	assert_true(connect_port(fixture, "49300") >= 0);
	assert_int_equal(getsockopt(fixture->connected, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms,
				 &length),
		0);
	assert_int_equal(patience_ms, 0);
}

static void where_nobody_listens_that_is_said(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(connect_port(fixture, "49301"), -1);
	assert_int_equal(fixture->err.code, ERROR_LINK);
	assert_non_null(strstr(fixture->err.message, "no hypervisor waits there at port 49301"));
}

static void what_is_no_port_of_the_range_is_refused_and_not_repeated(void **state)
{
	static const char *const ports[] = {"49299", "49302", "22", "", "49300x", "-1", "\"x", "0"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		assert_int_equal(connect_port(fixture, ports[i]), -1);
		assert_int_equal(fixture->err.code, ERROR_USAGE);
		assert_string_equal(fixture->err.message,
			"there migrations have ports 49300-49301: see migration_address there");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			who_listens_at_the_port_is_reached, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_hypervisor_may_be_patient, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			where_nobody_listens_that_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_no_port_of_the_range_is_refused_and_not_repeated, set_up,
			tear_down),
	};

	return cmocka_run_group_tests_name("daemon/loopback", tests, NULL, NULL);
}
