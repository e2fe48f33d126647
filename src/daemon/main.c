#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/arrival.h"
#include "daemon/control_server.h"
#include "daemon/conversation.h"
#include "daemon/daemon.h"
#include "daemon/forward.h"
#include "daemon/keep.h"
#include "daemon/loopback.h"
#include "daemon/restore.h"
#include "io/socket.h"

#define DEFAULT_CONFIG "/etc/culvert/culvert.conf"
/* Of addresses for peers, and the control socket; each forward and each port of a loopback has one
 * more. */
#define LISTENERS_MOST 64
#define STOP_TURN_MS   100
/* Connections accepted in one turn, so that signals are seen whoever connects */
#define ACCEPTS_MOST 64
/* After the last word, threads notice within a turn or two. */
#define LAST_WORDS_MS 3000
/* libvirt ends a migration some calls after its streams */
#define LIBVIRT_MS    30000
#define LAST_TURNS_MS 12000

struct listener {
	struct server *server;
	int fd;
	int spare_fd; /* given up to turn a connection away when there are no descriptors left */
	uv_poll_t poll;
	void (*take)(struct daemon *daemon, int fd);
	/* or one of these instead of take */
	const struct config_forward *forward;
	const struct config_peer *loopback;
	uint16_t port; /* of loopback */
};

/* The main loop: it accepts connections, takes signals and turns the scheduler; all else is done by
 * others. */
struct server {
	struct daemon daemon;
	struct loop *loop;
	struct listener *listeners;
	size_t listener_count;
	size_t listener_most;
	uv_signal_t terminate;
	uv_signal_t interrupt;
	uv_timer_t stop_timer;
	char control_path[256];
	uint64_t libvirt_until_ms; /* 0: none of its migrations was seen to end */
	size_t forward_count;      /* whose sockets are ours to remove */
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
	struct daemon *daemon = &listener->server->daemon;

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
static struct listener *listen_on(struct server *server, int fd, struct error *err)
{
	struct listener *listener = &server->listeners[server->listener_count];

	if (server->listener_count == server->listener_most ||
		uv_poll_init(loop_uv(server->loop), &listener->poll, fd) != 0) {
		close(fd);
		error_set(err, ERROR_LOCAL, "too many addresses to listen on");
		return NULL;
	}
	server->listener_count++;
	listener->server = server;
	listener->fd = fd;
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listener->poll.data = listener;
	uv_poll_start(&listener->poll, UV_READABLE, on_connection);
	return listener;
}

static int add_listener(struct server *server, int fd,
	void (*take_connection)(struct daemon *daemon, int fd), struct error *err)
{
	struct listener *listener = listen_on(server, fd, err);

	if (!listener)
		return -1;
	listener->take = take_connection;
	return 0;
}

static int listen_for_forwards(struct server *server, struct error *err)
{
	const struct config *config = server->daemon.config;

	for (; server->forward_count < config->forward_count; server->forward_count++) {
		const struct config_forward *forward = &config->forwards[server->forward_count];
		int fd = socket_listen_unix(forward->listen, 0660, forward->group, err);
		struct listener *listener = fd < 0 ? NULL : listen_on(server, fd, err);

		if (!listener)
			return error_prefix(err, "[forward %s]", forward->name);
		listener->forward = forward;
	}
	return 0;
}

static int listen_for_loopback(
	struct server *server, const struct config_peer *peer, struct error *err)
{
	size_t count = config_loopback_ports(&peer->loopback);

	for (size_t i = 0; i < count; i++) {
		uint16_t port = (uint16_t)(peer->loopback.first_port + i);
		int fd = loopback_listen(peer, port, err);
		struct listener *listener = fd < 0 ? NULL : listen_on(server, fd, err);

		if (!listener)
			return error_prefix(err, "[peer %s] loopback", peer->name);
		listener->loopback = peer;
		listener->port = port;
	}
	return 0;
}

static int listen_for_loopbacks(struct server *server, struct error *err)
{
	const struct config *config = server->daemon.config;

	for (size_t i = 0; i < config->peer_count; i++) {
		if (listen_for_loopback(server, &config->peers[i], err) < 0)
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

static void remove_forwards(const struct server *server)
{
	for (size_t i = 0; i < server->forward_count; i++)
		(void)unlink(server->daemon.config->forwards[i].listen);
}

static int listen_for_peers(struct server *server, struct error *err)
{
	const struct config_addresses *listen = &server->daemon.config->listen;

	for (size_t i = 0; i < listen->count; i++) {
		struct addrinfo *found = socket_resolve(&listen->list[i], true, err);

		if (!found)
			return -1;
		for (struct addrinfo *address = found; address; address = address->ai_next) {
			int fd = socket_listen(address, err);

			if (fd < 0 || add_listener(server, fd, arrival_serve, err) < 0) {
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

static int listen_for_clients(struct server *server, struct error *err)
{
	const struct config *config = server->daemon.config;
	char path[sizeof(server->control_path)];
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
	memcpy(server->control_path, path, sizeof(path));
	return add_listener(server, fd, control_server_accept, err);
}

/* Streams of libvirt's migrations; and when there were some, what libvirt still has to say. */
static bool awaits_libvirt(struct server *server)
{
	const struct daemon *daemon = &server->daemon;
	unsigned streams = 0;
	unsigned others = 0;

	for (unsigned i = 0; i < daemon->worker_count; i++) {
		streams += atomic_load(&daemon->workers[i]->awaited_count);
		others += atomic_load(&daemon->workers[i]->libvirt_count);
	}
	if (streams > 0)
		server->libvirt_until_ms = clock_deadline_ms(LIBVIRT_MS);
	return streams > 0 || (others > 0 && clock_left_ms(server->libvirt_until_ms) > 0);
}

/* No new work; what can be ended safely ends; then the loop. Post-copy is waited for. */
static void on_stop_timer(uv_timer_t *timer)
{
	struct server *server = timer->data;

	if ((migrations_running(server->daemon.migrations) > 0 || awaits_libvirt(server)) &&
		!atomic_load(&server->daemon.ending))
		return;
	uv_timer_stop(timer);
	loop_stop(server->loop);
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct server *server = signal->data;
	struct daemon *daemon = &server->daemon;
	size_t running = migrations_running(daemon->migrations);

	if (atomic_load(&daemon->stopping)) {
		log_event(LOG_WARNING, "ending", "signal=%d migrations=%zu", number, running);
		atomic_store(&daemon->ending, true);
		return;
	}
	log_event(LOG_NOTICE, "stopping", "signal=%d migrations=%zu", number, running);
	atomic_store(&daemon->stopping, true);
	uv_timer_start(&server->stop_timer, on_stop_timer, 0, STOP_TURN_MS);
}

static void add_signal(struct server *server, uv_signal_t *signal, int number)
{
	uv_signal_init(loop_uv(server->loop), signal);
	signal->data = server;
	uv_signal_start(signal, on_signal, number);
}

/* Every channel needs two descriptors, and an operator should not have to think of it. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int start_workers(struct daemon *daemon, struct error *err)
{
	unsigned wanted = uv_available_parallelism();

	if (wanted > WORKERS_MOST)
		wanted = WORKERS_MOST;
	while (daemon->worker_count < wanted) {
		struct worker *worker = worker_new(&daemon->budget, err);

		if (!worker)
			return -1;
		daemon->workers[daemon->worker_count++] = worker;
	}
	return 0;
}

static int start(struct server *server, const char *config_path, struct error *err)
{
	struct daemon *daemon = &server->daemon;

	daemon->config = config_load(config_path, err);
	if (!daemon->config)
		return -1;
	daemon->tls = tls_context_new(config_roles(daemon->config), daemon->config->ca,
		daemon->config->certificate, daemon->config->key, err);
	if (!daemon->tls)
		return error_prefix(err, "%s", config_path);
	budget_init(&daemon->budget, daemon->config->replay_memory_bytes);
	daemon->offers = offers_new();
	daemon->channels = channel_table_new();
	daemon->incoming = incoming_table_new();
	daemon->rendezvous = rendezvous_table_new(daemon->config);
	daemon->loopbacks = loopbacks_new(daemon);
	server->listener_most = count_listeners(daemon->config);
	server->listeners = calloc(server->listener_most, sizeof(*server->listeners));
	if (!server->listeners || !daemon->loopbacks)
		return error_set(err, ERROR_LOCAL, "no memory");
	server->loop = loop_new(err);
	if (!server->loop)
		return -1;
	daemon->scheduler = scheduler_new(server->loop, daemon->config->bandwidth_limit);
	if (!daemon->scheduler)
		return error_set(err, ERROR_LOCAL, "no memory");
	daemon->migrations = migrations_new(daemon->scheduler);
	if (start_workers(daemon, err) < 0)
		return -1;
	uv_timer_init(loop_uv(server->loop), &server->stop_timer);
	server->stop_timer.data = server;
	add_signal(server, &server->terminate, SIGTERM);
	add_signal(server, &server->interrupt, SIGINT);
	if (listen_for_peers(server, err) < 0 || listen_for_clients(server, err) < 0 ||
		listen_for_forwards(server, err) < 0 || listen_for_loopbacks(server, err) < 0)
		return -1;
	/* The control socket is ours: no other culvertd has any. */
	rendezvous_directories_sweep(daemon->config);
	restore_migrations(daemon);
	keep_start();
	return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle) && handle->type != UV_ASYNC)
		uv_close(handle, NULL);
}

static void stop(struct server *server)
{
	struct daemon *daemon = &server->daemon;

	atomic_store(&daemon->stopping, true);
	atomic_store(&daemon->ending, true);
	if (*server->control_path)
		(void)unlink(server->control_path);
	remove_forwards(server);
	if (!conversations_wait(LAST_TURNS_MS)) {
		/* A thread waits for a hypervisor that does not answer: nothing is freed under it.
		 */
		log_event(LOG_WARNING, "stopped", "clean=no");
		_exit(EXIT_SUCCESS);
	}
	/* What the conversations said last still passes: a peer may wait for it. */
	for (unsigned i = 0; i < daemon->worker_count; i++)
		(void)worker_drain(daemon->workers[i], LAST_WORDS_MS / daemon->worker_count);
	workers_stop(daemon->workers, daemon->worker_count);
	if (server->loop) {
		uv_walk(loop_uv(server->loop), close_handle, NULL);
		loop_free(server->loop);
	}
	for (size_t i = 0; i < server->listener_count; i++) {
		close(server->listeners[i].fd);
		fd_close(&server->listeners[i].spare_fd);
	}
	free(server->listeners);
	if (daemon->channels)
		channel_table_free(daemon->channels);
	if (daemon->incoming)
		incoming_table_free(daemon->incoming);
	if (daemon->rendezvous)
		rendezvous_table_free(daemon->rendezvous);
	if (daemon->loopbacks)
		loopbacks_free(daemon->loopbacks);
	if (daemon->offers)
		offers_free(daemon->offers);
	if (daemon->migrations)
		migrations_free(daemon->migrations);
	if (daemon->scheduler)
		scheduler_free(daemon->scheduler);
	tls_context_free(daemon->tls);
	config_free(daemon->config);
}

static void usage(FILE *stream)
{
	fprintf(stream,
		"usage: culvertd [--config FILE] [--check] [--debug]\n\n"
		"  --config FILE  default " DEFAULT_CONFIG "\n"
		"  --check        read the configuration and the certificates, then exit\n"
		"  --debug        log debug lines\n"
		"  --version\n\n"
		"Logs to stderr. SIGTERM stops: new migrations are refused, pre-copy is\n"
		"cancelled (the guest stays on its source), post-copy is finished first;\n"
		"a second SIGTERM does not wait.\n");
}

/* @returns an exit status, or -1 to go on */
static int read_options(int count, char **words, const char **config_path, bool *check)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"debug", no_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	int option;

	while ((option = getopt_long(count, words, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			*config_path = optarg;
			break;
		case 'k':
			*check = true;
			break;
		case 'd':
			log_set_level(LOG_DEBUG);
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'v':
			printf("culvertd " CULVERT_VERSION "\n");
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < count) {
		usage(stderr);
		return 2;
	}
	return -1;
}

static int check_only(const char *config_path)
{
	struct error err;
	struct config *config = config_load(config_path, &err);
	struct tls_context *tls = config ? tls_context_new(config_roles(config), config->ca,
						   config->certificate, config->key, &err)
					 : NULL;
	bool good = tls != NULL;

	if (config && !tls)
		error_prefix(&err, "%s", config_path);
	if (good)
		printf("%s: good; this host is '%s' and knows %zu peers\n", config_path,
			config->name, config->peer_count);
	else
		fprintf(stderr, "culvertd: %s\n", err.message);
	tls_context_free(tls);
	config_free(config);
	return good ? EXIT_SUCCESS : 3;
}

int main(int count, char **words)
{
	static struct server server;
	const char *config_path = DEFAULT_CONFIG;
	bool check = false;
	int status = read_options(count, words, &config_path, &check);
	struct error err;

	if (status >= 0)
		return status;
	if (check)
		return check_only(config_path);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	if (start(&server, config_path, &err) < 0) {
		log_event(LOG_ERROR, "start.failed", "reason=\"%s\"", err.message);
		stop(&server);
		return err.code == ERROR_USAGE ? 2 : 3;
	}
	log_event(LOG_NOTICE, "ready", "host=%s version=%s peers=%zu workers=%u",
		server.daemon.config->name, CULVERT_VERSION, server.daemon.config->peer_count,
		server.daemon.worker_count);
	loop_run(server.loop);
	stop(&server);
	log_event(LOG_NOTICE, "stopped", "clean=yes");
	return EXIT_SUCCESS;
}
