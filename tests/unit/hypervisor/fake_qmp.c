#include "fake_qmp.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fake_qmp {
	const struct step *steps;
	pthread_t thread;
	int fd;
	int listener;
	int passed;
	char line[8192];
	char failure[9000]; /* told on the thread of the test */
};

static ssize_t receive_byte(struct fake_qmp *fake, char *byte)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t length = recvmsg(fake->fd, &message, 0);
	struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (header && header->cmsg_type == SCM_RIGHTS) {
		if (fake->passed >= 0)
			close(fake->passed);
		memcpy(&fake->passed, CMSG_DATA(header), sizeof(int));
	}
	return length;
}

static bool receive_line(struct fake_qmp *fake)
{
	for (size_t length = 0; length + 1 < sizeof(fake->line); length++) {
		if (receive_byte(fake, fake->line + length) <= 0)
			return false;
		if (fake->line[length] == '\n') {
			fake->line[length] = '\0';
			return true;
		}
	}
	return false;
}

/* That of the command, which is a number; arguments may have texts of that name. */
static const char *find_id(const char *line)
{
	static const char key[] = "\"id\":";
	const char *id = strstr(line, key);

	while (id && id[strlen(key)] == '"')
		id = strstr(id + 1, key);
	return id;
}

static void send_reply(struct fake_qmp *fake, const char *reply)
{
	const char *id = find_id(fake->line);
	const char *mark;

	while ((mark = strstr(reply, "$ID"))) {
		char number[24];

		snprintf(number, sizeof(number), "%lld", id ? atoll(id + 5) : 0);
		send(fake->fd, reply, (size_t)(mark - reply), MSG_NOSIGNAL);
		send(fake->fd, number, strlen(number), MSG_NOSIGNAL);
		reply = mark + 3;
	}
	send(fake->fd, reply, strlen(reply), MSG_NOSIGNAL);
}

static void take_steps(struct fake_qmp *fake)
{
	for (const struct step *step = fake->steps; step->expect || !step->reply || *step->reply;
		step++) {
		if (step->expect && !receive_line(fake)) {
			snprintf(fake->failure, sizeof(fake->failure), "never came: %s",
				step->expect);
			return;
		}
		if (step->expect && !strstr(fake->line, step->expect)) {
			snprintf(fake->failure, sizeof(fake->failure), "expected %s, got %s",
				step->expect, fake->line);
			return;
		}
		if (!step->reply)
			return;
		send_reply(fake, step->reply);
	}
	if (receive_line(fake))
		snprintf(fake->failure, sizeof(fake->failure), "not expected: %s", fake->line);
}

static void *serve(void *argument)
{
	struct fake_qmp *fake = argument;

	if (fake->listener >= 0)
		fake->fd = accept(fake->listener, NULL, NULL);
	take_steps(fake);
	close(fake->fd);
	return NULL;
}

static struct fake_qmp *start(const struct step *steps, int fd, int listener)
{
	struct fake_qmp *fake = calloc(1, sizeof(*fake));

	assert_non_null(fake);
	fake->steps = steps;
	fake->fd = fd;
	fake->listener = listener;
	fake->passed = -1;
	assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
	return fake;
}

struct fake_qmp *fake_qmp_pair(const struct step *steps, int *client_fd)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*client_fd = ends[0];
	return start(steps, ends[1], -1);
}

struct fake_qmp *fake_qmp_listen(const struct step *steps, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(listener >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	return start(steps, -1, listener);
}

int fake_qmp_finish(struct fake_qmp *fake)
{
	char failure[sizeof(fake->failure)];
	int passed;

	pthread_join(fake->thread, NULL);
	if (fake->listener >= 0)
		close(fake->listener);
	passed = fake->passed;
	memcpy(failure, fake->failure, sizeof(failure));
	free(fake);
	if (*failure)
		fail_msg("%s", failure);
	return passed;
}
