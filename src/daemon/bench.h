/* The service `bench`: the far end of `culvert bench` on another host.
 *
 * Spec:    docs/PROTOCOL.md, "Bench".
 * Threads: any; a conversation for each channel.
 */
#ifndef CULVERT_DAEMON_BENCH_H
#define CULVERT_DAEMON_BENCH_H

#include <stdint.h>

#include "daemon/daemon.h"

/* Channels of the service at once, of all peers together */
#define BENCH_MOST 64

/**
 * Serve @peer, which may measure.
 *
 * @fd      non-blocking; owned, also on failure
 * @errors  ERROR_LOCAL: too many, no memory
 */
int bench_start(struct daemon *daemon, const struct config_peer *peer, int fd, struct error *err);

/** What this daemon has cost so far, user and system time, without what `sink` and `source` spent
 * on taking and making bytes: that is the guest's side of a migration. `echo` costs little, and
 * counts
 */
uint64_t bench_cpu_us(void);

#endif
