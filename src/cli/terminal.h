/* What standard output is, and what it may be sent. */
#ifndef CULVERT_CLI_TERMINAL_H
#define CULVERT_CLI_TERMINAL_H

#include <stdbool.h>

/** Whether a line can be drawn over: a terminal that is not "dumb" */
bool terminal_can_redraw(void);

/** As terminal_can_redraw(), and nobody asked for no colour (NO_COLOR) */
bool terminal_has_colour(void);

/** Columns now; 80 where the terminal does not say */
unsigned terminal_width(void);

/** Draw @line over the current line */
void terminal_redraw(const char *line);

/** Empty the current line */
void terminal_clear_line(void);

#endif
