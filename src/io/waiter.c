#include "io/waiter.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

/* A stream that never blocks must not outlast its time either. */
static int check_time(const struct waiter *waiter, struct error *err)
{
	if (atomic_load(waiter->leave))
		return error_set(err, ERROR_CANCELLED, "it was told to end");
	if (clock_left_ms(waiter->until_ms) == 0)
		return error_set(err, ERROR_LINK, "it takes too long");
	return 0;
}

/* Until @events, or until patience is at an end */
static int wait_for(struct waiter *waiter, short events, struct error *err)
{
	uint64_t silent_ms = clock_deadline_ms(waiter->silence_ms);

	for (;;) {
		struct pollfd watched = {.fd = waiter->fd, .events = events};
		int ready;

		if (check_time(waiter, err) < 0)
			return -1;
		if (clock_left_ms(silent_ms) == 0)
			return error_set(err, ERROR_LINK, "no byte passed for %d s",
				waiter->silence_ms / 1000);
		ready = poll(&watched, 1, WAITER_TURN_MS);
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return error_errno(err, "poll");
	}
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

enum io_result waiter_read(
	struct waiter *waiter, void *data, size_t size, size_t *got, struct error *err)
{
	for (;;) {
		ssize_t count;

		if (check_time(waiter, err) < 0)
			return IO_FAILED;
		count = recv(waiter->fd, data, size, MSG_DONTWAIT);
		if (count > 0) {
			*got = (size_t)count;
			return IO_OK;
		}
		if (count == 0)
			return IO_EOF;
		if (!would_block()) {
			error_set(err, ERROR_LINK, "the stream broke: %s", strerror(errno));
			return IO_FAILED;
		}
		if (wait_for(waiter, POLLIN, err) < 0)
			return IO_FAILED;
	}
}

enum io_result waiter_write(
	struct waiter *waiter, const void *data, size_t length, struct error *err)
{
	const char *rest = data;

	while (length > 0) {
		ssize_t count;

		if (check_time(waiter, err) < 0)
			return IO_FAILED;
		count = send(waiter->fd, rest, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (count > 0) {
			rest += count;
			length -= (size_t)count;
		} else if (!would_block()) {
			error_set(err, ERROR_LINK, "the stream broke: %s", strerror(errno));
			return IO_FAILED;
		} else if (wait_for(waiter, POLLOUT, err) < 0) {
			return IO_FAILED;
		}
	}
	return IO_OK;
}

enum io_result waiter_read_line(struct waiter *waiter, char *line, size_t size, struct error *err)
{
	/* A byte at a time: what follows the line is for others. */
	for (size_t length = 0; length < size; length++) {
		size_t got;
		enum io_result result = waiter_read(waiter, line + length, 1, &got, err);

		if (result == IO_EOF && length > 0) {
			error_set(err, ERROR_PEER, "the stream ends within a line");
			return IO_FAILED;
		}
		if (result != IO_OK)
			return result;
		if (line[length] == '\n') {
			line[length] = '\0';
			return IO_OK;
		}
	}
	error_set(err, ERROR_PEER, "a line is longer than %zu bytes", size);
	return IO_FAILED;
}

bool waiter_ended(const struct waiter *waiter)
{
	char byte;

	return recv(waiter->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}
