#include <stdio.h>

#include "cli/command.h"
#include "cli/order.h"

static int run(const struct options *options, struct error *err)
{
	json_t *answer = order(options, "uri", json_pack("{s:s}", "host", options->operands[0]),
		COMMAND_TIMEOUT_MS, err);
	const char *uri = json_string_value(json_object_get(answer, "libvirt_uri"));

	if (!answer)
		return -1;
	printf("%s\n", uri ? uri : "");
	json_decref(answer);
	return 0;
}

const struct command command_uri = {
	.name = "uri",
	.synopsis = "HOST",
	.summary = "print the URI at which libvirt's clients here reach the libvirt of a host",
	.help = "That host must permit it: 'libvirt' in 'services' of its [peer] section for this "
		"one.\n",
	.fewest_operands = 1,
	.most_operands = 1,
	.run = run,
};
