/* The channels of one migration that libvirt leads, and their figures together.
 *
 * Threads: any, one at a time.
 */
#ifndef CULVERT_DAEMON_STREAMS_H
#define CULVERT_DAEMON_STREAMS_H

#include "daemon/channel.h"
#include "daemon/migration.h"

/* As many parallel streams as QEMU can have, the main one, and disks. More are carried, and not
 * counted. */
#define STREAMS_MOST 320

struct streams {
	struct channel *open[STREAMS_MOST]; /* held */
	size_t count;
	struct tunnel_figures ended; /* of those that are not held any more */
};

/** Zeroed memory is ready to use. @channel  held */
void streams_add(struct streams *streams, struct channel *channel);

/** Sums; of times without a link the longest. resume_deadline_ms is left alone */
void streams_figures(struct streams *streams, struct tunnel_figures *figures);

/** Put those of @before, whose channels have ended, to @figures */
void tunnel_figures_add(struct tunnel_figures *figures, const struct tunnel_figures *before);

/** End them on both hosts */
void streams_end(struct streams *streams);

/** What is carried goes on */
void streams_fini(struct streams *streams);

#endif
