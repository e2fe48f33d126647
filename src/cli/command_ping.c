#include <stdio.h>
#include <stdlib.h>

#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/format.h"
#include "cli/order.h"
#include "cli/output.h"

/* Beside what culvertd itself waits for a peer that does not answer */
#define PING_TIMEOUT_MS    60000
#define PING_EACH_MS       10000
#define PING_DEFAULT_COUNT 5

static int by_size(const void *a, const void *b)
{
	json_int_t first = *(const json_int_t *)a;
	json_int_t second = *(const json_int_t *)b;

	return (first > second) - (first < second);
}

static struct format text_of_us(json_int_t duration_us)
{
	return format_us(duration_us > 0 ? (uint64_t)duration_us : 0);
}

static void print_round_trips(const json_t *list)
{
	size_t count = json_array_size(list);
	CLEANUP_FREE json_int_t *sorted = calloc(count + 1, sizeof(*sorted));

	if (!sorted || count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_integer_value(json_array_get(list, i));
	qsort(sorted, count, sizeof(*sorted), by_size);
	printf("  round trip  %s least, %s median, %s most, of %zu\n", text_of_us(sorted[0]).text,
		text_of_us(sorted[count / 2]).text, text_of_us(sorted[count - 1]).text, count);
}

static void print_field(const char *label, const json_t *value)
{
	char text[512];

	format_copy(text, sizeof(text), json_string_value(value) ? json_string_value(value) : "-");
	printf("  %-10s  %s\n", label, text);
}

static int run(const struct options *options, struct error *err)
{
	json_t *arguments = json_pack("{s:s}", "host", options->operands[0]);
	int count = options->count ? (int)options->count : PING_DEFAULT_COUNT;
	json_t *answer;

	if (options->count)
		json_object_set_new(arguments, "count", json_integer(count));
	answer = order(options, "ping", arguments, PING_TIMEOUT_MS + count * PING_EACH_MS, err);
	if (!answer)
		return -1;
	if (options->json) {
		output_json(answer);
	} else {
		printf("%s answers\n", options->operands[0]);
		print_field("identity", json_object_get(answer, "identity"));
		print_field("address", json_object_get(answer, "address"));
		printf("  connect     %s\n",
			text_of_us(json_integer_value(json_object_get(answer, "connect_us"))).text);
		print_round_trips(json_object_get(answer, "round_trip_us"));
	}
	json_decref(answer);
	return 0;
}

const struct command command_ping = {
	.name = "ping",
	.synopsis = "HOST [--count N] [--json]",
	.summary = "reach a peer through the tunnel: identity and round trip",
	.help = "  --count N  round trips to measure, 1 to 1000 (default: 5)\n"
		"  --json     print what culvertd answers, on one line\n",
	.allowed = OPTION_COUNT | OPTION_JSON,
	.fewest_operands = 1,
	.most_operands = 1,
	.run = run,
};
