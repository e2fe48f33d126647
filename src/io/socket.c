#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/descriptor.h"

#define HYPERVISOR_SEND_BUFFER_BYTES 32768
/* Of a link whose peer is not known yet */
#define USER_TIMEOUT_MS 20000

static void set_option(int fd, int level, int name, int value)
{
	/* Tuning: a kernel that lacks an option still carries the stream. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

struct addrinfo *socket_resolve(const struct host_port *where, bool passive, struct error *err)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : AI_ADDRCONFIG};
	struct addrinfo *found = NULL;
	int code = getaddrinfo(where->host, where->port, &hints, &found);

	if (code != 0) {
		error_set(err, passive ? ERROR_LOCAL : ERROR_LINK, "cannot resolve %s: %s",
			where->host, gai_strerror(code));
		return NULL;
	}
	return found;
}

int socket_listen(const struct addrinfo *address, struct error *err)
{
	CLEANUP_FD int fd = -1;
	char text[80];

	socket_address_text(address->ai_addr, address->ai_addrlen, text, sizeof(text));
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, "cannot make a socket for %s", text);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (address->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, 256) < 0)
		return error_errno(err, "cannot listen on %s", text);
	return fd_take(&fd);
}

static void tune_link(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, SOCKET_UNSENT_BYTES);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

int socket_connect(const struct sockaddr *address, socklen_t length, struct error *err)
{
	CLEANUP_FD int fd =
		socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_errno(err, "cannot make a socket");
	tune_link(fd);
	if (connect(fd, address, length) < 0 && errno != EINPROGRESS)
		return error_set(err, ERROR_LINK, "cannot connect: %s", strerror(errno));
	return fd_take(&fd);
}

int socket_connected(int fd, struct error *err)
{
	int code = 0;
	socklen_t length = sizeof(code);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
		return error_errno(err, "cannot read a socket's state");
	if (code != 0)
		return error_set(err, ERROR_LINK, "cannot connect: %s", strerror(code));
	return 0;
}

int socket_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		tune_link(fd);
	return fd;
}

bool socket_link_has_room(int fd)
{
	int unsent = 0;

	return ioctl(fd, SIOCOUTQNSD, &unsent) < 0 || unsent < SOCKET_UNSENT_BYTES;
}

bool socket_link_state(int fd, struct socket_state *state)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return false;
	state->acknowledged_bytes = info.tcpi_bytes_acked;
	state->in_flight_us = info.tcpi_busy_time;
	state->round_trip_us = info.tcpi_rtt;
	state->round_trip_least_us = info.tcpi_min_rtt;
	return true;
}

void socket_set_pacing(int fd, uint64_t bytes_per_s)
{
	unsigned long rate = bytes_per_s < ULONG_MAX ? (unsigned long)bytes_per_s : ULONG_MAX;

	(void)setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

void socket_set_patience(int fd, uint64_t patience_ms)
{
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		patience_ms < INT_MAX ? (int)patience_ms : INT_MAX);
}

int socket_pair(int pair[2], struct error *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return error_errno(err, "cannot make a socketpair");
	return 0;
}

void socket_tune_hypervisor(int fd)
{
	set_option(fd, SOL_SOCKET, SO_SNDBUF, HYPERVISOR_SEND_BUFFER_BYTES);
}

static int unix_address(const char *path, struct sockaddr_un *address, struct error *err)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(err, ERROR_LOCAL,
			"%s is too long for a unix socket: choose a path under %zu bytes", path,
			sizeof(address->sun_path));
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

int socket_connect_unix(const char *path, struct error *err)
{
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (unix_address(path, &address, err) < 0)
		return -1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_errno(err, "cannot connect to %s", path);
	return fd_take(&fd);
}

int socket_listen_unix(const char *path, mode_t mode, gid_t group, struct error *err)
{
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	struct error ignored;
	CLEANUP_FD int other = -1;

	if (fd < 0)
		return error_errno(err, "cannot make a socket");
	if (unix_address(path, &address, err) < 0)
		return -1;
	other = socket_connect_unix(path, &ignored);
	if (other >= 0 || errno == EAGAIN) {
		errno = EADDRINUSE;
		return error_set(err, ERROR_LOCAL, "somebody listens on %s already", path);
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, "cannot replace %s", path);
	/* Nobody may connect before mode and group are right. */
	if (fchmod(fd, 0) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		chown(path, (uid_t)-1, group) < 0 || chmod(path, mode) < 0 || listen(fd, 64) < 0)
		return error_errno(err, "cannot listen on %s", path);
	return fd_take(&fd);
}

void socket_address_text(const struct sockaddr *address, socklen_t length, char *text, size_t size)
{
	char host[64];
	char port[8];

	if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, size, "unknown");
	else
		snprintf(text, size, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
			port);
}
