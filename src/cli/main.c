#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "control/client.h"

static const struct command *const commands[] = {&command_migrate, &command_status, &command_watch,
	&command_switch, &command_cancel, &command_recover, &command_limit, &command_forward,
	&command_peers, &command_ping, &command_bench, &command_doctor, &command_uri,
	&command_token, &command_exec};

#define COMMANDS_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_usage(void)
{
	puts("Usage: culvert [--socket PATH] COMMAND ...\n"
	     "\n"
	     "Moves running virtual machines between hosts through one encrypted port.\n");
	for (size_t i = 0; i < COMMANDS_COUNT; i++)
		printf("  %-8s  %s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "  --socket PATH  culvertd's control socket (default: " CLIENT_SOCKET ")\n"
	     "  --version      print the version\n"
	     "  --help         print this; after a command, what it takes");
}

static void print_command_usage(const struct command *command)
{
	printf("Usage: culvert %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
	if (*command->help)
		printf("\n%s", command->help);
}

static const struct command *find_command(const char *name, struct error *err)
{
	for (size_t i = 0; i < COMMANDS_COUNT; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	error_set(err, ERROR_USAGE, "unknown command '%s'; see culvert --help", name);
	return NULL;
}

static int run_command(const struct command *command, struct options *options, int argc,
	char **argv, struct error *err)
{
	struct error cause;

	if (options_read_command(options, argc, argv, command->allowed, &cause) < 0)
		return error_set(
			err, cause.code, "%s; see culvert %s --help", cause.message, command->name);
	if (options->help) {
		print_command_usage(command);
		return 0;
	}
	if (options->operand_count < command->fewest_operands ||
		options->operand_count > command->most_operands)
		return error_set(
			err, ERROR_USAGE, "usage: culvert %s %s", command->name, command->synopsis);
	return command->run(options, err);
}

static int run(struct options *options, int argc, char **argv, struct error *err)
{
	int index = options_read_global(options, argc, argv, err);
	const struct command *command;

	if (index < 0)
		return -1;
	if (options->help) {
		print_usage();
		return 0;
	}
	if (options->version) {
		puts("culvert " CULVERT_VERSION);
		return 0;
	}
	if (index == argc)
		return error_set(err, ERROR_USAGE, "which command? see culvert --help");
	command = find_command(argv[index], err);
	return command ? run_command(command, options, argc - index, argv + index, err) : -1;
}

int main(int argc, char **argv)
{
	struct options options;
	struct error err = {0};
	int result;

	output_init();
	result = run(&options, argc, argv, &err);
	/* What became of the migration matters more than who heard of it. */
	if (result == 0)
		result = output_finish(&err);
	else
		fflush(stdout);
	if (result >= 0)
		return result;
	output_error(&err);
	return exit_code(err.code);
}
