#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/format.h"

bool report_due(struct report *report, const struct snapshot *snapshot, uint64_t now_ms)
{
	if (report->begun && report->phase == snapshot->phase && report->pass == snapshot->pass &&
		now_ms - report->last_ms < REPORT_INTERVAL_MS)
		return false;
	*report = (struct report){true, snapshot->phase, snapshot->pass, now_ms};
	return true;
}

static void append(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *line, const char *format, ...)
{
	size_t length = strlen(line);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + length, REPORT_LINE_BYTES - length, format, arguments);
	va_end(arguments);
}

void report_compose(const struct snapshot *snapshot, char line[REPORT_LINE_BYTES])
{
	char phase[64];

	snapshot_phase_text(snapshot, phase, sizeof(phase));
	line[0] = '\0';
	append(line, "%s  %s %s %s: %s", format_clock(snapshot->elapsed_ms).text, snapshot->vm,
		snapshot->incoming ? "from" : "to", snapshot->host, phase);
	if (*snapshot->waiting) {
		append(line, ": %s", snapshot->waiting);
		return;
	}
	if (snapshot->ram_total_bytes == 0)
		return;
	append(line, ": %u%%, %s left", snapshot_percent(snapshot),
		format_bytes(snapshot->ram_remaining_bytes).text);
	if (snapshot->rate_bytes_per_s > 0)
		append(line, ", %s", format_rate(snapshot->rate_bytes_per_s).text);
	if (snapshot->phase == PHASE_PRECOPY && snapshot->dirty_rate_bytes_per_s > 0)
		append(line, ", dirty %s", format_rate(snapshot->dirty_rate_bytes_per_s).text);
	if (snapshot->page_requests > 0)
		append(line, ", %llu page requests", (unsigned long long)snapshot->page_requests);
	if (snapshot->links_lost > 0)
		append(line, ", links lost %llu (%s, %s sent again)",
			(unsigned long long)snapshot->links_lost,
			format_ms(snapshot->linkless_total_ms).text,
			format_bytes(snapshot->replayed_bytes).text);
	if (snapshot->downtime_ms > 0)
		append(line, ", downtime %s", format_ms(snapshot->downtime_ms).text);
}
