/* The line that is redrawn while a migration runs.
 *
 * Floor: cli; no clock, no output: the line is a function of its arguments.
 */
#ifndef CULVERT_CLI_PROGRESS_H
#define CULVERT_CLI_PROGRESS_H

#include <stddef.h>

#include "cli/snapshot.h"

#define PROGRESS_LINE_BYTES 1024

/**
 * The most important figures that fit into one column less than @width (a full line would wrap on
 * some terminals): phase and percent first, then the bar, rate, what remains, time, ...
 *
 * @line  plain characters, no control codes
 */
void progress_compose(
	const struct snapshot *snapshot, unsigned width, char line[PROGRESS_LINE_BYTES]);

#endif
