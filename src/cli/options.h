/* The command line of `culvert`. */
#ifndef CULVERT_CLI_OPTIONS_H
#define CULVERT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Each command takes some of these; the numbers are bits of a set, and no characters. */
enum option_name {
	OPTION_DISKS = 1 << 7,
	OPTION_SOCKET = 1 << 8,
	OPTION_HELP = 1 << 9,
	OPTION_VERSION = 1 << 10,
	OPTION_JSON = 1 << 11,
	OPTION_MODE = 1 << 12,
	OPTION_SWITCH = 1 << 13,
	OPTION_DESTINATION_VM = 1 << 14,
	OPTION_QUIT_SOURCE = 1 << 15,
	OPTION_DETACH = 1 << 16,
	OPTION_COUNT = 1 << 17,
	OPTION_LISTEN = 1 << 18,
	OPTION_TIME = 1 << 19,
	OPTION_CHANNELS = 1 << 20,
	OPTION_BANDWIDTH = 1 << 21,
	OPTION_HOST = 1 << 22,
	OPTION_PERSISTENT = 1 << 23,
	OPTION_UNDEFINE_SOURCE = 1 << 24,
	OPTION_COPY_STORAGE = 1 << 25,
	OPTION_PARALLEL = 1 << 26,
	OPTION_COMPRESSED = 1 << 27,
	OPTION_AUTO_CONVERGE = 1 << 28,
	OPTION_CONNECT = 1 << 29,
	OPTION_PREEMPT = 1 << 30,
};

struct options {
	const char *socket_path;
	const char *mode;           /* NULL: the daemon's default */
	const char *switch_rule;    /* as mode */
	const char *destination_vm; /* as mode */
	const char *listen;         /* NULL: not given */
	const char *copy_storage;   /* NULL: not given */
	const char *connect;        /* NULL: the daemon's default */
	bool quit_source;
	bool persistent;
	bool undefine_source;
	bool compressed;
	bool auto_converge;
	bool disks;
	bool preempt;
	bool json;
	bool detach;
	bool help;
	bool version;
	bool host;             /* the host itself, not one of its migrations */
	uint64_t bandwidth;    /* bytes/s; 0: not limited */
	uint64_t count;        /* 0: the daemon's default */
	uint64_t time_s;       /* 0: not given */
	uint64_t channels;     /* as time_s */
	uint64_t parallel;     /* as time_s */
	char *const *operands; /* of the command line; NULL after the last */
	int operand_count;
};

/** What stands before the command; @returns the index of the command, @argc without one, or -1 */
int options_read_global(struct options *options, int argc, char **argv, struct error *err);

/**
 * What stands after the command, options and operands mixed.
 *
 * @argv     argv[0] is the command
 * @allowed  set of enum option_name; socket and help always are
 */
int options_read_command(
	struct options *options, int argc, char **argv, unsigned allowed, struct error *err);

/** "500Mbit", "5Gbit"; "none" is 0, as in the control protocol */
int options_rate(const char *text, uint64_t *bytes_per_s, struct error *err);

/** A command a person can type to go on: "culvert watch 3fa91c02", with --socket where needed */
void options_command(const struct options *options, const char *verb, const char *subject,
	char *text, size_t size);

#endif
