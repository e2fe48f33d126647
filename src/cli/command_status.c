#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/order.h"
#include "cli/output.h"
#include "cli/snapshot.h"
#include "cli/table.h"

static bool is_meant(const json_t *migration, const char *subject)
{
	const char *id = json_string_value(json_object_get(migration, "id"));
	const char *direction = json_string_value(json_object_get(migration, "direction"));
	bool incoming = direction && strcmp(direction, "incoming") == 0;
	/* The name that it has on this host */
	const char *vm =
		json_string_value(json_object_get(migration, incoming ? "destination_vm" : "vm"));

	return !subject || (id && strcmp(id, subject) == 0) || (vm && strcmp(vm, subject) == 0);
}

/* Take away what @subject does not mean. @returns  0, or -1: nothing is left of it */
static int keep(json_t *migrations, const char *subject, struct error *err)
{
	for (size_t i = json_array_size(migrations); i > 0; i--) {
		if (!is_meant(json_array_get(migrations, i - 1), subject))
			json_array_remove(migrations, i - 1);
	}
	if (subject && json_array_size(migrations) == 0)
		return error_set(err, ERROR_LOCAL,
			"culvertd knows no migration '%s' since it started; culvert status lists "
			"what it knows",
			subject);
	return 0;
}

static const char *guest_text(const struct snapshot *snapshot)
{
	const char *host = snapshot_guest_host(snapshot, "here");

	if (host)
		return host;
	return snapshot->guest == GUEST_NOWHERE ? "nowhere" : "unknown";
}

static void add_row(struct table *table, const struct snapshot *snapshot)
{
	struct format done = {"-"}, left = {"-"};
	struct format clock = format_clock(snapshot->elapsed_ms);
	const char *vm = snapshot->incoming && *snapshot->destination_vm ? snapshot->destination_vm
									 : snapshot->vm;
	char lost[100] = "-";
	char other[300];
	char phase[64];

	snapshot_phase_text(snapshot, phase, sizeof(phase));
	snprintf(other, sizeof(other), "%s %s", snapshot->incoming ? "from" : "to", snapshot->host);
	if (!snapshot->ended && snapshot->ram_total_bytes > 0) {
		snprintf(done.text, sizeof(done.text), "%u%%", snapshot_percent(snapshot));
		left = format_bytes(snapshot->ram_remaining_bytes);
	}
	if (snapshot->links_lost > 0)
		snprintf(lost, sizeof(lost), "%llu, %s, %s",
			(unsigned long long)snapshot->links_lost,
			format_ms(snapshot->linkless_total_ms).text,
			format_bytes(snapshot->replayed_bytes).text);
	table_add(table,
		(const char *[]){snapshot->id, vm, other, phase, done.text, left.text, clock.text,
			lost, guest_text(snapshot)});
}

static int print_table(const json_t *migrations, struct error *err)
{
	static const char *const headings[] = {
		"ID", "VM", "PEER", "PHASE", "DONE", "LEFT", "TIME", "LINKS LOST", "GUEST"};
	struct table table;
	struct snapshot snapshot;
	size_t index;
	json_t *migration;
	int result = 0;

	if (json_array_size(migrations) == 0) {
		puts("no migrations");
		return 0;
	}
	table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
	json_array_foreach((json_t *)migrations, index, migration)
	{
		result = snapshot_read(migration, &snapshot, err);
		if (result < 0)
			break;
		add_row(&table, &snapshot);
	}
	if (result == 0)
		table_print(&table, stdout);
	table_fini(&table);
	return result;
}

static int run(const struct options *options, struct error *err)
{
	json_t *answer = order(options, "status", NULL, COMMAND_TIMEOUT_MS, err);
	json_t *migrations = json_object_get(answer, "migrations");
	int result;

	if (!answer)
		return -1;
	result = keep(migrations, options->operands[0], err);
	if (result == 0 && options->json)
		output_json(answer);
	else if (result == 0)
		result = print_table(migrations, err);
	json_decref(answer);
	return result;
}

const struct command command_status = {
	.name = "status",
	.synopsis = "[ID|VM] [--json]",
	.summary = "list migrations: those that run and the last that ended",
	.help = "  --json  print what culvertd answers, on one line\n",
	.allowed = OPTION_JSON,
	.fewest_operands = 0,
	.most_operands = 1,
	.run = run,
};
