#include "cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_can_redraw(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb") != 0;
}

bool terminal_has_colour(void)
{
	const char *refused = getenv("NO_COLOR");

	return terminal_can_redraw() && !(refused && *refused);
}

unsigned terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

void terminal_redraw(const char *line)
{
	printf("\r%s\033[K", line);
	fflush(stdout);
}

void terminal_clear_line(void)
{
	terminal_redraw("");
}
