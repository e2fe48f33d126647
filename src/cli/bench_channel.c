#include "cli/bench_channel.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "io/socket.h"

/* As a forward: a link may be slow to make, at each of the peer's addresses. */
#define CONNECT_TIMEOUT_MS 60000

/* Longer than a link takes to be missed and replaced */
#define SILENCE_MS 20000

/* Three phases of a minute, and what is still under way at their ends */
#define LONGEST_MS 600000

static int connect_through(
	struct client *client, const char *host, int fd, uint64_t *taken_us, struct error *err)
{
	uint64_t begun_us = clock_now_us();
	json_t *arguments = json_pack("{s:s, s:s}", "host", host, "service", "bench");
	json_t *result = NULL;
	int done;

	if (client_send_with(client, "connect", arguments, fd, err) < 0)
		return -1;
	done = client_take_answer(client, CONNECT_TIMEOUT_MS, &result, err);
	json_decref(result);
	*taken_us = clock_now_us() - begun_us;
	if (done == 0)
		return error_set(err, ERROR_LOCAL, "culvertd does not answer");
	if (done < 0 && err->code == ERROR_PEER) {
		struct error cause = *err;

		return error_set(err, ERROR_PEER,
			"%.200s: %s does not let this host measure: it needs 'migrate' or 'bench' "
			"in "
			"'services' of its [peer] section there, and a culvertd that knows 'bench'",
			cause.message, host);
	}
	return done < 0 ? -1 : 0;
}

static int take_greeting(struct bench_channel *channel, const char *host, struct error *err)
{
	char line[BENCH_LINE_BYTES];
	enum io_result result = waiter_read_line(&channel->waiter, line, sizeof(line), err);

	if (result == IO_OK && strcmp(line, BENCH_GREETING) == 0)
		return 0;
	if (result == IO_FAILED && err->code != ERROR_PEER)
		return error_prefix(err, "%s", host);
	return error_set(err, ERROR_PEER,
		"%s: service 'bench' there is not culvertd's own: is there a [service bench] in "
		"its "
		"culvert.conf, or a culvertd of another version?",
		host);
}

int bench_channel_open(struct bench_channel *channel, struct client *client, const char *host,
	const atomic_bool *leave, struct error *err)
{
	CLEANUP_FD int theirs = -1;
	int pair[2];

	*channel = (struct bench_channel){.waiter.fd = -1};
	if (socket_pair(pair, err) < 0)
		return -1;
	theirs = pair[1];
	channel->waiter = (struct waiter){
		.fd = pair[0],
		.silence_ms = SILENCE_MS,
		.until_ms = clock_deadline_ms(LONGEST_MS),
		.leave = leave,
	};
	if (connect_through(client, host, theirs, &channel->opening_us, err) == 0) {
		fd_close(&theirs); /* or its end would never be seen */
		if (take_greeting(channel, host, err) == 0)
			return 0;
	}
	bench_channel_close(channel);
	return -1;
}

void bench_channel_close(struct bench_channel *channel)
{
	fd_close(&channel->waiter.fd);
}

int bench_channel_order(struct bench_channel *channel, enum bench_order order, struct error *err)
{
	char line[BENCH_LINE_BYTES];
	int length = snprintf(line, sizeof(line), "%s\n", bench_order_name(order));

	return waiter_write(&channel->waiter, line, (size_t)length, err) == IO_OK ? 0 : -1;
}

int bench_channel_take_number(struct bench_channel *channel, uint64_t *number, struct error *err)
{
	char line[BENCH_LINE_BYTES];
	enum io_result result = waiter_read_line(&channel->waiter, line, sizeof(line), err);

	if (result == IO_EOF)
		return error_set(err, ERROR_LINK,
			"the channel ended: the connection was lost for too long, or culvertd was "
			"stopped there");
	return result == IO_OK ? bench_number_read(line, number, err) : -1;
}
