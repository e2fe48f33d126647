/* Reads and writes a non-blocking stream for a thread that can wait, but not for ever.
 *
 * Threads: one at a time.
 */
#ifndef CULVERT_IO_WAITER_H
#define CULVERT_IO_WAITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "io/result.h"

#define WAITER_TURN_MS 250

struct waiter {
	int fd;
	int silence_ms;           /* so long without a byte is ERROR_LINK */
	uint64_t until_ms;        /* of clock_now_ms(): then it is, whatever moves */
	const atomic_bool *leave; /* when it turns true, ERROR_CANCELLED; looked at every turn */
};

/** What is there, at least one byte. @returns IO_OK, IO_EOF or IO_FAILED */
enum io_result waiter_read(
	struct waiter *waiter, void *data, size_t size, size_t *got, struct error *err);

/** All of it. @returns IO_OK or IO_FAILED */
enum io_result waiter_write(
	struct waiter *waiter, const void *data, size_t length, struct error *err);

/** One line, without its newline, and no byte after it. @errors  ERROR_PEER: longer than @size, or
 * cut off */
enum io_result waiter_read_line(struct waiter *waiter, char *line, size_t size, struct error *err);

/** Whether the other side writes no more and all of it was read; does not wait */
bool waiter_ended(const struct waiter *waiter);

#endif
