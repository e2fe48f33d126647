#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/order.h"
#include "cli/output.h"
#include "cli/table.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

/* "a, b", or "-" */
static void join(const json_t *list, char *text, size_t size)
{
	size_t length = 0;
	size_t index;
	json_t *element;

	snprintf(text, size, "-");
	json_array_foreach((json_t *)list, index, element)
	{
		const char *word = json_string_value(element);

		if (!word || length >= size)
			continue;
		length += (size_t)snprintf(
			text + length, size - length, "%s%s", length ? ", " : "", word);
	}
}

static void add_row(struct table *table, const json_t *peer)
{
	char addresses[TABLE_CELL_BYTES];
	char services[TABLE_CELL_BYTES];

	join(json_object_get(peer, "addresses"), addresses, sizeof(addresses));
	join(json_object_get(peer, "services"), services, sizeof(services));
	table_add(table,
		(const char *[]){
			text_of(peer, "name"), addresses, text_of(peer, "identity"), services});
}

static int run(const struct options *options, struct error *err)
{
	static const char *const headings[] = {"NAME", "ADDRESSES", "IDENTITY", "SERVICES"};
	json_t *answer = order(options, "peers", NULL, COMMAND_TIMEOUT_MS, err);
	json_t *peers = json_object_get(answer, "peers");
	struct table table;
	size_t index;
	json_t *peer;

	if (!answer)
		return -1;
	if (options->json) {
		output_json(answer);
	} else if (json_array_size(peers) == 0) {
		puts("no peers are configured");
	} else {
		table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
		json_array_foreach(peers, index, peer) add_row(&table, peer);
		table_print(&table, stdout);
		table_fini(&table);
	}
	json_decref(answer);
	return 0;
}

const struct command command_peers = {
	.name = "peers",
	.synopsis = "[--json]",
	.summary = "list the hosts this one knows",
	.help = "  --json  print what culvertd answers, on one line\n",
	.allowed = OPTION_JSON,
	.fewest_operands = 0,
	.most_operands = 0,
	.run = run,
};
