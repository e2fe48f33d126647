#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "control/client.h"

#define LIBRARY "libculvert-libvirt.so"

/* Where it is installed; or beside a `culvert` that is not. @returns 0, or -1 with @err set */
static int find_library(char *path, size_t size, struct error *err)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (length > 0) {
		self[length] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		snprintf(path, size, "%s/../preload/" LIBRARY, self);
		if (access(path, R_OK) == 0)
			return 0;
	}
	snprintf(path, size, CULVERT_PRELOAD_DIRECTORY "/" LIBRARY);
	if (access(path, R_OK) == 0)
		return 0;
	return error_errno(err, "cannot read %s", path);
}

/* Before what is preloaded already */
static int preload(const char *library, struct error *err)
{
	const char *others = getenv("LD_PRELOAD");
	char value[2 * PATH_MAX];
	int length = snprintf(
		value, sizeof(value), "%s%s%s", library, others ? ":" : "", others ? others : "");

	if (length < 0 || (size_t)length >= sizeof(value))
		return error_set(err, ERROR_USAGE, "LD_PRELOAD is too long");
	if (setenv("LD_PRELOAD", value, 1) < 0)
		return error_errno(err, "cannot set LD_PRELOAD");
	return 0;
}

static int run(const struct options *options, struct error *err)
{
	char library[PATH_MAX];

	if (find_library(library, sizeof(library), err) < 0 || preload(library, err) < 0)
		return -1;
	if (strcmp(options->socket_path, CLIENT_SOCKET) != 0 &&
		setenv("CULVERT_SOCKET", options->socket_path, 1) < 0)
		return error_errno(err, "cannot set CULVERT_SOCKET");
	execvp(options->operands[0], options->operands);
	return error_errno(err, "cannot run %s", options->operands[0]);
}

const struct command command_exec = {
	.name = "exec",
	.synopsis = "-- COMMAND ...",
	.summary = "run a client of libvirt whose tunnelled migrations go through Culvert",
	.help = "  culvert exec -- virsh migrate --live --p2p --tunnelled --postcopy web1 \\\n"
		"    qemu+ssh://hostb/system\n"
		"\n"
		"The destination's name, address or identity must be that of a peer.\n",
	.fewest_operands = 1,
	.most_operands = INT_MAX,
	.run = run,
};
