#include "cli/verdict.h"

#include <string.h>

#include "cli/format.h"

/* Good is green, bad red, what somebody asked for neither */
static const char *headline_colour(const struct snapshot *snapshot)
{
	if (snapshot->phase == PHASE_COMPLETED && snapshot->guest == GUEST_DESTINATION)
		return "\033[32m";
	if (snapshot->phase == PHASE_CANCELLED && snapshot->guest == GUEST_SOURCE)
		return "\033[1m";
	return "\033[31m";
}

static void print_headline(FILE *file, const struct snapshot *snapshot, const char *host)
{
	const char *vm = snapshot->vm;

	if (snapshot->phase == PHASE_COMPLETED && snapshot->guest == GUEST_DESTINATION)
		fprintf(file, "%s now runs on %s", vm, host);
	else if (host && snapshot->guest == GUEST_SOURCE && snapshot->ram_total_bytes == 0)
		/* Whether it runs was not looked at, or it is not even there. */
		fprintf(file, "%s: nothing was moved: %s was left as it was on %s",
			snapshot->phase_name, vm, host);
	else if (snapshot->phase == PHASE_CANCELLED && host)
		fprintf(file, "cancelled: %s runs on %s", vm, host);
	else if (host)
		fprintf(file, "%s: %s runs on %s", snapshot->phase_name, vm, host);
	else if (snapshot->guest == GUEST_NOWHERE)
		fprintf(file, "%s: %s runs on neither host", snapshot->phase_name, vm);
	else
		fprintf(file, "%s: where %s runs is not known", snapshot->phase_name, vm);
	if (snapshot->guest == GUEST_DESTINATION && *snapshot->destination_vm &&
		strcmp(snapshot->destination_vm, vm) != 0)
		fprintf(file, " as %s", snapshot->destination_vm);
}

static void print_times(FILE *file, const struct snapshot *snapshot)
{
	uint64_t total_ms = snapshot->total_ms ? snapshot->total_ms : snapshot->elapsed_ms;

	fprintf(file, "  total          %s", format_ms(total_ms).text);
	if (snapshot->setup_ms > 0)
		fprintf(file, ", of it setup %s", format_ms(snapshot->setup_ms).text);
	fputc('\n', file);
	if (snapshot->downtime_ms > 0 || snapshot->phase == PHASE_COMPLETED)
		fprintf(file, "  downtime       %s\n",
			snapshot->downtime_ms ? format_ms(snapshot->downtime_ms).text
					      : "not known here");
}

static void print_figures(FILE *file, const struct snapshot *snapshot)
{
	unsigned long long pass = snapshot->pass;

	if (*snapshot->mode)
		fprintf(file, "  mode           %s\n", snapshot->mode);
	print_times(file, snapshot);
	if (snapshot->ram_transferred_bytes > 0) {
		fprintf(file, "  memory sent    %s",
			format_bytes(snapshot->ram_transferred_bytes).text);
		if (pass > 0)
			fprintf(file, " in %llu pass%s", pass, pass == 1 ? "" : "es");
		if (snapshot->ram_total_bytes > 0)
			fprintf(file, ", the guest has %s",
				format_bytes(snapshot->ram_total_bytes).text);
		fputc('\n', file);
	}
	if (snapshot->disk_copied_bytes > 0)
		fprintf(file, "  disks sent     %s\n",
			format_bytes(snapshot->disk_copied_bytes).text);
	if (snapshot->page_requests > 0 ||
		(snapshot->ram_transferred_bytes > 0 && strcmp(snapshot->mode, "precopy") != 0))
		fprintf(file, "  page requests  %llu\n",
			(unsigned long long)snapshot->page_requests);
	if (snapshot->tunnel_to_peer_bytes > 0 || snapshot->tunnel_to_local_bytes > 0) {
		struct format to_peer = format_bytes(snapshot->tunnel_to_peer_bytes);
		struct format to_local = format_bytes(snapshot->tunnel_to_local_bytes);

		fprintf(file, "  tunnel         %s to %s, %s from it\n", to_peer.text,
			snapshot->host, to_local.text);
	}
	if (snapshot->links_lost > 0)
		fprintf(file, "  links lost     %llu, %s without one, %s sent again\n",
			(unsigned long long)snapshot->links_lost,
			format_ms(snapshot->linkless_total_ms).text,
			format_bytes(snapshot->replayed_bytes).text);
}

static void print_advice(FILE *file, const struct snapshot *snapshot, const struct options *options)
{
	char subject[400];
	char command[600];

	if (*snapshot->advice) {
		fprintf(file, "  what to do     %s\n", snapshot->advice);
	} else if (snapshot->phase == PHASE_FAILED && snapshot->guest == GUEST_SOURCE &&
		!snapshot->incoming) {
		snprintf(subject, sizeof(subject), "%s %s", snapshot->vm, snapshot->host);
		options_command(options, "migrate", subject, command, sizeof(command));
		fprintf(file, "  what to do     mend the cause, then begin again: %s\n", command);
	}
}

void verdict_print(FILE *file, const struct snapshot *snapshot, const char *here,
	const struct options *options, bool colour)
{
	if (colour)
		fputs(headline_colour(snapshot), file);
	print_headline(file, snapshot, snapshot_guest_host(snapshot, here));
	fputs(colour ? "\033[0m\n" : "\n", file);
	print_figures(file, snapshot);
	print_advice(file, snapshot, options);
}
