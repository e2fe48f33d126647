#include "cli/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "control/client.h"

static const struct option every_option[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"json", no_argument, NULL, OPTION_JSON},
	{"mode", required_argument, NULL, OPTION_MODE},
	{"switch", required_argument, NULL, OPTION_SWITCH},
	{"destination-vm", required_argument, NULL, OPTION_DESTINATION_VM},
	{"quit-source", no_argument, NULL, OPTION_QUIT_SOURCE},
	{"detach", no_argument, NULL, OPTION_DETACH},
	{"count", required_argument, NULL, OPTION_COUNT},
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"time", required_argument, NULL, OPTION_TIME},
	{"channels", required_argument, NULL, OPTION_CHANNELS},
	{"bandwidth", required_argument, NULL, OPTION_BANDWIDTH},
	{"host", no_argument, NULL, OPTION_HOST},
	{"persistent", no_argument, NULL, OPTION_PERSISTENT},
	{"undefine-source", no_argument, NULL, OPTION_UNDEFINE_SOURCE},
	{"copy-storage", required_argument, NULL, OPTION_COPY_STORAGE},
	{"parallel", required_argument, NULL, OPTION_PARALLEL},
	{"compressed", no_argument, NULL, OPTION_COMPRESSED},
	{"auto-converge", no_argument, NULL, OPTION_AUTO_CONVERGE},
	{"connect", required_argument, NULL, OPTION_CONNECT},
	{"disks", no_argument, NULL, OPTION_DISKS},
	{"preempt", no_argument, NULL, OPTION_PREEMPT},
};

#define EVERY_OPTION_COUNT (sizeof(every_option) / sizeof(every_option[0]))

/* Those of @allowed, as getopt_long() wants them */
static void select_options(unsigned allowed, struct option selected[EVERY_OPTION_COUNT + 1])
{
	size_t count = 0;

	for (size_t i = 0; i < EVERY_OPTION_COUNT; i++) {
		if ((unsigned)every_option[i].val & allowed)
			selected[count++] = every_option[i];
	}
	selected[count] = (struct option){0};
}

static int take_number(const char *name, uint64_t most, uint64_t *number, struct error *err)
{
	if (parse_number(optarg, 1, most, number, err) < 0)
		return error_prefix(err, "%s", name);
	return 0;
}

int options_rate(const char *text, uint64_t *bytes_per_s, struct error *err)
{
	if (parse_rate(text, bytes_per_s, err) < 0)
		return -1;
	if (*bytes_per_s == RATE_UNLIMITED)
		*bytes_per_s = 0;
	return 0;
}

static int take_bandwidth(struct options *options, struct error *err)
{
	if (options_rate(optarg, &options->bandwidth, err) < 0)
		return error_prefix(err, "--bandwidth");
	return 0;
}

/* @returns NULL: it is no flag */
static bool *flag_of(struct options *options, enum option_name name)
{
	const struct {
		enum option_name name;
		bool *flag;
	} table[] = {
		{OPTION_HELP, &options->help},
		{OPTION_VERSION, &options->version},
		{OPTION_JSON, &options->json},
		{OPTION_QUIT_SOURCE, &options->quit_source},
		{OPTION_DETACH, &options->detach},
		{OPTION_HOST, &options->host},
		{OPTION_PERSISTENT, &options->persistent},
		{OPTION_UNDEFINE_SOURCE, &options->undefine_source},
		{OPTION_COMPRESSED, &options->compressed},
		{OPTION_AUTO_CONVERGE, &options->auto_converge},
		{OPTION_DISKS, &options->disks},
		{OPTION_PREEMPT, &options->preempt},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].name == name)
			return table[i].flag;
	}
	return NULL;
}

/* @returns NULL: it is no text that is taken as it stands */
static const char **text_of(struct options *options, enum option_name name)
{
	const struct {
		enum option_name name;
		const char **text;
	} table[] = {
		{OPTION_SOCKET, &options->socket_path},
		{OPTION_MODE, &options->mode},
		{OPTION_SWITCH, &options->switch_rule},
		{OPTION_LISTEN, &options->listen},
		{OPTION_DESTINATION_VM, &options->destination_vm},
		{OPTION_COPY_STORAGE, &options->copy_storage},
		{OPTION_CONNECT, &options->connect},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].name == name)
			return table[i].text;
	}
	return NULL;
}

static int take_option(struct options *options, enum option_name name, struct error *err)
{
	bool *flag = flag_of(options, name);
	const char **text = text_of(options, name);

	if (flag)
		*flag = true;
	if (text)
		*text = optarg;
	if (flag || text)
		return 0;
	if (name == OPTION_BANDWIDTH)
		return take_bandwidth(options, err);
	if (name == OPTION_COUNT)
		return take_number("--count", 1000, &options->count, err);
	if (name == OPTION_TIME)
		return take_number("--time", 60, &options->time_s, err);
	if (name == OPTION_CHANNELS)
		return take_number("--channels", 16, &options->channels, err);
	if (name == OPTION_PARALLEL)
		return take_number("--parallel", 255, &options->parallel, err);
	return error_set(err, ERROR_NONE, "an option without a meaning");
}

/* Leaves optind at what follows the options. @order  "+:" stops at the first operand, ":" does not
 */
static int read_options(struct options *options, int argc, char **argv, const char *order,
	unsigned allowed, struct error *err)
{
	struct option selected[EVERY_OPTION_COUNT + 1];
	int found;

	select_options(allowed, selected);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((found = getopt_long(argc, argv, order, selected, NULL)) != -1) {
		if (found == ':')
			return error_set(
				err, ERROR_USAGE, "option '%s' needs a value", argv[optind - 1]);
		/* The character of a short option; 0, or the value of a long one */
		if (found == '?' && optopt > 0 && optopt < OPTION_DISKS)
			return error_set(err, ERROR_USAGE, "unknown option '-%c'", optopt);
		if (found == '?')
			return error_set(err, ERROR_USAGE, "unknown option '%s'", argv[optind - 1]);
		if (take_option(options, (enum option_name)found, err) < 0)
			return -1;
	}
	return 0;
}

int options_read_global(struct options *options, int argc, char **argv, struct error *err)
{
	*options = (struct options){.socket_path = CLIENT_SOCKET};
	if (read_options(options, argc, argv, "+:", OPTION_SOCKET | OPTION_HELP | OPTION_VERSION,
		    err) < 0)
		return -1;
	return optind;
}

int options_read_command(
	struct options *options, int argc, char **argv, unsigned allowed, struct error *err)
{
	if (read_options(options, argc, argv, ":", allowed | OPTION_SOCKET | OPTION_HELP, err) < 0)
		return -1;
	options->operand_count = argc - optind;
	options->operands = argv + optind;
	return 0;
}

void options_command(const struct options *options, const char *verb, const char *subject,
	char *text, size_t size)
{
	if (strcmp(options->socket_path, CLIENT_SOCKET) == 0)
		snprintf(text, size, "culvert %s %s", verb, subject);
	else
		snprintf(text, size, "culvert --socket %s %s %s", options->socket_path, verb,
			subject);
}
