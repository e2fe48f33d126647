/* What every part of culvertd can reach. Made by main() before any other thread, freed after them.
 */
#ifndef CULVERT_DAEMON_DAEMON_H
#define CULVERT_DAEMON_DAEMON_H

#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/channel_table.h"
#include "daemon/config.h"
#include "daemon/incoming_table.h"
#include "daemon/migration.h"
#include "daemon/offer.h"
#include "daemon/rendezvous_table.h"
#include "daemon/scheduler.h"
#include "daemon/worker.h"
#include "io/tls.h"
#include "tunnel/budget.h"

#define WORKERS_MOST 64

struct daemon {
	struct config *config;
	struct tls_context *tls;
	struct budget budget; /* for replay and for windows */
	struct worker *workers[WORKERS_MOST];
	unsigned worker_count;
	atomic_uint next_worker;
	struct scheduler *scheduler;
	struct migrations *migrations;
	struct offers *offers;
	struct channel_table *channels;
	unsigned char run[CHANNEL_RUN_BYTES]; /* random: in the ids of all channels it opens */
	struct incoming_table *incoming;
	struct rendezvous_table *rendezvous; /* that peers have asked for */
	struct loopbacks *loopbacks;
	atomic_bool stopping; /* begin nothing new; what can be ended safely, ends */
	atomic_bool ending;   /* no more waiting */
};

/** The worker for a new channel: each in turn */
struct worker *daemon_worker(struct daemon *daemon);

#endif
