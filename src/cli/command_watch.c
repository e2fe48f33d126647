#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/detach.h"
#include "cli/follow.h"
#include "control/client.h"

static int run(const struct options *options, struct error *err)
{
	struct client *client = client_open(options->socket_path, err);
	CLEANUP_FD int detach_fd = client ? detach_open(err) : -1;
	int result = -1;

	if (detach_fd >= 0)
		result = follow(client, options, detach_fd, options->operands[0], err);
	client_free(client);
	return result;
}

const struct command command_watch = {
	.name = "watch",
	.synopsis = "ID|VM [--json]",
	.summary = "stay with a migration until it ends",
	.help = "  --json  print every change as one line of JSON, the end last\n"
		"\n"
		"Ctrl-C leaves; the migration goes on.\n",
	.allowed = OPTION_JSON,
	.fewest_operands = 1,
	.most_operands = 1,
	.run = run,
};
