/* A TCP relay that can be cut.
 *
 *     tcpcut [--delay MS] [--rate MBIT] [--stall SECONDS] LISTEN_IP:PORT TARGET_IP:PORT
 *
 * SIGUSR1 resets every connection, on both sides; new ones are accepted. SIGUSR2 lets nothing pass
 * for the time of a stall (5 s). TCP ends here, so that the delay is one of bytes, not of TCP's own
 * feedback: for that there is tunwan.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fail.h"
#include "moment.h"
#include "pipe.h"

#define BACKLOG 1024

struct connection {
	int fds[2];
	struct pipe *pipes[2];
	unsigned threads;
	struct connection *next;
};

static _Atomic uint64_t stalled_until_ns;
static double stall_s = 5;
static struct connection *connections;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void pause_while_stalled(void)
{
	uint64_t until_ns;

	while ((until_ns = stalled_until_ns) > moment_ns())
		sleep_until(until_ns);
}

static struct pipe_line line = {.pause = pause_while_stalled};

static void leave(struct connection *connection)
{
	struct connection **place = &connections;

	pthread_mutex_lock(&lock);
	if (--connection->threads == 0) {
		while (*place != connection)
			place = &(*place)->next;
		*place = connection->next;
		for (int i = 0; i < 2; i++) {
			close(connection->fds[i]);
			pipe_free(connection->pipes[i]);
		}
		free(connection);
	}
	pthread_mutex_unlock(&lock);
}

struct task {
	struct connection *connection;
	struct pipe *pipe;
	void (*move)(struct pipe *pipe);
};

static void *run(void *argument)
{
	struct task task = *(struct task *)argument;

	free(argument);
	task.move(task.pipe);
	leave(task.connection);
	return NULL;
}

static void start(struct connection *connection, struct pipe *pipe, void (*move)(struct pipe *))
{
	struct task *task = malloc(sizeof(*task));
	pthread_t thread;

	if (!task)
		fail("no memory");
	*task = (struct task){connection, pipe, move};
	if (pthread_create(&thread, NULL, run, task) != 0)
		fail("cannot start a thread");
	pthread_detach(thread);
}

static void relay(int accepted, int dialled)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int on = 1;

	if (!connection)
		fail("no memory");
	*connection = (struct connection){.fds = {accepted, dialled}, .threads = 4};
	for (int i = 0; i < 2; i++) {
		setsockopt(connection->fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		connection->pipes[i] = pipe_new(&line, connection->fds[i], connection->fds[1 - i]);
	}
	pthread_mutex_lock(&lock);
	connection->next = connections;
	connections = connection;
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 2; i++) {
		start(connection, connection->pipes[i], pipe_read);
		start(connection, connection->pipes[i], pipe_write);
	}
}

/* Dissolving the association of a TCP socket sends RST. */
static void reset_all(void)
{
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	pthread_mutex_lock(&lock);
	for (struct connection *each = connections; each; each = each->next) {
		(void)connect(each->fds[0], &nowhere, sizeof(nowhere));
		(void)connect(each->fds[1], &nowhere, sizeof(nowhere));
	}
	pthread_mutex_unlock(&lock);
}

static void *take_signals(void *argument)
{
	const sigset_t *signals = argument;
	int number;

	while (sigwait(signals, &number) == 0) {
		if (number == SIGUSR1)
			reset_all();
		else
			stalled_until_ns = moment_ns() + (uint64_t)(stall_s * 1e9);
	}
	return NULL;
}

static struct sockaddr_in address_of(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	const char *port = strchr(text, ':');
	char host[64];

	snprintf(host, sizeof(host), "%.*s", port ? (int)(port - text) : 0, text);
	if (!port || inet_pton(AF_INET, host, &address.sin_addr) != 1)
		fail("no address: %s", text);
	address.sin_port = htons((uint16_t)atoi(port + 1));
	return address;
}

static void serve(const struct sockaddr_in *here, const struct sockaddr_in *target)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (const struct sockaddr *)here, sizeof(*here)) < 0 ||
		listen(listener, BACKLOG) < 0)
		fail("cannot listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int accepted = accept(listener, NULL, NULL);
		int dialled = socket(AF_INET, SOCK_STREAM, 0);

		if (accepted >= 0 &&
			connect(dialled, (const struct sockaddr *)target, sizeof(*target)) == 0) {
			relay(accepted, dialled);
			continue;
		}
		if (accepted >= 0)
			close(accepted);
		close(dialled);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"delay", required_argument, NULL, 'd'},
		{"rate", required_argument, NULL, 'r'}, {"stall", required_argument, NULL, 's'},
		{0}};
	static sigset_t signals;
	struct sockaddr_in here, target;
	pthread_t thread;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			line.delay_ms = atof(optarg);
		else if (option == 'r')
			line.rate_mbit = atof(optarg);
		else if (option == 's')
			stall_s = atof(optarg);
		else
			fail("unknown option");
	}
	if (argc - optind != 2)
		fail("usage: tcpcut [--delay MS] [--rate MBIT] [--stall SECONDS] HERE TARGET");
	here = address_of(argv[optind]);
	target = address_of(argv[optind + 1]);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (pthread_create(&thread, NULL, take_signals, &signals) != 0)
		fail("cannot start a thread");
	serve(&here, &target);
}
