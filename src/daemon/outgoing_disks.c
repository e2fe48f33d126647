#include "daemon/outgoing_disks.h"

#include <string.h>

#include "base/log.h"
#include "daemon/outgoing_begin.h"
#include "daemon/outgoing_stream.h"

#define TURN_MS 200

/* @returns  as qemu_disks_progress(); a QEMU that has not answered is asked again */
static int look(struct outgoing *outgoing, struct qemu_disks_progress *progress, struct error *err)
{
	struct qmp *qmp = qemu_monitor(outgoing->qemu);

	if (qemu_disks_progress(qmp, outgoing->disks.count, progress, err) < 0) {
		if (!qmp_unanswered(qmp) || qmp_gone(qmp))
			return -1;
		progress->ready = false;
		return 0;
	}
	outgoing->disk_total_bytes = progress->total_bytes;
	outgoing->disk_copied_bytes = progress->copied_bytes;
	return 0;
}

static int hear_destination(struct outgoing *outgoing, struct error *err)
{
	const char *host = outgoing->peer->name;

	if (contact_listen(outgoing->contact, 0, &outgoing->news, err) < 0)
		return -1;
	if (outgoing->news.stopping)
		return error_set(err, ERROR_LINK, "culvertd on %s is stopping", host);
	if (strcmp(outgoing->news.status, "gone") == 0)
		return error_set(
			err, ERROR_HYPERVISOR, "the QEMU on %s ended; its log says why", host);
	return 0;
}

/* qemu_query() knows nothing of them. */
static void set_figures(struct outgoing *outgoing)
{
	outgoing->figures.disk_total_bytes = outgoing->disk_total_bytes;
	outgoing->figures.disk_copied_bytes = outgoing->disk_copied_bytes;
}

static int copy_all(struct outgoing *outgoing, struct error *err)
{
	struct qemu_disks_progress progress;

	do {
		struct error ignored;

		if (outgoing_check_cancelled(outgoing, err) < 0 ||
			hear_destination(outgoing, err) < 0)
			return -1;
		if (qemu_query(outgoing->qemu, TURN_MS, &outgoing->figures, &ignored) < 0 &&
			qemu_gone(outgoing->qemu))
			return error_set(err, ERROR_HYPERVISOR, "the QEMU on the source ended");
		if (look(outgoing, &progress, err) < 0)
			return -1;
		set_figures(outgoing);
		migration_set_figures(outgoing->migration, &outgoing->figures);
		outgoing_stream_publish(outgoing);
	} while (!progress.ready);
	return 0;
}

int outgoing_disks_copy(struct outgoing *outgoing, struct error *err)
{
	char path[CONFIG_SOCKET_BYTES];

	rendezvous_socket_path(outgoing->daemon->config, rendezvous_token(outgoing->rendezvous),
		RENDEZVOUS_DISKS, path);
	migration_set_phase(outgoing->migration, PHASE_DISKS, GUEST_SOURCE);
	if (qemu_disks_copy(qemu_monitor(outgoing->qemu), &outgoing->disks, path, err) < 0)
		return -1;
	return copy_all(outgoing, err);
}

/* The guest stands still, and nothing is written any more. @returns  1: go on, 0: not yet, -1 */
static int complete(struct outgoing *outgoing, struct error *err)
{
	struct qmp *qmp = qemu_monitor(outgoing->qemu);
	int done = qemu_disks_complete(qmp, outgoing->disks.count, err);

	if (done < 0 && qmp_unanswered(qmp))
		return 0;
	if (done <= 0)
		return done;
	/* Before the guest runs there, nobody else may write to its disks. */
	if (contact_ask(outgoing->contact, "copied", NULL, NULL, err) < 0)
		return -1;
	outgoing->disks_complete = true;
	log_event(LOG_NOTICE, "migration.disks_complete", "migration=%s elapsed_ms=%llu",
		outgoing->plan.id, (unsigned long long)migration_elapsed_ms(outgoing->migration));
	return 1;
}

int outgoing_disks_turn(struct outgoing *outgoing, struct error *err)
{
	struct qemu_disks_progress progress;
	int done;

	set_figures(outgoing);
	if (strcmp(outgoing->figures.status, QEMU_PRE_SWITCHOVER) != 0)
		return outgoing->disks_complete ? 0 : look(outgoing, &progress, err);
	done = outgoing->disks_complete ? 1 : complete(outgoing, err);
	return done == 1 ? qemu_continue(outgoing->qemu, err) : done;
}

void outgoing_disks_end(struct outgoing *outgoing)
{
	/* A job that waits for the tunnel would not end before that does. */
	if (outgoing->rendezvous)
		rendezvous_cut(outgoing->rendezvous, RENDEZVOUS_DISKS);
}
