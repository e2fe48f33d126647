#include "daemon/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/conversation.h"
#include "io/waiter.h"
#include "wire/bench.h"

/* The longest phase of a client is a minute, in which a channel for `usage` is silent. */
#define SILENCE_MS 120000
#define LONGEST_MS 600000

#define BLOCK_BYTES 65536

struct bench {
	const struct config_peer *peer;
	struct waiter waiter;
	uint64_t bytes;
	unsigned char block[BLOCK_BYTES];
};

static atomic_uint serving;
static _Atomic uint64_t spent_here_us;

static uint64_t time_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
		(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

uint64_t bench_cpu_us(void)
{
	uint64_t all_us = time_of(RUSAGE_SELF);
	uint64_t here_us = atomic_load(&spent_here_us);

	return all_us > here_us ? all_us - here_us : 0;
}

static enum io_result say(struct bench *bench, const char *line, struct error *err)
{
	char text[BENCH_LINE_BYTES];
	int length = snprintf(text, sizeof(text), "%s\n", line);

	return waiter_write(&bench->waiter, text, (size_t)length, err);
}

static enum io_result say_number(struct bench *bench, uint64_t number, struct error *err)
{
	char text[BENCH_LINE_BYTES];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	return say(bench, text, err);
}

/* Before the last byte is said: who has heard it may ask for the usage. */
static void account(void)
{
	atomic_fetch_add(&spent_here_us, time_of(RUSAGE_THREAD));
}

static enum io_result sink(struct bench *bench, struct error *err)
{
	enum io_result result;
	size_t got;

	while ((result = waiter_read(&bench->waiter, bench->block, BLOCK_BYTES, &got, err)) ==
		IO_OK)
		bench->bytes += got;
	account();
	return result == IO_EOF ? say_number(bench, bench->bytes, err) : result;
}

static enum io_result source(struct bench *bench, struct error *err)
{
	enum io_result result = IO_OK;

	while (result == IO_OK && !waiter_ended(&bench->waiter)) {
		result = waiter_write(&bench->waiter, bench->block, BLOCK_BYTES, err);
		bench->bytes += BLOCK_BYTES;
	}
	account();
	return result;
}

static enum io_result echo(struct bench *bench, struct error *err)
{
	enum io_result result = IO_OK;
	size_t got;

	while (result == IO_OK) {
		result = waiter_read(&bench->waiter, bench->block, BENCH_ECHO_BYTES, &got, err);
		if (result == IO_OK)
			result = waiter_write(&bench->waiter, bench->block, got, err);
	}
	return result;
}

/* @returns IO_OK: there may be another */
static enum io_result obey_next(struct bench *bench, struct error *err)
{
	char line[BENCH_LINE_BYTES];
	enum bench_order order;
	enum io_result result = waiter_read_line(&bench->waiter, line, sizeof(line), err);

	if (result != IO_OK)
		return result;
	if (bench_order_find(line, &order, err) < 0)
		return IO_FAILED;
	if (order == BENCH_USAGE)
		return say_number(bench, bench_cpu_us(), err);
	log_event_limited(LOG_INFO, "bench.begun", "host=%s order=%s", bench->peer->name,
		bench_order_name(order));
	if (order == BENCH_SINK)
		result = sink(bench, err);
	else if (order == BENCH_SOURCE)
		result = source(bench, err);
	else
		result = echo(bench, err);
	return result == IO_OK ? IO_EOF : result;
}

static void bench_free(struct bench *bench)
{
	fd_close(&bench->waiter.fd);
	free(bench);
	atomic_fetch_sub(&serving, 1);
}

static void talk(void *argument)
{
	struct bench *bench = argument;
	struct error err;
	enum io_result result = say(bench, BENCH_GREETING, &err);

	while (result == IO_OK)
		result = obey_next(bench, &err);
	if (result == IO_FAILED)
		log_event_limited(LOG_INFO, "bench.broken",
			"host=%s bytes=%" PRIu64 " reason=\"%s\"", bench->peer->name, bench->bytes,
			err.message);
	bench_free(bench);
}

int bench_start(struct daemon *daemon, const struct config_peer *peer, int fd, struct error *err)
{
	CLEANUP_FD int local = fd;
	struct bench *bench;

	if (atomic_fetch_add(&serving, 1) >= BENCH_MOST) {
		atomic_fetch_sub(&serving, 1);
		return error_set(err, ERROR_LOCAL, "too many measurements at once");
	}
	bench = calloc(1, sizeof(*bench));
	if (!bench) {
		atomic_fetch_sub(&serving, 1);
		return error_set(err, ERROR_LOCAL, "no memory");
	}
	bench->peer = peer;
	bench->waiter = (struct waiter){
		.fd = fd_take(&local),
		.silence_ms = SILENCE_MS,
		.until_ms = clock_deadline_ms(LONGEST_MS),
		.leave = &daemon->stopping,
	};
	if (conversation_start(talk, bench, err) == 0)
		return 0;
	bench_free(bench);
	return -1;
}
