#include "io/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"

enum { PUT_DEADLINE_MS = 10000, READ_BYTES = 4096 };

struct lines {
	int fd;
	size_t longest_bytes;
	char *buffer;
	size_t capacity_bytes;
	size_t held_bytes;     /* read and not yet taken, from the start of the buffer */
	size_t searched_bytes; /* of those, known to hold no newline */
	bool takes_descriptor;
	int descriptor; /* that came along; -1: none */
};

struct lines *lines_new(int fd, size_t longest_bytes)
{
	struct lines *lines = calloc(1, sizeof(*lines));

	if (!lines) {
		close(fd);
		return NULL;
	}
	lines->fd = fd;
	lines->descriptor = -1;
	lines->longest_bytes = longest_bytes;
	return lines;
}

void lines_free(struct lines *lines)
{
	if (!lines)
		return;
	close(lines->fd);
	fd_close(&lines->descriptor);
	free(lines->buffer);
	free(lines);
}

int lines_descriptor(const struct lines *lines)
{
	return lines->fd;
}

static const char *find_newline(const struct lines *lines)
{
	if (lines->held_bytes == lines->searched_bytes)
		return NULL;
	return memchr(lines->buffer + lines->searched_bytes, '\n',
		lines->held_bytes - lines->searched_bytes);
}

bool lines_ready(const struct lines *lines)
{
	return find_newline(lines) != NULL;
}

/* @returns 1 ready, 0 late, -1 */
static int wait_until(struct lines *lines, short events, uint64_t deadline_ms, struct error *err)
{
	for (;;) {
		struct pollfd wanted = {.fd = lines->fd, .events = events};
		int left_ms = clock_left_ms(deadline_ms);
		int ready;

		if (left_ms == 0)
			return 0;
		ready = poll(&wanted, 1, left_ms);
		if (ready < 0 && errno != EINTR)
			return error_errno(err, "poll");
		if (ready > 0)
			return 1;
	}
}

/* Room for at least one more byte; the newline comes on top of the longest line. */
static int reserve(struct lines *lines, struct error *err)
{
	size_t limit_bytes = lines->longest_bytes + 1;
	size_t wanted_bytes = lines->capacity_bytes ? lines->capacity_bytes * 2 : READ_BYTES;
	char *grown;

	if (lines->held_bytes < lines->capacity_bytes)
		return 0;
	if (lines->held_bytes >= limit_bytes)
		return error_set(err, ERROR_PEER,
			"a line longer than %zu bytes came from the other side",
			lines->longest_bytes);
	if (wanted_bytes > limit_bytes)
		wanted_bytes = limit_bytes;
	grown = realloc(lines->buffer, wanted_bytes);
	if (!grown)
		return error_set(err, ERROR_LOCAL, "out of memory");
	lines->buffer = grown;
	lines->capacity_bytes = wanted_bytes;
	return 0;
}

void lines_accept_descriptor(struct lines *lines)
{
	lines->takes_descriptor = true;
}

int lines_take_descriptor(struct lines *lines)
{
	return fd_take(&lines->descriptor);
}

/* Of descriptors that came along the newest is kept; the kernel closes what has no room here. */
static void keep_descriptor(struct lines *lines, struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
		header->cmsg_len != CMSG_LEN(sizeof(int)))
		return;
	fd_close(&lines->descriptor);
	memcpy(&lines->descriptor, CMSG_DATA(header), sizeof(int));
}

static ssize_t receive(struct lines *lines)
{
	struct iovec part = {.iov_base = lines->buffer + lines->held_bytes,
		.iov_len = lines->capacity_bytes - lines->held_bytes};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t length;

	if (lines->takes_descriptor) {
		message.msg_control = control.bytes;
		/* Not the padding: a second descriptor would fit there. */
		message.msg_controllen = CMSG_LEN(sizeof(int));
	}
	do
		length = recvmsg(lines->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length > 0 && lines->takes_descriptor)
		keep_descriptor(lines, &message);
	return length;
}

/* @returns 1 when bytes came, 0 when there are none now, -1 */
static int fill(struct lines *lines, struct error *err)
{
	ssize_t length;

	if (reserve(lines, err) < 0)
		return -1;
	length = receive(lines);
	if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (length == 0)
		return error_set(err, ERROR_LINK, "the other side closed the connection");
	if (length < 0)
		return error_set(err, ERROR_LINK, "the connection was lost: %s", strerror(errno));
	lines->held_bytes += (size_t)length;
	return 1;
}

/* @length_bytes of the first line; taken out of the buffer whether it is JSON or not. */
static int take(struct lines *lines, size_t length_bytes, json_t **value, struct error *err)
{
	json_error_t reason;

	*value = json_loadb(lines->buffer, length_bytes, JSON_DECODE_ANY, &reason);
	lines->held_bytes -= length_bytes + 1;
	memmove(lines->buffer, lines->buffer + length_bytes + 1, lines->held_bytes);
	lines->searched_bytes = 0;
	if (!*value)
		return error_set(err, ERROR_PEER,
			"a line that is not JSON came from the other side (byte %d)",
			reason.position);
	return 1;
}

int lines_get(struct lines *lines, int timeout_ms, json_t **value, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(timeout_ms);

	for (;;) {
		const char *newline = find_newline(lines);
		int filled;
		int ready;

		if (newline)
			return take(lines, (size_t)(newline - lines->buffer), value, err);
		lines->searched_bytes = lines->held_bytes;
		filled = fill(lines, err);
		if (filled < 0)
			return -1;
		if (filled)
			continue;
		ready = wait_until(lines, POLLIN, deadline_ms, err);
		if (ready <= 0)
			return ready;
	}
}

/* One sendmsg(); @pass goes along with the first byte. @returns bytes taken, 0 for would-block */
static ssize_t send_some(
	struct lines *lines, const char *text, size_t length_bytes, int pass, struct error *err)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = length_bytes};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	ssize_t sent;

	if (pass >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &pass, sizeof(int));
	}
	do
		sent = sendmsg(lines->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 0;
	return error_set(err, ERROR_LINK, "the connection was lost: %s", strerror(errno));
}

static int send_line(
	struct lines *lines, const char *text, size_t length_bytes, int pass, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(PUT_DEADLINE_MS);

	while (length_bytes > 0) {
		ssize_t sent = send_some(lines, text, length_bytes, pass, err);
		int ready;

		if (sent < 0)
			return -1;
		if (sent > 0) {
			text += sent;
			length_bytes -= (size_t)sent;
			pass = -1;
			continue;
		}
		ready = wait_until(lines, POLLOUT, deadline_ms, err);
		if (ready < 0)
			return -1;
		if (ready == 0)
			return error_set(err, ERROR_LINK,
				"the other side has taken nothing for %d seconds",
				PUT_DEADLINE_MS / 1000);
	}
	return 0;
}

int lines_put(struct lines *lines, json_t *value, int pass, struct error *err)
{
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	size_t length_bytes;
	int result;

	json_decref(value);
	if (!text)
		return error_set(err, ERROR_LOCAL, "out of memory");
	length_bytes = strlen(text);
	/* In place of the terminator, so that the line goes out with one call. */
	text[length_bytes] = '\n';
	result = send_line(lines, text, length_bytes + 1, pass, err);
	free(text);
	return result;
}
