/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/opening.h"
#include "line.h"

void line_lay(struct line *line, struct hosts *hosts)
{
	char token[OFFER_TOKEN_CHARACTERS + 1];
	struct error err;
	int for_channel;

	line->there = hosts_offer(hosts, token);
	hosts_local_pair(&for_channel, &line->here);
	line->channel = opening_run(&hosts->a.daemon, &hosts->a.peers[0], "migration", token, NULL,
		for_channel, NULL, &err);
	if (!line->channel)
		fail_msg("%s", err.message);
}

void line_hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void line_take_away(struct line *line)
{
	line_hang_up(&line->here);
	line_hang_up(&line->there);
	if (line->channel)
		channel_put(line->channel);
	line->channel = NULL;
}

static unsigned char byte_at(uint32_t seed, size_t place)
{
	return (unsigned char)((((uint32_t)place + seed) * 2654435761u) >> 24);
}

void *transfer_send(void *argument)
{
	struct transfer *transfer = argument;
	unsigned char bytes[32768];

	while (transfer->done < transfer->length) {
		size_t wanted = transfer->length - transfer->done;
		ssize_t sent;

		if (wanted > sizeof(bytes))
			wanted = sizeof(bytes);
		for (size_t i = 0; i < wanted; i++)
			bytes[i] = byte_at(transfer->seed, transfer->done + i);
		sent = send(transfer->fd, bytes, wanted, MSG_NOSIGNAL);
		if (sent <= 0)
			break;
		transfer->done += (size_t)sent;
	}
	return NULL;
}

void *transfer_receive(void *argument)
{
	struct transfer *transfer = argument;
	unsigned char bytes[32768];

	while (transfer->done < transfer->length) {
		size_t wanted = transfer->length - transfer->done;
		ssize_t got = recv(
			transfer->fd, bytes, wanted < sizeof(bytes) ? wanted : sizeof(bytes), 0);

		for (ssize_t i = 0; i < got; i++) {
			if (bytes[i] != byte_at(transfer->seed, transfer->done + (size_t)i))
				return NULL;
		}
		if (got <= 0)
			break;
		transfer->done += (size_t)got;
	}
	return NULL;
}

void transfer_start(
	struct transfer *transfer, void *(*run)(void *), int fd, size_t length, uint32_t seed)
{
	*transfer = (struct transfer){.fd = fd, .length = length, .seed = seed};
	assert_int_equal(pthread_create(&transfer->thread, NULL, run, transfer), 0);
}

void transfer_assert_done(struct transfer *transfer)
{
	pthread_join(transfer->thread, NULL);
	assert_int_equal(transfer->done, transfer->length);
}

void exchange_start(struct exchange *exchange, const struct line *line, size_t length)
{
	transfer_start(&exchange->out[0], transfer_send, line->here, length, 1);
	transfer_start(&exchange->in[0], transfer_receive, line->there, length, 1);
	transfer_start(&exchange->out[1], transfer_send, line->there, length, 77);
	transfer_start(&exchange->in[1], transfer_receive, line->here, length, 77);
}

void exchange_assert_done(struct exchange *exchange)
{
	for (int i = 0; i < 2; i++) {
		transfer_assert_done(&exchange->out[i]);
		transfer_assert_done(&exchange->in[i]);
	}
}

void pause_ms(long ms)
{
	struct timespec pause = {.tv_nsec = ms * 1000000};

	nanosleep(&pause, NULL);
}

void transfer_wait(struct transfer *transfer, size_t length)
{
	for (int waited_ms = 0; transfer->done < length; waited_ms++) {
		if (waited_ms == HOSTS_DEADLINE_MS)
			fail_msg("only %zu bytes have arrived", (size_t)transfer->done);
		pause_ms(1);
	}
}

void assert_passes(int from, int to, const char *text)
{
	char got[64] = "";

	assert_int_equal(send(from, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	assert_int_equal(recv(to, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
	assert_string_equal(got, text);
}

void assert_end(int fd)
{
	assert_int_equal(recv(fd, &(char){0}, 1, 0), 0);
}

void assert_closed(int fd)
{
	struct pollfd wanted = {.fd = fd};

	assert_int_equal(poll(&wanted, 1, HOSTS_DEADLINE_MS), 1);
	assert_true(wanted.revents & POLLHUP);
}

void wait_until_ended(const struct line *line, struct channel_progress *progress)
{
	for (int waited_ms = 0; waited_ms < HOSTS_DEADLINE_MS; waited_ms++) {
		channel_progress(line->channel, progress);
		if (progress->ended)
			return;
		pause_ms(1);
	}
	fail_msg("the channel has not ended");
}

void assert_ended(const struct line *line, enum error_code code, const char *says)
{
	struct channel_progress progress;

	wait_until_ended(line, &progress);
	if (progress.failure.code != code || !strstr(progress.failure.message, says))
		fail_msg(
			"%s: %s", error_code_name(progress.failure.code), progress.failure.message);
}

uint64_t line_links_lost(const struct line *line)
{
	struct channel_progress progress;

	channel_progress(line->channel, &progress);
	assert_false(progress.ended);
	return progress.links_lost;
}
