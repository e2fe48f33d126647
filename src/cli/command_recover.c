#include <stdio.h>

#include "cli/command.h"
#include "cli/order.h"

static int run(const struct options *options, struct error *err)
{
	json_t *result = order(options, "recover",
		json_pack("{s:s}", "migration", options->operands[0]), COMMAND_TIMEOUT_MS, err);

	if (!result)
		return -1;
	json_decref(result);
	printf("the recovery of %s is tried now\n", options->operands[0]);
	return 0;
}

const struct command command_recover = {
	.name = "recover",
	.synopsis = "ID|VM",
	.summary = "try again now to reach the host that a migration waits for",
	.help = "culvertd tries by itself, at growing intervals; on the source only.\n",
	.fewest_operands = 1,
	.most_operands = 1,
	.run = run,
};
