/* A loop of the data path with what its channels share. There is one per core; a channel lives on
 * one of them.
 *
 * Threads: everything here belongs to the loop's thread, but for worker_drain() and workers_stop().
 */
#ifndef CULVERT_DAEMON_WORKER_H
#define CULVERT_DAEMON_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "daemon/strangers.h"
#include "daemon/turns.h"
#include "io/loop.h"
#include "io/processor.h"
#include "io/tls.h"
#include "tunnel/budget.h"
#include "tunnel/chunk.h"

#define WORKER_SCRATCH_BYTES 65536

struct worker {
	struct loop *loop;
	struct chunk_pool pool;
	struct tls_memory tls_memory;
	uint64_t tidied_ms;         /* when both gave back what was not wanted */
	struct budget *budget;      /* the daemon's */
	struct strangers strangers; /* links that carry no channel */
	struct list channels;       /* struct channel */
	struct turns turns;         /* ... of its channels */
	atomic_uint channel_count;
	atomic_uint awaited_count; /* ... that a culvertd which is to stop waits for */
	atomic_uint libvirt_count; /* ... to the libvirt of another host */
	atomic_uint arrival_count; /* connections that were accepted for it, and have no link yet */
	struct processor processor;
	uint64_t wanted_us; /* see worker_wanted_us() */
	uint64_t wanted_at_us;
	bool stopping; /* no more links come to it */
	unsigned char
		scratch[WORKER_SCRATCH_BYTES]; /* what was just received; nothing is kept here */
};

/** @budget  outlives it */
struct worker *worker_new(struct budget *budget, struct error *err);

/** Memory that its channels have not wanted for a second goes back to the system; call it now and
 * then */
void worker_tidy(struct worker *worker);

/** How long its thread has run, or waited until it might; looked at again after PACE_SAMPLE_US */
uint64_t worker_wanted_us(struct worker *worker, uint64_t now_us);

/** Wait until its channels have ended by themselves. @returns whether they have, within @timeout_ms
 */
bool worker_drain(struct worker *worker, unsigned timeout_ms);

/**
 * End every channel of @workers (RESET "this host is stopping"), then their threads, and free them:
 * all of a daemon's together, for links move from one to another. From any other thread, when no
 * other thread opens channels or brings connections any more
 */
void workers_stop(struct worker **workers, unsigned count);

#endif
