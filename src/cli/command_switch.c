#include <stdio.h>

#include "cli/command.h"
#include "cli/order.h"

static int run(const struct options *options, struct error *err)
{
	json_t *result = order(options, "switch",
		json_pack("{s:s}", "migration", options->operands[0]), COMMAND_TIMEOUT_MS, err);

	if (!result)
		return -1;
	json_decref(result);
	printf("%s goes over to post-copy\n", options->operands[0]);
	return 0;
}

const struct command command_switch = {
	.name = "switch",
	.synopsis = "ID|VM",
	.summary = "go over to post-copy now (mode hybrid)",
	.help = "",
	.fewest_operands = 1,
	.most_operands = 1,
	.run = run,
};
