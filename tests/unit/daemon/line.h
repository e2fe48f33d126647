/* A channel between two hosts with the local programs at its ends, what these write and read, and
 * what a test expects of it. Any failure fails the test that asked. */
#ifndef CULVERT_TEST_LINE_H
#define CULVERT_TEST_LINE_H

#include <pthread.h>

#include "daemon/channel.h"
#include "hosts.h"

#define MIB (1024u * 1024)

/* As in channel.c: what the tunnel may hold for a program that does not read */
#define WINDOW_BYTES (MIB / 8)

struct line {
	struct channel *channel; /* on the host that opened it */
	int here;                /* ends of the local programs */
	int there;
};

void line_lay(struct line *line, struct hosts *hosts);
void line_take_away(struct line *line);

/** Close one end, if it is open */
void line_hang_up(int *fd);

/** The channel goes on, and has lost so many links */
uint64_t line_links_lost(const struct line *line);

/* A long message whose every byte tells its place, sent or checked by a thread */
struct transfer {
	pthread_t thread;
	int fd;
	size_t length;
	uint32_t seed;
	_Atomic size_t done; /* correct bytes */
};

/** @run  transfer_send or transfer_receive */
void transfer_start(
	struct transfer *transfer, void *(*run)(void *), int fd, size_t length, uint32_t seed);
void *transfer_send(void *transfer);
void *transfer_receive(void *transfer);
void transfer_assert_done(struct transfer *transfer);

/** Wait until so much has been done */
void transfer_wait(struct transfer *transfer, size_t length);

/* Both directions at once */
struct exchange {
	struct transfer out[2];
	struct transfer in[2];
};

void exchange_start(struct exchange *exchange, const struct line *line, size_t length);
void exchange_assert_done(struct exchange *exchange);

void pause_ms(long ms);

void assert_passes(int from, int to, const char *text);
void assert_end(int fd);

/** The local socket is closed, not only its reading side */
void assert_closed(int fd);

void wait_until_ended(const struct line *line, struct channel_progress *progress);
void assert_ended(const struct line *line, enum error_code code, const char *says);

#endif
