#include "cli/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/format.h"

#define BAR_NARROWEST 12
#define BAR_WIDEST    32
#define GAP           2

/* In the order they stand on the line */
enum field {
	FIELD_NAME,
	FIELD_PHASE,
	FIELD_BAR,
	FIELD_PERCENT,
	FIELD_RATE,
	FIELD_REMAINING,
	FIELD_DIRTY,
	FIELD_REQUESTS,
	FIELD_DOWNTIME,
	FIELD_LOST,
	FIELD_CLOCK,
	FIELD_COUNT
};

/* In the order they are given room */
static const enum field by_importance[] = {FIELD_PHASE, FIELD_PERCENT, FIELD_BAR, FIELD_RATE,
	FIELD_REMAINING, FIELD_CLOCK, FIELD_REQUESTS, FIELD_LOST, FIELD_NAME, FIELD_DIRTY,
	FIELD_DOWNTIME};

struct fields {
	char text[FIELD_COUNT][400]; /* "": nothing to show */
	bool shown[FIELD_COUNT];
};

static uint64_t remaining(const struct snapshot *snapshot)
{
	if (!snapshot_copies_disks(snapshot))
		return snapshot->ram_remaining_bytes;
	return snapshot->disk_total_bytes > snapshot->disk_copied_bytes
		? snapshot->disk_total_bytes - snapshot->disk_copied_bytes
		: 0;
}

/* Figures are padded, so that the line does not jump while they change. */
static void write_figures(struct fields *fields, const struct snapshot *snapshot)
{
	size_t size = sizeof(fields->text[0]);
	bool precopy = snapshot->phase == PHASE_PRECOPY;
	uint64_t downtime_ms = snapshot->downtime_ms;

	snprintf(fields->text[FIELD_PERCENT], size, "%3u%%", snapshot_percent(snapshot));
	if (snapshot->rate_bytes_per_s > 0)
		snprintf(fields->text[FIELD_RATE], size, "%10s",
			format_rate(snapshot->rate_bytes_per_s).text);
	snprintf(fields->text[FIELD_REMAINING], size, "%8s left",
		format_bytes(remaining(snapshot)).text);
	if (precopy && snapshot->dirty_rate_bytes_per_s > 0)
		snprintf(fields->text[FIELD_DIRTY], size, "dirty %10s",
			format_rate(snapshot->dirty_rate_bytes_per_s).text);
	if (snapshot->page_requests > 0)
		snprintf(fields->text[FIELD_REQUESTS], size, "%llu requests",
			(unsigned long long)snapshot->page_requests);
	if (snapshot->links_lost > 0)
		snprintf(fields->text[FIELD_LOST], size, "links lost %llu (%s, %s again)",
			(unsigned long long)snapshot->links_lost,
			format_ms(snapshot->linkless_total_ms).text,
			format_bytes(snapshot->replayed_bytes).text);
	if (downtime_ms > 0)
		snprintf(fields->text[FIELD_DOWNTIME], size, "downtime %s",
			format_ms(downtime_ms).text);
	else if (precopy && snapshot->expected_downtime_ms > 0)
		snprintf(fields->text[FIELD_DOWNTIME], size, "downtime ~%s",
			format_ms(snapshot->expected_downtime_ms).text);
}

static void write_fields(struct fields *fields, const struct snapshot *snapshot)
{
	size_t size = sizeof(fields->text[0]);

	memset(fields, 0, sizeof(*fields));
	snprintf(fields->text[FIELD_NAME], size, "%s %s %s", snapshot->vm,
		snapshot->incoming ? "<-" : "->", snapshot->host);
	snapshot_phase_text(snapshot, fields->text[FIELD_PHASE], size);
	snprintf(fields->text[FIELD_CLOCK], size, "%s", format_clock(snapshot->elapsed_ms).text);
	if (snapshot->ram_total_bytes == 0 && !snapshot_copies_disks(snapshot))
		return;
	/* Its width stands in for the bar until the room that is left is known. */
	snprintf(fields->text[FIELD_BAR], size, "%*s", BAR_NARROWEST, "");
	write_figures(fields, snapshot);
}

/* @returns  the columns that are left over */
static size_t choose(struct fields *fields, size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < sizeof(by_importance) / sizeof(by_importance[0]); i++) {
		enum field field = by_importance[i];
		size_t columns = format_columns(fields->text[field]) + (used > 0 ? GAP : 0);

		if (!*fields->text[field] || used + columns > room)
			continue;
		fields->shown[field] = true;
		used += columns;
	}
	return room - used;
}

static void draw_bar(char *bar, size_t columns, unsigned percent)
{
	size_t inside = columns - 2;
	size_t full = inside * percent / 100;

	bar[0] = '[';
	memset(bar + 1, '=', full);
	memset(bar + 1 + full, ' ', inside - full);
	if (full > 0 && full < inside)
		bar[full] = '>';
	bar[columns - 1] = ']';
	bar[columns] = '\0';
}

void progress_compose(
	const struct snapshot *snapshot, unsigned width, char line[PROGRESS_LINE_BYTES])
{
	struct fields fields;
	size_t room = width > 1 ? width - 1 : 0;
	size_t left_over;
	size_t length = 0;

	if (room > PROGRESS_LINE_BYTES / 4)
		room = PROGRESS_LINE_BYTES / 4; /* a column has at most four bytes */
	write_fields(&fields, snapshot);
	left_over = choose(&fields, room);
	if (fields.shown[FIELD_BAR]) {
		size_t columns = BAR_NARROWEST + left_over;

		draw_bar(fields.text[FIELD_BAR], columns < BAR_WIDEST ? columns : BAR_WIDEST,
			snapshot_percent(snapshot));
	}
	line[0] = '\0';
	for (int field = 0; field < FIELD_COUNT; field++) {
		if (!fields.shown[field])
			continue;
		length += (size_t)snprintf(line + length, PROGRESS_LINE_BYTES - length, "%*s%s",
			length > 0 ? GAP : 0, "", fields.text[field]);
		if (length >= PROGRESS_LINE_BYTES)
			return;
	}
}
