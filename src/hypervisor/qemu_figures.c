#include "hypervisor/qemu_figures.h"

#include <stdio.h>
#include <string.h>

/* qapi/migration.json, MigrationStatus; the later ones read in QEMU's history. */
static const struct {
	const char *status;
	enum migration_state state;
} states[] = {
	{"none", MIGRATION_NONE},
	{"setup", MIGRATION_SETUP},
	{"wait-unplug", MIGRATION_SETUP},
	{"active", MIGRATION_PRECOPY},
	{"pre-switchover", MIGRATION_PRECOPY},
	{"device", MIGRATION_PRECOPY},
	{"postcopy-device", MIGRATION_POSTCOPY},
	{"postcopy-active", MIGRATION_POSTCOPY},
	{"postcopy-paused", MIGRATION_PAUSED},
	{"postcopy-recover-setup", MIGRATION_PAUSED},
	{"postcopy-recover", MIGRATION_PAUSED},
	{"completed", MIGRATION_COMPLETED},
	{"failing", MIGRATION_OTHER},
	{"failed", MIGRATION_FAILED},
	{"cancelling", MIGRATION_CANCELLED},
	{"cancelled", MIGRATION_CANCELLED},
};

/* MIGRATION_OTHER for a word that is not known */
static enum migration_state find_state(const char *status)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(states[i].status, status) == 0)
			return states[i].state;
	}
	return MIGRATION_OTHER;
}

bool qemu_figures_cancelling(const struct migration_figures *figures)
{
	return strcmp(figures->status, "cancelling") == 0;
}

/* 0 for what is absent, not a number or negative */
static uint64_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

static void copy_text(char *text, size_t size_bytes, const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	snprintf(text, size_bytes, "%s", value ? value : "");
}

/* QEMU gives decimal megabits; a number beyond reason comes from a division by almost no time. */
static uint64_t rate_bytes_per_s(const json_t *ram)
{
	double megabits = json_number_value(json_object_get(ram, "mbps"));

	return megabits > 0 && megabits < 1e9 ? (uint64_t)(megabits * 1e6 / 8) : 0;
}

void qemu_figures_read(
	const json_t *answer, uint64_t downtime_limit_ms, struct migration_figures *figures)
{
	const json_t *ram = json_object_get(answer, "ram");

	memset(figures, 0, sizeof(*figures));
	copy_text(figures->status, sizeof(figures->status), answer, "status");
	if (!figures->status[0])
		snprintf(figures->status, sizeof(figures->status), "none");
	copy_text(figures->reason, sizeof(figures->reason), answer, "error-desc");
	figures->state = find_state(figures->status);
	figures->pass_count = number(ram, "dirty-sync-count");
	figures->ram_total_bytes = number(ram, "total");
	figures->ram_remaining_bytes = number(ram, "remaining");
	figures->ram_transferred_bytes = number(ram, "transferred");
	figures->rate_bytes_per_s = rate_bytes_per_s(ram);
	figures->dirty_rate_bytes_per_s =
		number(ram, "dirty-pages-rate") * number(ram, "page-size");
	figures->page_requests = number(ram, "postcopy-requests");
	figures->downtime_limit_ms = downtime_limit_ms;
	figures->expected_downtime_ms = number(answer, "expected-downtime");
	figures->downtime_ms = number(answer, "downtime");
	figures->setup_ms = number(answer, "setup-time");
	figures->total_ms = number(answer, "total-time");
}
