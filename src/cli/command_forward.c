#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/order.h"
#include "control/client.h"
#include "io/socket.h"

/* The peer may take as long as a link has for its handshakes, at each of its addresses. */
#define CONNECT_TIMEOUT_MS 60000

struct forwarding {
	const struct options *options;
	int fd;
};

static json_t *arguments(const struct options *options)
{
	return json_pack(
		"{s:s, s:s}", "host", options->operands[0], "service", options->operands[1]);
}

/* Hand one connection to culvertd, which carries it from then on. */
static int hand_over(const struct forwarding *forwarding, struct error *err)
{
	struct client *client = client_open(forwarding->options->socket_path, err);
	json_t *result = NULL;
	int done;

	if (!client)
		return -1;
	done = client_send_with(
		client, "connect", arguments(forwarding->options), forwarding->fd, err);
	if (done == 0)
		done = client_take_answer(client, CONNECT_TIMEOUT_MS, &result, err);
	if (done == 0)
		done = error_set(err, ERROR_LOCAL, "culvertd does not answer");
	json_decref(result);
	client_free(client);
	return done < 0 ? -1 : 0;
}

static void *serve(void *argument)
{
	struct forwarding *forwarding = argument;
	struct error err;

	if (hand_over(forwarding, &err) < 0)
		fprintf(stderr, "culvert: a connection was refused: %s\n", err.message);
	close(forwarding->fd);
	free(forwarding);
	return NULL;
}

/* In a thread of its own: one that waits for its host does not hold up the others. */
static void begin(const struct options *options, int fd)
{
	struct forwarding *forwarding = malloc(sizeof(*forwarding));
	pthread_t thread;

	if (forwarding) {
		*forwarding = (struct forwarding){.options = options, .fd = fd};
		if (pthread_create(&thread, NULL, serve, forwarding) == 0) {
			pthread_detach(thread);
			return;
		}
	}
	fprintf(stderr, "culvert: a connection was refused: no memory\n");
	free(forwarding);
	close(fd);
}

static int catch_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

/* Until a signal asks to end */
static int serve_all(const struct options *options, int listener, int signals, struct error *err)
{
	struct pollfd watched[2] = {
		{.fd = listener, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

	for (;;) {
		int fd;

		if (poll(watched, 2, -1) < 0 && errno != EINTR)
			return error_errno(err, "poll");
		if (watched[1].revents)
			return 0;
		if (!watched[0].revents)
			continue;
		fd = socket_accept(listener);
		if (fd >= 0)
			begin(options, fd);
		else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			return error_errno(err, "cannot accept on %s", options->listen);
	}
}

/* A mistyped host is told before anybody connects. */
static int check_host(const struct options *options, struct error *err)
{
	json_t *answer = order(options, "peers", NULL, COMMAND_TIMEOUT_MS, err);
	const json_t *peer;
	bool known = false;
	size_t i;

	if (!answer)
		return -1;
	json_array_foreach(json_object_get(answer, "peers"), i, peer)
	{
		const char *name = json_string_value(json_object_get(peer, "name"));

		known = known || (name && strcmp(name, options->operands[0]) == 0);
	}
	json_decref(answer);
	return known ? 0
		     : error_set(err, ERROR_USAGE,
			       "unknown host '%s': culvert peers lists those in culvert.conf",
			       options->operands[0]);
}

static int run(const struct options *options, struct error *err)
{
	CLEANUP_FD int signals = -1;
	CLEANUP_FD int listener = -1;
	int result;

	if (!options->listen)
		return error_set(err, ERROR_USAGE, "--listen PATH is missing");
	if (check_host(options, err) < 0)
		return -1;
	signals = catch_signals();
	listener = socket_listen_unix(options->listen, 0600, (gid_t)-1, err);
	if (listener < 0)
		return -1;
	printf("listening on %s: connections go to %s on %s\n", options->listen,
		options->operands[1], options->operands[0]);
	fflush(stdout);
	result = serve_all(options, listener, signals, err);
	(void)unlink(options->listen);
	return result;
}

const struct command command_forward = {
	.name = "forward",
	.synopsis = "HOST SERVICE --listen PATH",
	.summary = "lead a unix socket here to a service of another host",
	.help = "  --listen PATH  the socket to make; it is gone when the command ends (Ctrl-C)\n\n"
		"SERVICE is a [service] of that host's culvert.conf that it permits to this one.\n"
		"Connections that are open when the command ends go on.\n",
	.allowed = OPTION_LISTEN,
	.fewest_operands = 2,
	.most_operands = 2,
	.run = run,
};
