#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fail.h"

#define BACKLOG 4096

/* Longer than any link here is cut for */
#define SILENCE_S 30

union any_address {
	struct sockaddr any;
	struct sockaddr_un local;
	struct sockaddr_in tcp;
};

static socklen_t read_address(const char *text, union any_address *address)
{
	const char *port = strrchr(text, ':');
	char host[64];

	*address = (union any_address){0};
	if (strncmp(text, "unix:", 5) == 0) {
		address->local.sun_family = AF_UNIX;
		snprintf(address->local.sun_path, sizeof(address->local.sun_path), "%s", text + 5);
		return sizeof(address->local);
	}
	if (strncmp(text, "tcp:", 4) != 0 || port < text + 4)
		fail("no address: %s", text);
	snprintf(host, sizeof(host), "%.*s", (int)(port - text - 4), text + 4);
	address->tcp.sin_family = AF_INET;
	address->tcp.sin_port = htons((uint16_t)atoi(port + 1));
	if (inet_pton(AF_INET, host, &address->tcp.sin_addr) != 1)
		fail("no address: %s", text);
	return sizeof(address->tcp);
}

static void enter(const char *name_space)
{
	int fd;

	if (!name_space)
		return;
	fd = open(name_space, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		fail("cannot enter %s: %s", name_space, strerror(errno));
	close(fd);
}

static void tune(int fd, const union any_address *address)
{
	struct timeval silence = {.tv_sec = SILENCE_S};
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	if (address->any.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int make(
	const char *text, const char *name_space, union any_address *address, socklen_t *length)
{
	int on = 1;
	int fd;

	*length = read_address(text, address);
	enter(name_space);
	fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	tune(fd, address);
	return fd;
}

int endpoint_listen(const char *address, const char *name_space)
{
	union any_address place;
	socklen_t length;
	int fd = make(address, name_space, &place, &length);

	if (place.any.sa_family == AF_UNIX)
		(void)unlink(place.local.sun_path);
	if (bind(fd, &place.any, length) < 0 || listen(fd, BACKLOG) < 0)
		fail("cannot listen on %s: %s", address, strerror(errno));
	if (place.any.sa_family == AF_UNIX)
		(void)chmod(place.local.sun_path, 0777);
	return fd;
}

int endpoint_connect(const char *address, const char *name_space)
{
	union any_address place;
	socklen_t length;
	int fd = make(address, name_space, &place, &length);

	if (connect(fd, &place.any, length) < 0)
		fail("cannot connect to %s: %s", address, strerror(errno));
	return fd;
}

int endpoint_accept(int listener)
{
	union any_address place = {0};
	socklen_t length = sizeof(place);
	int fd = accept4(listener, &place.any, &length, SOCK_CLOEXEC);

	if (fd < 0)
		fail("nobody came through the tunnel: %s", strerror(errno));
	tune(fd, &place);
	return fd;
}

void endpoint_write(int fd, const void *data, size_t length)
{
	struct iovec piece = {(void *)data, length};

	endpoint_write_pieces(fd, &piece, 1);
}

void endpoint_write_pieces(int fd, struct iovec *pieces, size_t count)
{
	while (count > 0) {
		struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
		ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
		size_t rest = (size_t)sent;

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			fail("cannot send: %s", strerror(errno));
		for (; count > 0 && rest >= pieces->iov_len; pieces++, count--)
			rest -= pieces->iov_len;
		if (count > 0) {
			pieces->iov_base = (char *)pieces->iov_base + rest;
			pieces->iov_len -= rest;
		}
	}
}

size_t endpoint_read_some(int fd, void *data, size_t size)
{
	for (;;) {
		ssize_t got = recv(fd, data, size, 0);

		if (got >= 0)
			return (size_t)got;
		if (errno != EINTR)
			fail("cannot receive: %s", strerror(errno));
	}
}

int endpoint_read(int fd, void *data, size_t length)
{
	size_t have = 0;

	while (have < length) {
		size_t got = endpoint_read_some(fd, (char *)data + have, length - have);

		if (got == 0 && have == 0)
			return 0;
		if (got == 0)
			fail("the stream ended early");
		have += got;
	}
	return 1;
}
