#include "relay.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The content type of the TLS record that an opener begins with; all that follow have another. */
enum { TLS_CLIENT_HELLO = 22 };

static void reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* @returns whether there was anything */
static bool pass(int from, int to)
{
	unsigned char bytes[65536];
	ssize_t got = recv(from, bytes, sizeof(bytes), 0);

	return got > 0 && send(to, bytes, (size_t)got, MSG_NOSIGNAL) == got;
}

/* A black hole: nobody is told anything */
static void hold(const struct relay *relay, int opener)
{
	struct pollfd watched[2] = {
		{.fd = opener, .events = POLLRDHUP}, {.fd = relay->stop[0], .events = POLLIN}};

	(void)poll(watched, 2, -1);
}

/* Until the fault, an end, or relay_stop() */
static void carry(struct relay *relay, int opener, int acceptor, enum relay_fault fault)
{
	struct pollfd watched[3] = {{.fd = opener, .events = POLLIN},
		{.fd = acceptor, .events = POLLIN}, {.fd = relay->stop[0], .events = POLLIN}};
	bool asked = false;
	unsigned char first = 0;

	while (poll(watched, 3, -1) > 0 && watched[2].revents == 0) {
		if (atomic_load(&relay->stalled)) {
			hold(relay, opener);
			atomic_store(&relay->stalled, false);
			return;
		}
		if (watched[1].revents) {
			if (asked && fault == RELAY_LOSES_ANSWER)
				return;
			if (!pass(acceptor, opener))
				return;
		}
		if (watched[0].revents) {
			asked = recv(opener, &first, 1, MSG_PEEK) == 1 && first != TLS_CLIENT_HELLO;
			if ((asked && fault == RELAY_LOSES_QUESTION) || !pass(opener, acceptor))
				return;
		}
	}
}

static void *relay_all(void *argument)
{
	struct relay *relay = argument;
	struct pollfd watched[2] = {{.fd = relay->listener, .events = POLLIN},
		{.fd = relay->stop[0], .events = POLLIN}};

	while (poll(watched, 2, -1) > 0 && watched[1].revents == 0) {
		int opener = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
		int acceptor = hosts_connect(relay->hosts);
		unsigned count = atomic_fetch_add(&relay->connection_count, 1);

		carry(relay, opener, acceptor,
			count < RELAY_FAULTS_MOST ? relay->faults[count] : RELAY_PASSES);
		reset(opener);
		reset(acceptor);
	}
	return NULL;
}

void relay_start(struct relay *relay, struct hosts *hosts)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	*relay = (struct relay){.hosts = hosts};
	relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(relay->listener, 16), 0);
	assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &length), 0);
	snprintf(hosts->a.peers[0].addresses.list[0].port, 6, "%u", ntohs(address.sin_port));
	assert_int_equal(pipe2(relay->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&relay->thread, NULL, relay_all, relay), 0);
}

void relay_stop(struct relay *relay)
{
	close(relay->stop[1]);
	pthread_join(relay->thread, NULL);
	close(relay->stop[0]);
	close(relay->listener);
}
