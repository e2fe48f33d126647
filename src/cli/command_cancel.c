#include <stdio.h>

#include "cli/command.h"
#include "cli/order.h"

static int run(const struct options *options, struct error *err)
{
	json_t *result = order(options, "cancel",
		json_pack("{s:s}", "migration", options->operands[0]), COMMAND_TIMEOUT_MS, err);

	if (!result)
		return -1;
	json_decref(result);
	printf("%s is being cancelled; the guest stays on its source\n", options->operands[0]);
	return 0;
}

const struct command command_cancel = {
	.name = "cancel",
	.synopsis = "ID|VM",
	.summary = "end a migration that is not in post-copy yet",
	.help = "",
	.fewest_operands = 1,
	.most_operands = 1,
	.run = run,
};
