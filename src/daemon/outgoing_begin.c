#include "daemon/outgoing_begin.h"

#include "daemon/journal.h"
#include "daemon/outgoing_disks.h"
#include "daemon/outgoing_stream.h"

int outgoing_check_cancelled(struct outgoing *outgoing, struct error *err)
{
	unsigned requests = migration_take_requests(outgoing->migration);

	outgoing->switch_requested |= (requests & REQUEST_SWITCH) != 0;
	if (requests & REQUEST_CANCEL)
		return error_set(err, ERROR_CANCELLED, "cancelled before memory moved");
	if (atomic_load(&outgoing->daemon->stopping))
		return error_set(err, ERROR_CANCELLED, "culvertd is stopping");
	return 0;
}

/* What this host alone can say, before anybody else is asked */
static int prepare_here(struct outgoing *outgoing, struct error *err)
{
	const struct config *config = outgoing->daemon->config;
	const struct migration_plan *plan = &outgoing->plan;
	const struct streams *streams = &plan->streams;

	outgoing->qemu = qemu_open(config->qmp_directory, plan->vm, err);
	if (!outgoing->qemu ||
		streams_check(streams, plan->mode, streams_version(qemu_version(outgoing->qemu)),
			"this host", err) < 0)
		return -1;
	if ((streams->disks || streams_need_path(streams)) &&
		!qemu_may_meet(outgoing->qemu, config->hypervisor_group, err))
		return -1;
	if (!streams->disks)
		return 0;
	if (qemu_disks_find(qemu_monitor(outgoing->qemu), &outgoing->disks, err) < 0)
		return error_prefix(err, "'%s'", plan->vm);
	return 0;
}

/* Keys of what is not asked for are absent: an older destination refuses keys that it does not
 * know. */
static json_t *question(const struct outgoing *outgoing)
{
	const struct migration_plan *plan = &outgoing->plan;
	json_t *value = json_pack("{ss ss ss ss ss}", "id", plan->id, "vm", plan->destination_vm,
		"source_vm", plan->vm, "mode", migration_mode_name(plan->mode), "qemu",
		qemu_version(outgoing->qemu));

	if (plan->streams.parallel_count > 0)
		json_object_set_new(
			value, "parallel", json_integer((json_int_t)plan->streams.parallel_count));
	if (plan->streams.preempt)
		json_object_set_new(value, "preempt", json_true());
	if (plan->streams.disks)
		json_object_set_new(value, "disks", qemu_disks_encode(&outgoing->disks));
	return value;
}

static int prepare_both(struct outgoing *outgoing, struct error *err)
{
	const struct migration_plan *plan = &outgoing->plan;
	const char *their_version;
	json_t *result = NULL;
	int prepared;

	if (prepare_here(outgoing, err) < 0)
		return -1;
	outgoing->contact = contact_new(outgoing->daemon, outgoing->peer, err);
	if (!outgoing->contact || outgoing_check_cancelled(outgoing, err) < 0)
		return -1;
	if (contact_ask(outgoing->contact, "prepare", question(outgoing), &result, err) < 0)
		return -1;
	their_version = json_string_value(json_object_get(result, "qemu"));
	prepared = qemu_prepare(
		outgoing->qemu, ROLE_SOURCE, plan->mode, &plan->streams, their_version, err);
	json_decref(result);
	if (prepared < 0)
		return -1;
	return outgoing_check_cancelled(outgoing, err);
}

int outgoing_write_journal(struct outgoing *outgoing, struct error *err)
{
	struct journal_entry entry = {
		.plan = outgoing->plan,
		.started = outgoing->started,
		.halted = outgoing->halted,
		.found = qemu_found(outgoing->qemu),
	};
	int result = journal_write(outgoing->daemon->config->runtime_directory, &entry, err);

	json_decref(entry.found);
	if (result == 0)
		outgoing->halted_noted = outgoing->halted;
	return result;
}

static int start(struct outgoing *outgoing, struct error *err)
{
	if (outgoing_check_cancelled(outgoing, err) < 0 ||
		contact_ask(outgoing->contact, "start", NULL, NULL, err) < 0)
		return -1;
	outgoing->started = true;
	if (outgoing_write_journal(outgoing, err) == 0 && qemu_start(outgoing->qemu, err) == 0)
		return 0;
	/* A QEMU that listens there has to be told; the other sees its stream end. */
	outgoing->started = streams_need_path(&outgoing->plan.streams);
	return -1;
}

int outgoing_begin(struct outgoing *outgoing, struct error *err)
{
	if (outgoing_check_cancelled(outgoing, err) < 0 || prepare_both(outgoing, err) < 0 ||
		outgoing_write_journal(outgoing, err) < 0 || outgoing_stream_lay(outgoing, err) < 0)
		return -1;
	if (outgoing->disks.count > 0 && outgoing_disks_copy(outgoing, err) < 0)
		return -1;
	return start(outgoing, err);
}
