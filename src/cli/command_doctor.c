#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/order.h"
#include "cli/output.h"

/* Two hosts are examined, and their libvirts and QEMUs may take their time. */
#define DOCTOR_TIMEOUT_MS 180000
/* What is about both hosts together */
#define BOTH "both"

static const char *text_of(const json_t *finding, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(finding, key));

	return text ? text : otherwise;
}

static int widest(const json_t *findings, const char *key, const char *otherwise)
{
	size_t widest_length = 0;
	size_t index;
	json_t *finding;

	json_array_foreach((json_t *)findings, index, finding)
	{
		size_t length = strlen(text_of(finding, key, otherwise));

		if (length > widest_length)
			widest_length = length;
	}
	return widest_length < 64 ? (int)widest_length : 64;
}

static void print_cell(const json_t *finding, const char *key, const char *otherwise, int width)
{
	char text[512];

	format_copy(text, sizeof(text), text_of(finding, key, otherwise));
	printf("%-*s  ", width, text);
}

static void print_findings(const json_t *findings)
{
	int states = widest(findings, "state", "?");
	int hosts = widest(findings, "host", BOTH);
	int checks = widest(findings, "check", "?");
	char text[1024];
	size_t index;
	json_t *finding;

	json_array_foreach((json_t *)findings, index, finding)
	{
		const char *remedy = text_of(finding, "remedy", NULL);

		print_cell(finding, "state", "?", states);
		print_cell(finding, "host", BOTH, hosts);
		print_cell(finding, "check", "?", checks);
		format_copy(text, sizeof(text), text_of(finding, "text", "?"));
		puts(text);
		if (!remedy || strcmp(text_of(finding, "state", "?"), "good") == 0)
			continue;
		format_copy(text, sizeof(text), remedy);
		printf("%*s-> %s\n", states + hosts + checks + 6, "", text);
	}
}

/* @returns 0, or what is bad: this host, or else the peer or both together */
static int judge(const json_t *answer)
{
	const char *here = text_of(answer, "host", "");
	enum error_code code = ERROR_NONE;
	size_t index;
	json_t *finding;

	json_array_foreach(json_object_get(answer, "findings"), index, finding)
	{
		if (strcmp(text_of(finding, "state", "?"), "bad") != 0)
			continue;
		if (strcmp(text_of(finding, "host", BOTH), here) == 0)
			return exit_code(ERROR_LOCAL);
		code = ERROR_PEER;
	}
	return code == ERROR_NONE ? 0 : exit_code(code);
}

static int run(const struct options *options, struct error *err)
{
	json_t *arguments =
		options->operand_count > 0 ? json_pack("{ss}", "host", options->operands[0]) : NULL;
	json_t *answer = order(options, "doctor", arguments, DOCTOR_TIMEOUT_MS, err);
	int result;

	if (!answer)
		return -1;
	if (options->json)
		output_json(answer);
	else
		print_findings(json_object_get(answer, "findings"));
	result = judge(answer);
	json_decref(answer);
	return result;
}

const struct command command_doctor = {
	.name = "doctor",
	.synopsis = "[HOST] [--json]",
	.summary = "tell whether this host, and a peer with it, is ready to migrate",
	.help = "  --json  print what culvertd answers, on one line\n",
	.allowed = OPTION_JSON,
	.fewest_operands = 0,
	.most_operands = 1,
	.run = run,
};
