#include "daemon/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/arrival.h"
#include "daemon/control_server.h"
#include "daemon/forward.h"
#include "daemon/loopback.h"
#include "io/socket.h"

/* Of addresses for peers, and the control socket; each forward and each port of a loopback has one
 * more. */
#define LISTENERS_MOST 64
/* Connections accepted in one turn, so that signals are seen whoever connects */
#define ACCEPTS_MOST 64

struct listener {
	struct daemon *daemon;
	int fd;
	int spare_fd; /* given up to turn a connection away when there are no descriptors left */
	uv_poll_t poll;
	void (*take)(struct daemon *daemon, int fd);
	/* or one of these instead of take */
	const struct config_forward *forward;
	const struct config_peer *loopback;
	uint16_t port; /* of loopback */
};

struct listeners {
	struct daemon *daemon;
	struct loop *loop;
	struct listener *all;
	size_t count;
	size_t most;
	char control_path[256]; /* empty: it is not ours */
	size_t forward_count;   /* whose sockets are ours to remove */
};

/* What waits in the backlog would keep the loop busy without end. @returns whether one was closed
 */
static bool turn_away(struct listener *listener)
{
	int fd;

	fd_close(&listener->spare_fd);
	fd = socket_accept(listener->fd);
	if (fd >= 0) {
		close(fd);
		log_event_limited(LOG_WARNING, "connection.refused",
			"reason=\"no file descriptors left: raise LimitNOFILE of culvertd\"");
	}
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

static void take(struct listener *listener, int fd)
{
	struct daemon *daemon = listener->daemon;

	if (listener->forward)
		forward_serve(daemon, listener->forward, fd);
	else if (listener->loopback)
		loopback_serve(daemon->loopbacks, listener->loopback, listener->port, fd);
	else
		listener->take(daemon, fd);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;

	(void)status;
	(void)events;
	for (int turn = 0; turn < ACCEPTS_MOST; turn++) {
		int fd = socket_accept(listener->fd);

		if (fd >= 0) {
			take(listener, fd);
		} else if (errno == EMFILE || errno == ENFILE) {
			if (!turn_away(listener))
				return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

/* @returns what to fill in, or NULL with @fd closed */
static struct listener *listen_on(struct listeners *listeners, int fd, struct error *err)
{
	struct listener *listener = &listeners->all[listeners->count];

	if (listeners->count == listeners->most ||
		uv_poll_init(loop_uv(listeners->loop), &listener->poll, fd) != 0) {
		close(fd);
		error_set(err, ERROR_LOCAL, "too many addresses to listen on");
		return NULL;
	}
	listeners->count++;
	listener->daemon = listeners->daemon;
	listener->fd = fd;
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listener->poll.data = listener;
	uv_poll_start(&listener->poll, UV_READABLE, on_connection);
	return listener;
}

static int add_listener(struct listeners *listeners, int fd,
	void (*take_connection)(struct daemon *daemon, int fd), struct error *err)
{
	struct listener *listener = listen_on(listeners, fd, err);

	if (!listener)
		return -1;
	listener->take = take_connection;
	return 0;
}

static int listen_for_forwards(struct listeners *listeners, struct error *err)
{
	const struct config *config = listeners->daemon->config;

	for (; listeners->forward_count < config->forward_count; listeners->forward_count++) {
		const struct config_forward *forward = &config->forwards[listeners->forward_count];
		int fd = socket_listen_unix(forward->listen, 0660, forward->group, err);
		struct listener *listener = fd < 0 ? NULL : listen_on(listeners, fd, err);

		if (!listener)
			return error_prefix(err, "[forward %s]", forward->name);
		listener->forward = forward;
	}
	return 0;
}

static int listen_for_loopback(
	struct listeners *listeners, const struct config_peer *peer, struct error *err)
{
	size_t count = config_loopback_ports(&peer->loopback);

	for (size_t i = 0; i < count; i++) {
		uint16_t port = (uint16_t)(peer->loopback.first_port + i);
		int fd = loopback_listen(peer, port, err);
		struct listener *listener = fd < 0 ? NULL : listen_on(listeners, fd, err);

		if (!listener)
			return error_prefix(err, "[peer %s] loopback", peer->name);
		listener->loopback = peer;
		listener->port = port;
	}
	return 0;
}

static int listen_for_loopbacks(struct listeners *listeners, struct error *err)
{
	const struct config *config = listeners->daemon->config;

	for (size_t i = 0; i < config->peer_count; i++) {
		if (listen_for_loopback(listeners, &config->peers[i], err) < 0)
			return -1;
	}
	return 0;
}

static size_t count_listeners(const struct config *config)
{
	size_t most = LISTENERS_MOST + config->forward_count;

	for (size_t i = 0; i < config->peer_count; i++)
		most += config_loopback_ports(&config->peers[i].loopback);
	return most;
}

static int listen_for_peers(struct listeners *listeners, struct error *err)
{
	const struct config_addresses *listen = &listeners->daemon->config->listen;

	for (size_t i = 0; i < listen->count; i++) {
		struct addrinfo *found = socket_resolve(&listen->list[i], true, err);

		if (!found)
			return -1;
		for (struct addrinfo *address = found; address; address = address->ai_next) {
			int fd = socket_listen(address, err);

			if (fd < 0 || add_listener(listeners, fd, arrival_serve, err) < 0) {
				freeaddrinfo(found);
				return -1;
			}
		}
		freeaddrinfo(found);
	}
	return 0;
}

static int make_directory(const char *path, struct error *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_errno(err, "cannot make %s", path);
	return 0;
}

static int make_peer_directories(const struct config *config, struct error *err)
{
	char path[CONFIG_SOCKET_BYTES];

	snprintf(path, sizeof(path), "%s/peers", config->runtime_directory);
	if (make_directory(path, err) < 0)
		return -1;
	for (size_t i = 0; i < config->peer_count; i++) {
		config_libvirt_path(config, &config->peers[i], path);
		if (!*path)
			continue; /* too long, and no forward leads there */
		*strrchr(path, '/') = '\0';
		if (make_directory(path, err) < 0)
			return -1;
	}
	return 0;
}

static int listen_for_clients(struct listeners *listeners, struct error *err)
{
	const struct config *config = listeners->daemon->config;
	char path[sizeof(listeners->control_path)];
	int fd;

	if (make_directory(config->runtime_directory, err) < 0 ||
		make_directory(config->qmp_directory, err) < 0 ||
		make_peer_directories(config, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/control.sock", config->runtime_directory);
	errno = 0;
	fd = socket_listen_unix(path, 0660, config->control_group, err);
	if (fd < 0 && errno == EADDRINUSE)
		return error_set(err, ERROR_LOCAL,
			"somebody listens on %s already: is culvertd running twice?", path);
	if (fd < 0)
		return -1;
	/* From here on the socket is ours to remove; before, it may be another culvertd's. */
	memcpy(listeners->control_path, path, sizeof(path));
	return add_listener(listeners, fd, control_server_accept, err);
}

struct listeners *listeners_new(struct daemon *daemon, struct loop *loop, struct error *err)
{
	struct listeners *listeners = calloc(1, sizeof(*listeners));

	if (!listeners) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	listeners->daemon = daemon;
	listeners->loop = loop;
	listeners->most = count_listeners(daemon->config);
	listeners->all = calloc(listeners->most, sizeof(*listeners->all));
	if (!listeners->all) {
		free(listeners);
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	return listeners;
}

int listeners_open(struct listeners *listeners, struct error *err)
{
	if (listen_for_peers(listeners, err) < 0 || listen_for_clients(listeners, err) < 0 ||
		listen_for_forwards(listeners, err) < 0 || listen_for_loopbacks(listeners, err) < 0)
		return -1;
	return 0;
}

void listeners_remove_sockets(const struct listeners *listeners)
{
	if (*listeners->control_path)
		(void)unlink(listeners->control_path);
	for (size_t i = 0; i < listeners->forward_count; i++)
		(void)unlink(listeners->daemon->config->forwards[i].listen);
}

void listeners_free(struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		close(listeners->all[i].fd);
		fd_close(&listeners->all[i].spare_fd);
	}
	free(listeners->all);
	free(listeners);
}
