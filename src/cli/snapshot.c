#include "cli/snapshot.h"

#include <stdio.h>
#include <string.h>

#include "cli/format.h"
#include "control/control.h"

static void read_text(const json_t *object, const char *key, char *text, size_t size)
{
	const char *value = json_string_value(json_object_get(object, key));

	format_copy(text, size, value ? value : "");
}

static uint64_t read_figure(const json_t *object, const char *key)
{
	double value = json_number_value(json_object_get(object, key));

	return value > 0 && value < 1e18 ? (uint64_t)value : 0;
}

static void read_figures(const json_t *object, struct snapshot *snapshot)
{
	snapshot->pass = read_figure(object, "pass");
	snapshot->ram_total_bytes = read_figure(object, "ram_total_bytes");
	snapshot->ram_remaining_bytes = read_figure(object, "ram_remaining_bytes");
	snapshot->ram_transferred_bytes = read_figure(object, "ram_transferred_bytes");
	snapshot->rate_bytes_per_s = read_figure(object, "rate_bytes_per_s");
	snapshot->dirty_rate_bytes_per_s = read_figure(object, "dirty_rate_bytes_per_s");
	snapshot->disk_total_bytes = read_figure(object, "disk_total_bytes");
	snapshot->disk_copied_bytes = read_figure(object, "disk_copied_bytes");
	snapshot->page_requests = read_figure(object, "page_requests");
	snapshot->expected_downtime_ms = read_figure(object, "expected_downtime_ms");
	snapshot->downtime_ms = read_figure(object, "downtime_ms");
	snapshot->setup_ms = read_figure(object, "setup_ms");
	snapshot->total_ms = read_figure(object, "total_ms");
	snapshot->elapsed_ms = read_figure(object, "elapsed_ms");
	snapshot->tunnel_to_peer_bytes = read_figure(object, "tunnel_to_peer_bytes");
	snapshot->tunnel_to_local_bytes = read_figure(object, "tunnel_to_local_bytes");
	snapshot->links_lost = read_figure(object, "links_lost");
	snapshot->replayed_bytes = read_figure(object, "replayed_bytes");
	snapshot->linkless_ms = read_figure(object, "linkless_ms");
	snapshot->linkless_total_ms = read_figure(object, "linkless_total_ms");
	snapshot->resume_deadline_ms = read_figure(object, "resume_deadline_ms");
}

int snapshot_read(const json_t *object, struct snapshot *snapshot, struct error *err)
{
	static const char *const required[] = {"id", "vm", "host", "phase"};
	const json_t *failure = json_object_get(object, "error");
	char word[16];

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		if (!json_is_string(json_object_get(object, required[i])))
			return error_set(err, ERROR_LOCAL,
				"culvertd described a migration without '%s'; are culvert and "
				"culvertd of one version?",
				required[i]);
	}
	if (!json_is_boolean(json_object_get(object, "ended")))
		return error_set(err, ERROR_LOCAL,
			"culvertd described a migration without 'ended'; are culvert and culvertd "
			"of one version?");
	memset(snapshot, 0, sizeof(*snapshot));
	read_text(object, "id", snapshot->id, sizeof(snapshot->id));
	read_text(object, "vm", snapshot->vm, sizeof(snapshot->vm));
	read_text(object, "destination_vm", snapshot->destination_vm,
		sizeof(snapshot->destination_vm));
	read_text(object, "host", snapshot->host, sizeof(snapshot->host));
	read_text(object, "mode", snapshot->mode, sizeof(snapshot->mode));
	read_text(object, "phase", snapshot->phase_name, sizeof(snapshot->phase_name));
	read_text(object, "advice", snapshot->advice, sizeof(snapshot->advice));
	read_text(object, "waiting", snapshot->waiting, sizeof(snapshot->waiting));
	snapshot->phase = phase_find(snapshot->phase_name);
	read_text(object, "guest", word, sizeof(word));
	snapshot->guest = phase_find_guest(word);
	read_text(object, "direction", word, sizeof(word));
	snapshot->incoming = strcmp(word, "incoming") == 0;
	snapshot->ended = json_is_true(json_object_get(object, "ended"));
	read_figures(object, snapshot);
	if (json_is_object(failure)) {
		control_error_decode(failure, &snapshot->failure);
		format_clean(snapshot->failure.message);
	}
	return 0;
}

bool snapshot_copies_disks(const struct snapshot *snapshot)
{
	return snapshot->disk_total_bytes > 0 && snapshot->ram_total_bytes == 0 && !snapshot->ended;
}

unsigned snapshot_percent(const struct snapshot *snapshot)
{
	uint64_t total = snapshot->ram_total_bytes;
	uint64_t remaining = snapshot->ram_remaining_bytes;

	if (snapshot->phase == PHASE_COMPLETED)
		return 100;
	if (snapshot_copies_disks(snapshot)) {
		total = snapshot->disk_total_bytes;
		remaining = total -
			(snapshot->disk_copied_bytes < total ? snapshot->disk_copied_bytes : total);
	}
	if (total == 0 || remaining >= total)
		return 0;
	return (unsigned)((double)(total - remaining) * 100 / (double)total);
}

/* Shorter losses are over before anyone can read of them. */
#define LINKLESS_SHOWN_MS 1000

void snapshot_phase_text(const struct snapshot *snapshot, char *text, size_t size)
{
	uint64_t left_ms = snapshot->resume_deadline_ms > snapshot->linkless_ms
		? snapshot->resume_deadline_ms - snapshot->linkless_ms
		: 0;

	if (!snapshot->ended && snapshot->linkless_ms >= LINKLESS_SHOWN_MS &&
		snapshot->resume_deadline_ms == 0) {
		snprintf(text, size, "%s, no connection to %s for %llu s", snapshot->phase_name,
			snapshot->host, (unsigned long long)snapshot->linkless_ms / 1000);
		return;
	}
	if (!snapshot->ended && snapshot->linkless_ms >= LINKLESS_SHOWN_MS) {
		snprintf(text, size, "waiting for %s, %llu s of %llu s left", snapshot->host,
			(unsigned long long)left_ms / 1000,
			(unsigned long long)snapshot->resume_deadline_ms / 1000);
		return;
	}
	if (*snapshot->waiting) {
		snprintf(text, size, "%s, waiting for %s", snapshot->phase_name, snapshot->host);
		return;
	}
	switch (snapshot->phase) {
	case PHASE_DISKS:
		snprintf(text, size, "copying disks");
		return;
	case PHASE_PRECOPY:
		if (snapshot_copies_disks(snapshot)) /* libvirt has one phase for both */
			snprintf(text, size, "copying disks");
		else if (snapshot->pass > 0)
			snprintf(text, size, "pre-copy, pass %llu",
				(unsigned long long)snapshot->pass);
		else
			snprintf(text, size, "pre-copy");
		return;
	case PHASE_POSTCOPY:
		snprintf(text, size, "post-copy");
		return;
	case PHASE_PAUSED:
		snprintf(text, size, "post-copy paused");
		return;
	case PHASE_PREPARING:
	case PHASE_FINISHING:
	case PHASE_COMPLETED:
	case PHASE_FAILED:
	case PHASE_CANCELLED:
	case PHASE_LOST:
	case PHASE_OTHER:
		snprintf(text, size, "%s", snapshot->phase_name);
		return;
	}
}

const char *snapshot_guest_host(const struct snapshot *snapshot, const char *here)
{
	switch (snapshot->guest) {
	case GUEST_SOURCE:
		return snapshot->incoming ? snapshot->host : here;
	case GUEST_DESTINATION:
		return snapshot->incoming ? here : snapshot->host;
	case GUEST_UNKNOWN:
	case GUEST_NOWHERE:
		break;
	}
	return NULL;
}

int snapshot_outcome(const struct snapshot *snapshot, struct error *err)
{
	*err = snapshot->failure;
	if (err->code == ERROR_NONE)
		error_set(err, ERROR_LOCAL, "the migration of %s ended as '%s'", snapshot->vm,
			snapshot->phase_name);
	if (snapshot->phase == PHASE_COMPLETED && snapshot->guest == GUEST_DESTINATION)
		return 0;
	if (snapshot->phase == PHASE_LOST || snapshot->phase == PHASE_COMPLETED ||
		snapshot->guest == GUEST_UNKNOWN || snapshot->guest == GUEST_NOWHERE)
		err->code = ERROR_GUEST;
	else if (snapshot->phase == PHASE_CANCELLED)
		err->code = ERROR_CANCELLED;
	return -1;
}
