/* The commands of `culvert`, one file each. */
#ifndef CULVERT_CLI_COMMAND_H
#define CULVERT_CLI_COMMAND_H

#include "base/error.h"
#include "cli/options.h"

/* How long the daemon may take for an answer that needs nobody else */
#define COMMAND_TIMEOUT_MS 15000

struct command {
	const char *name;
	const char *synopsis; /* what follows the name */
	const char *summary;  /* one line */
	const char *help;     /* what `--help` says of its options, or "" */
	unsigned allowed;     /* set of enum option_name */
	int fewest_operands;
	int most_operands;
	/** @returns  0, an exit code, or -1 with @err set */
	int (*run)(const struct options *options, struct error *err);
};

extern const struct command command_limit;
extern const struct command command_migrate;
extern const struct command command_status;
extern const struct command command_watch;
extern const struct command command_switch;
extern const struct command command_cancel;
extern const struct command command_recover;
extern const struct command command_forward;
extern const struct command command_peers;
extern const struct command command_ping;
extern const struct command command_bench;
extern const struct command command_doctor;
extern const struct command command_uri;
extern const struct command command_token;
extern const struct command command_exec;

#endif
