/* The last words about a migration that ended: where the guest runs, and what it cost. */
#ifndef CULVERT_CLI_VERDICT_H
#define CULVERT_CLI_VERDICT_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/options.h"
#include "cli/snapshot.h"

/**
 * @here     this host's name
 * @options  for the command that begins again
 */
void verdict_print(FILE *file, const struct snapshot *snapshot, const char *here,
	const struct options *options, bool colour);

#endif
