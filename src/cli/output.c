#include "cli/output.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/format.h"

void output_init(void)
{
	/* A closed standard descriptor would become the socket's number. */
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

void output_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
	putchar('\n');
}

bool output_failed(void)
{
	return fflush(stdout) != 0 || ferror(stdout);
}

int output_finish(struct error *err)
{
	if (output_failed())
		return error_set(err, ERROR_LOCAL,
			"cannot write to standard output (is its disk full, its reader gone?); the "
			"command itself was carried out");
	return 0;
}

void output_error(const struct error *failure)
{
	struct error copy = *failure;

	format_clean(copy.message);
	fprintf(stderr, "culvert: %s\n", copy.message);
}
