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
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/arrival.h"
#include "daemon/conversation.h"
#include "hosts.h"
#include "io/socket.h"

static void set_deadline(int fd)
{
	struct timeval deadline = {.tv_sec = HOSTS_DEADLINE_MS / 1000};

	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline));
}

static void *accept_all(void *argument)
{
	struct hosts *hosts = argument;
	struct pollfd watched[2] = {{.fd = hosts->listener, .events = POLLIN},
		{.fd = hosts->stop[0], .events = POLLIN}};

	while (poll(watched, 2, -1) >= 0 && watched[1].revents == 0) {
		int fd = socket_accept(hosts->listener);
		int before;

		if (fd < 0)
			continue;
		pthread_mutex_lock(&hosts->accepting);
		if (hosts->deaf) {
			close(fd);
		} else {
			before = atomic_exchange(&hosts->accepted_fd, dup(fd));
			if (before >= 0)
				close(before);
			arrival_serve(&hosts->b.daemon, fd);
		}
		pthread_mutex_unlock(&hosts->accepting);
	}
	return NULL;
}

static void listen_somewhere(struct hosts *hosts)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct addrinfo where = {.ai_family = AF_INET,
		.ai_addr = (struct sockaddr *)&address,
		.ai_addrlen = sizeof(address)};
	socklen_t length = sizeof(address);
	struct error err;

	hosts->listener = socket_listen(&where, &err);
	assert_true(hosts->listener >= 0);
	assert_int_equal(getsockname(hosts->listener, where.ai_addr, &length), 0);
	snprintf(hosts->port, sizeof(hosts->port), "%u", ntohs(address.sin_port));
}

static void fill_in_peer(struct config_peer *peer, const char *name, const char *port)
{
	*peer = (struct config_peer){
		.addresses.count = 1, .may_migrate = true, .silence_timeout_ms = CONFIG_SILENCE_MS};
	snprintf(peer->name, sizeof(peer->name), "%s", name);
	snprintf(peer->identity, sizeof(peer->identity), "%s.example", name);
	strcpy(peer->addresses.list[0].host, "127.0.0.1");
	strcpy(peer->addresses.list[0].port, port);
}

void host_add_worker(struct host *host)
{
	struct error err;
	struct worker *worker = worker_new(&host->daemon.budget, &err);

	assert_non_null(worker);
	host->daemon.workers[host->daemon.worker_count++] = worker;
}

static void wait_until(_Atomic bool *flag)
{
	for (int waited_ms = 0; !atomic_load(flag) && waited_ms < HOSTS_DEADLINE_MS; waited_ms++)
		(void)poll(NULL, 0, 1);
}

static void stand_still(void *argument)
{
	struct standstill *standstill = argument;

	atomic_store(&standstill->begun, true);
	wait_until(&standstill->over);
	atomic_store(&standstill->ended, true);
}

void standstill_begin(struct standstill *standstill, struct worker *worker)
{
	*standstill = (struct standstill){0};
	assert_true(loop_post(worker->loop, stand_still, standstill));
	wait_until(&standstill->begun);
	assert_true(standstill->begun);
}

void standstill_end(struct standstill *standstill)
{
	atomic_store(&standstill->over, true);
	wait_until(&standstill->ended);
	assert_true(standstill->ended);
}

static void host_start(
	struct hosts *hosts, struct host *host, const char *name, const char *name_of_other)
{
	struct daemon *daemon = &host->daemon;
	char identity[64];
	struct error err;

	snprintf(identity, sizeof(identity), "%s.example", name);
	authority_issue(&hosts->authority, name, &(struct certificate_plan){.dns = identity},
		&host->credential);
	strcpy(host->config.name, name);
	fill_in_peer(&host->peers[0], name_of_other, hosts->port);
	fill_in_peer(&host->peers[1], "hostc", hosts->port);
	host->config.peers = host->peers;
	host->config.peer_count = 2;
	host->config.qmp_directory = hosts->directory;
	daemon->config = &host->config;
	daemon->tls = tls_context_new(TLS_OPENER | TLS_ACCEPTOR, hosts->authority.file,
		host->credential.certificate_file, host->credential.key_file, &err);
	assert_non_null(daemon->tls);
	budget_init(&daemon->budget, 64 << 20);
	daemon->migrations = migrations_new(NULL);
	daemon->offers = offers_new();
	daemon->channels = channel_table_new();
	daemon->incoming = incoming_table_new();
	host_add_worker(host);
}

void hosts_start(struct hosts *hosts)
{
	memset(hosts, 0, sizeof(*hosts));
	atomic_init(&hosts->accepted_fd, -1);
	assert_int_equal(pthread_mutex_init(&hosts->accepting, NULL), 0);
	certificates_make_directory(hosts->directory);
	authority_init(&hosts->authority, hosts->directory, "ca");
	listen_somewhere(hosts);
	host_start(hosts, &hosts->a, "hosta", "hostb");
	host_start(hosts, &hosts->b, "hostb", "hosta");
	assert_int_equal(pipe2(hosts->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&hosts->thread, NULL, accept_all, hosts), 0);
}

void host_stop_worker(struct host *host)
{
	workers_stop(host->daemon.workers, host->daemon.worker_count);
	host->daemon.worker_count = 0;
}

static void host_free(struct host *host)
{
	host_stop_worker(host);
	channel_table_free(host->daemon.channels);
	incoming_table_free(host->daemon.incoming);
	offers_free(host->daemon.offers);
	migrations_free(host->daemon.migrations);
	tls_context_free(host->daemon.tls);
	credential_fini(&host->credential);
}

void hosts_forget_connection(struct hosts *hosts)
{
	int accepted = atomic_exchange(&hosts->accepted_fd, -1);

	if (accepted >= 0)
		close(accepted);
}

void hosts_stop(struct hosts *hosts)
{
	close(hosts->stop[1]); /* wakes the thread */
	pthread_join(hosts->thread, NULL);
	close(hosts->stop[0]);
	close(hosts->listener);
	atomic_store(&hosts->a.daemon.ending, true);
	atomic_store(&hosts->b.daemon.ending, true);
	assert_true(conversations_wait(HOSTS_DEADLINE_MS));
	host_free(&hosts->a);
	host_free(&hosts->b);
	hosts_forget_connection(hosts);
	pthread_mutex_destroy(&hosts->accepting);
	authority_fini(&hosts->authority);
	certificates_remove_directory(hosts->directory);
}

void hosts_set_deaf(struct hosts *hosts, bool deaf)
{
	pthread_mutex_lock(&hosts->accepting);
	hosts->deaf = deaf;
	pthread_mutex_unlock(&hosts->accepting);
}

void hosts_cut(struct hosts *hosts)
{
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	/* The accepting thread must not close it meanwhile. */
	pthread_mutex_lock(&hosts->accepting);
	assert_int_equal(connect(atomic_load(&hosts->accepted_fd), &nowhere, sizeof(nowhere)), 0);
	pthread_mutex_unlock(&hosts->accepting);
}

int hosts_connect(struct hosts *hosts)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(getsockname(hosts->listener, (struct sockaddr *)&address, &length), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
	set_deadline(fd);
	return fd;
}

void hosts_local_pair(int *for_channel, int *for_program)
{
	struct error err;
	int pair[2];

	assert_int_equal(socket_pair(pair, &err), 0);
	set_deadline(pair[1]);
	*for_channel = pair[0];
	*for_program = pair[1];
}

int hosts_offer(struct hosts *hosts, char *token)
{
	return hosts_offer_under(hosts, NULL, token);
}

int hosts_offer_under(struct hosts *hosts, struct terms *terms, char *token)
{
	struct error err;
	int for_channel;
	int for_program;

	hosts_local_pair(&for_channel, &for_program);
	assert_int_equal(
		offers_put(hosts->b.daemon.offers, "hosta", for_channel, terms, token, &err), 0);
	return for_program;
}
