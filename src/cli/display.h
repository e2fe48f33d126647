/* Shows a running migration in the way standard output allows. */
#ifndef CULVERT_CLI_DISPLAY_H
#define CULVERT_CLI_DISPLAY_H

#include <jansson.h>
#include <stdint.h>

#include "cli/report.h"
#include "cli/snapshot.h"

enum display_kind {
	DISPLAY_BAR,   /* one line, drawn over */
	DISPLAY_LINES, /* plain lines, few */
	DISPLAY_JSON,  /* everything the daemon says, as it is */
};

struct display {
	enum display_kind kind;
	struct report report;
};

void display_init(struct display *display, bool json);

/** The daemon spoke. @object  what @snapshot was read from */
void display_news(struct display *display, const json_t *object, const struct snapshot *snapshot,
	uint64_t now_ms);

/** Time passed without news. @snapshot  the last, with elapsed_ms brought up to now */
void display_tick(struct display *display, const struct snapshot *snapshot, uint64_t now_ms);

/** Leave the line to others */
void display_clear(struct display *display);

#endif
