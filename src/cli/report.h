/* Plain lines about a running migration, for logs and terminals that cannot redraw.
 *
 * Floor: cli; no clock, no output.
 */
#ifndef CULVERT_CLI_REPORT_H
#define CULVERT_CLI_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/snapshot.h"

#define REPORT_LINE_BYTES  512
#define REPORT_INTERVAL_MS 5000

/* Zero is the start: the first snapshot is due. */
struct report {
	bool begun;
	enum migration_phase phase;
	uint64_t pass;
	uint64_t last_ms;
};

/** Whether a line is due: the phase or the pass changed, or nothing was said for a while */
bool report_due(struct report *report, const struct snapshot *snapshot, uint64_t now_ms);

/** "0:03  web1 to hostb: pre-copy, pass 2: 42%, 312 MiB left, 1.1 GiB/s, ..." */
void report_compose(const struct snapshot *snapshot, char line[REPORT_LINE_BYTES]);

#endif
