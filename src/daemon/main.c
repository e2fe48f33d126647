#include <getopt.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/conversation.h"
#include "daemon/daemon.h"
#include "daemon/keep.h"
#include "daemon/listeners.h"
#include "daemon/loopback.h"
#include "daemon/restore.h"

#define DEFAULT_CONFIG "/etc/culvert/culvert.conf"
#define STOP_TURN_MS   100
/* After the last word, threads notice within a turn or two. */
#define LAST_WORDS_MS 3000
/* libvirt ends a migration some calls after its streams */
#define LIBVIRT_MS    30000
#define LAST_TURNS_MS 12000

/* The main loop: it accepts connections, takes signals and turns the scheduler; all else is done by
 * others. */
struct server {
	struct daemon daemon;
	struct loop *loop;
	struct listeners *listeners;
	uv_signal_t terminate;
	uv_signal_t interrupt;
	uv_timer_t stop_timer;
	uint64_t libvirt_until_ms; /* 0: none of its migrations was seen to end */
};

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
	if (RAND_bytes(daemon->run, sizeof(daemon->run)) != 1)
		return error_set(err, ERROR_LOCAL, "no randomness");
	daemon->offers = offers_new();
	daemon->channels = channel_table_new();
	daemon->incoming = incoming_table_new();
	daemon->rendezvous = rendezvous_table_new(daemon->config);
	daemon->loopbacks = loopbacks_new(daemon);
	if (!daemon->loopbacks)
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
	server->listeners = listeners_new(daemon, server->loop, err);
	if (!server->listeners || listeners_open(server->listeners, err) < 0)
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
	if (server->listeners)
		listeners_remove_sockets(server->listeners);
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
	if (server->listeners)
		listeners_free(server->listeners);
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
