/* The words on a channel of the service `bench`.
 *
 * Floor: wire (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Bench".
 */
#ifndef CULVERT_WIRE_BENCH_H
#define CULVERT_WIRE_BENCH_H

#include <stdint.h>

#include "base/error.h"

/* The acceptor's first line */
#define BENCH_GREETING "culvert bench 1"

/* Room for any line, its newline included */
#define BENCH_LINE_BYTES 32

/* What an echo sends back at once, at most */
#define BENCH_ECHO_BYTES 4096

enum bench_order {
	BENCH_SINK,   /* take bytes until their end, then say how many */
	BENCH_SOURCE, /* send bytes until the other side ends */
	BENCH_ECHO,   /* send back what comes */
	BENCH_USAGE,  /* say the daemon's CPU time, as often as asked */
};

/** "sink", ... */
const char *bench_order_name(enum bench_order order);

/** @line  without its newline. @errors ERROR_PEER: nothing that may be ordered */
int bench_order_find(const char *line, enum bench_order *order, struct error *err);

/** A line that is a number. @errors ERROR_PEER */
int bench_number_read(const char *line, uint64_t *number, struct error *err);

#endif
