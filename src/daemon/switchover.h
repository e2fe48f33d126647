/* When hybrid migration switches to post-copy: decided at the end of each pass, since between them
 * QEMU's figures are a saw-tooth. No descriptors, no clock. */
#ifndef CULVERT_DAEMON_SWITCHOVER_H
#define CULVERT_DAEMON_SWITCHOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/migration.h"

struct switchover {
	enum migration_mode mode;
	struct switch_policy policy;
	uint64_t pass_count; /* at the last decision */
};

void switchover_init(struct switchover *switchover, const struct migration_plan *plan);

/** Whether to switch now. @elapsed_ms since the migration began */
bool switchover_due(struct switchover *switchover, const struct migration_figures *figures,
	uint64_t elapsed_ms);

#endif
