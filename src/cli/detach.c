#include "cli/detach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

int detach_open(struct error *err)
{
	static const int signals[] = {SIGINT, SIGTERM};
	struct sigaction action;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		/* A shell's background jobs ignore SIGINT; blocked, it would arrive after all. */
		if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	}
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_errno(err, "cannot wait for signals");
	sigprocmask(SIG_BLOCK, &set, NULL);
	return fd;
}

enum detach_wait detach_wait(int fd, const struct client *client, int timeout_ms)
{
	struct pollfd polled[] = {
		{.fd = fd, .events = POLLIN},
		{.fd = client_descriptor(client), .events = POLLIN},
	};
	bool ready = client_ready(client);
	int count;

	do {
		count = poll(polled, 2, ready ? 0 : timeout_ms);
	} while (count < 0 && errno == EINTR);
	if (polled[0].revents)
		return DETACH_ASKED;
	return ready || count > 0 ? DETACH_NEWS : DETACH_TIME;
}

int detach_take_answer(int fd, struct client *client, json_t **result, struct error *err)
{
	int got = 0;

	while (got == 0) {
		if (detach_wait(fd, client, -1) == DETACH_ASKED)
			return 0;
		got = client_take_answer(client, 0, result, err);
	}
	return got;
}
