#include <stdio.h>

#include "cli/command.h"
#include "cli/order.h"

static int run(const struct options *options, struct error *err)
{
	int rate_index = options->host ? 0 : 1;
	const char *name = options->operands[0];
	const char *rate = options->operands[rate_index];
	uint64_t bytes_per_s;
	json_t *arguments;
	json_t *result;

	if (options->operand_count != rate_index + 1)
		return error_set(
			err, ERROR_USAGE, "usage: culvert limit %s", command_limit.synopsis);
	if (options_rate(rate, &bytes_per_s, err) < 0)
		return -1;
	arguments = options->host ? json_pack("{s:b}", "host", 1)
				  : json_pack("{s:s}", "migration", name);
	json_object_set_new(
		arguments, "bandwidth_bytes_per_s", json_integer((json_int_t)bytes_per_s));
	result = order(options, "limit", arguments, COMMAND_TIMEOUT_MS, err);
	if (!result)
		return -1;
	json_decref(result);
	if (!options->host && bytes_per_s == 0)
		printf("%s is not limited\n", name);
	else if (!options->host)
		printf("%s uses at most %s each way\n", name, rate);
	else if (bytes_per_s == 0)
		puts("this host is not limited, until culvertd is started again");
	else
		printf("this host uses at most %s each way, until culvertd is started again\n",
			rate);
	return 0;
}

const struct command command_limit = {
	.name = "limit",
	.synopsis = "ID|VM RATE|none, or --host RATE|none",
	.summary = "change how much of the network a migration, or this host, may use",
	.help = "  --host  all that passes through culvertd here, in each direction; what is to\n"
		"          outlast it belongs into culvert.conf ([bandwidth], limit)\n"
		"\n"
		"RATE is in bits per second: 800Mbit, 5Gbit.\n",
	.allowed = OPTION_HOST,
	.fewest_operands = 1,
	.most_operands = 2,
	.run = run,
};
