#include "cli/display.h"

#include <stdio.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/terminal.h"

void display_init(struct display *display, bool json)
{
	*display = (struct display){.kind = DISPLAY_LINES};
	if (json)
		display->kind = DISPLAY_JSON;
	else if (terminal_can_redraw())
		display->kind = DISPLAY_BAR;
}

void display_tick(struct display *display, const struct snapshot *snapshot, uint64_t now_ms)
{
	char bar[PROGRESS_LINE_BYTES];
	char line[REPORT_LINE_BYTES];

	switch (display->kind) {
	case DISPLAY_BAR:
		progress_compose(snapshot, terminal_width(), bar);
		terminal_redraw(bar);
		return;
	case DISPLAY_LINES:
		if (report_due(&display->report, snapshot, now_ms)) {
			report_compose(snapshot, line);
			puts(line);
		}
		return;
	case DISPLAY_JSON:
		return;
	}
}

void display_news(struct display *display, const json_t *object, const struct snapshot *snapshot,
	uint64_t now_ms)
{
	if (display->kind == DISPLAY_JSON)
		output_json(object);
	else if (!snapshot->ended)
		display_tick(display, snapshot, now_ms);
}

void display_clear(struct display *display)
{
	if (display->kind == DISPLAY_BAR)
		terminal_clear_line();
}
