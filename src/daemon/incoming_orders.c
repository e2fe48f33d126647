#include "daemon/incoming_orders.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/arguments.h"
#include "daemon/doctor.h"
#include "daemon/incoming_rendezvous.h"
#include "daemon/incoming_stream.h"
#include "daemon/journal.h"
#include "daemon/keep.h"

struct preparation {
	const char *id;
	const char *vm;
	const char *source_vm;
	const char *mode;
	const char *version;
	struct streams streams;
	struct qemu_disks disks;
};

/* 'disks' is a list, and no argument like others. */
static int read_preparation(
	const json_t *arguments, struct preparation *preparation, struct error *err)
{
	json_t *plain = json_copy((json_t *)arguments);
	const json_t *disks = json_object_get(arguments, "disks");
	const struct argument table[] = {
		{.key = "id", .required = true, .text = &preparation->id},
		{.key = "vm", .required = true, .text = &preparation->vm},
		{.key = "source_vm", .required = true, .text = &preparation->source_vm},
		{.key = "mode", .required = true, .text = &preparation->mode},
		{.key = "qemu", .required = true, .text = &preparation->version},
		{.key = "parallel", .number = &preparation->streams.parallel_count},
		{.key = "preempt", .flag = &preparation->streams.preempt},
	};
	int result;

	json_object_del(plain, "disks");
	result = arguments_read(plain, table, ARGUMENTS_COUNT(table), err);
	json_decref(plain); /* its texts are those of @arguments */
	if (result < 0)
		return -1;
	if (preparation->streams.parallel_count > STREAMS_PARALLEL_MOST)
		return error_set(err, ERROR_USAGE, "'parallel' is at most %d streams",
			STREAMS_PARALLEL_MOST);
	if (disks && qemu_disks_decode(disks, &preparation->disks, err) < 0)
		return -1;
	preparation->streams.disks = preparation->disks.count > 0;
	return 0;
}

static int begin(
	struct incoming *incoming, const struct preparation *preparation, struct error *err)
{
	struct migration_plan plan = {.incoming = true, .streams = preparation->streams};

	if (!migration_is_id(preparation->id))
		return error_set(err, ERROR_USAGE, "'id' is not 8 hex digits");
	if (!parse_is_name(preparation->vm) || !parse_is_name(preparation->source_vm))
		return error_set(err, ERROR_USAGE, "'vm' is not a name");
	if (migration_mode_parse(preparation->mode, &plan.mode, err) < 0)
		return -1;
	memcpy(plan.id, preparation->id, sizeof(plan.id));
	snprintf(plan.vm, sizeof(plan.vm), "%s", preparation->source_vm);
	snprintf(plan.destination_vm, sizeof(plan.destination_vm), "%s", preparation->vm);
	snprintf(plan.host, sizeof(plan.host), "%s", incoming->peer->name);
	incoming_table_supersede(incoming->daemon->incoming, preparation->vm, plan.host);
	incoming->migration = migrations_begin(incoming->daemon->migrations, &plan, err);
	if (!incoming->migration)
		return -1;
	incoming->plan = plan;
	incoming->disks = preparation->disks;
	incoming_table_add(incoming->daemon->incoming, incoming);
	return 0;
}

/* So that a daemon that is started after this one was killed knows of it */
static int write_journal(struct incoming *incoming, struct error *err)
{
	struct journal_entry entry = {
		.plan = incoming->plan,
		.started = atomic_load(&incoming->started),
		.halted = incoming->stay,
		.found = qemu_found(incoming->qemu),
	};
	int result = journal_write(incoming->daemon->config->runtime_directory, &entry, err);

	json_decref(entry.found);
	return result;
}

/* What is known beforehand, then what is set. On failure this QEMU is as it was. */
static int prepare_qemu(struct incoming *incoming, const char *version, struct error *err)
{
	const struct config *config = incoming->daemon->config;
	const struct migration_plan *plan = &incoming->plan;
	const struct streams *streams = &plan->streams;

	incoming->qemu = qemu_open(config->qmp_directory, plan->destination_vm, err);
	if (!incoming->qemu)
		return -1;
	keep_put(plan->id, KEEP_QMP, qemu_descriptor(incoming->qemu));
	if (streams_check(streams, plan->mode, streams_version(qemu_version(incoming->qemu)),
		    config->name, err) < 0)
		return -1;
	if ((streams->disks || streams_need_path(streams)) &&
		!qemu_may_meet(incoming->qemu, config->hypervisor_group, err))
		return -1;
	if (qemu_disks_match(qemu_monitor(incoming->qemu), &incoming->disks, err) < 0 ||
		qemu_prepare(incoming->qemu, ROLE_DESTINATION, plan->mode, streams, version, err) <
			0)
		return -1;
	return write_journal(incoming, err);
}

static json_t *prepare(struct incoming *incoming, json_t *arguments, struct error *err)
{
	struct preparation preparation = {0};

	if (incoming->migration || incoming->qemu || incoming->attached || incoming->finished ||
		*incoming->rendezvous) {
		error_set(err, ERROR_USAGE, "prepared already");
		return NULL;
	}
	if (read_preparation(arguments, &preparation, err) < 0 ||
		begin(incoming, &preparation, err) < 0)
		return NULL;
	log_event_limited(LOG_NOTICE, "migration.incoming", "migration=%s vm=%s host=%s mode=%s",
		incoming->plan.id, preparation.vm, incoming->peer->name, preparation.mode);
	incoming->prepared_ms = clock_now_ms();
	if (prepare_qemu(incoming, preparation.version, err) < 0) {
		if (incoming->qemu)
			(void)qemu_release(incoming->qemu);
		incoming_end(incoming, PHASE_FAILED, GUEST_SOURCE, err, NULL);
		qemu_free(incoming->qemu);
		incoming->qemu = NULL;
		return NULL;
	}
	return json_pack("{ss}", "qemu", qemu_version(incoming->qemu));
}

static json_t *attach(struct incoming *incoming, const json_t *arguments, struct error *err)
{
	bool again = incoming->begun || incoming->paused;
	const char *rendezvous = NULL;
	const struct argument table[] = {{.key = "rendezvous", .text = &rendezvous}};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	if (!incoming->migration || !incoming->qemu || (incoming->attached && !again)) {
		error_set(err, ERROR_USAGE,
			"'attach' comes once, after 'prepare', and when post-copy was interrupted");
		return NULL;
	}
	if ((again ? incoming_stream_lay_again(incoming, rendezvous, err)
		   : incoming_stream_lay(incoming, rendezvous, err)) < 0)
		return NULL;
	if (streams_need_path(&incoming->plan.streams))
		return json_object();
	return json_pack("{ss}", "token", incoming->token);
}

/* The source has written all, and its guest stands still: nobody writes here any more before the
 * guest does. */
static int withdraw_disks(struct incoming *incoming, struct error *err)
{
	if (qemu_disks_withdraw(qemu_monitor(incoming->qemu), err) < 0)
		return -1;
	incoming->disks_exported = false;
	return 0;
}

static json_t *end_disks(struct incoming *incoming, struct error *err)
{
	if (!incoming->disks_exported || !incoming->started || !incoming->qemu) {
		error_set(err, ERROR_USAGE, "'copied' comes once, after 'start', where disks are");
		return NULL;
	}
	return withdraw_disks(incoming, err) < 0 ? NULL : json_object();
}

static json_t *start(struct incoming *incoming, struct error *err)
{
	if (!incoming->migration || !incoming->attached || incoming->started) {
		error_set(err, ERROR_USAGE, "'start' comes once, after 'attach'");
		return NULL;
	}
	/* Nothing would ever end what QEMU then waits for. */
	if (*incoming->token && offers_waits(incoming->daemon->offers, incoming->token)) {
		error_set(err, ERROR_USAGE, "'start' comes after the stream's channel was opened");
		return NULL;
	}
	if (qemu_hold_guest(incoming->qemu, err) < 0)
		return NULL;
	atomic_store(&incoming->started, true);
	if (write_journal(incoming, err) < 0 || qemu_start(incoming->qemu, err) < 0) {
		struct error ignored;

		atomic_store(&incoming->started, false);
		(void)qemu_run_guest(incoming->qemu, &ignored); /* as it was */
		return NULL;
	}
	migration_set_phase(incoming->migration, PHASE_PRECOPY, GUEST_SOURCE);
	return json_object();
}

static json_t *announce_postcopy(
	struct incoming *incoming, const json_t *arguments, struct error *err)
{
	bool run = true;
	const struct argument table[] = {{.key = "run", .flag = &run}};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	if (!incoming->started || !incoming->migration) {
		error_set(err, ERROR_USAGE, "'postcopy' comes after 'start'");
		return NULL;
	}
	if (incoming->leaving) {
		error_set(err, ERROR_LINK, "culvertd is stopping there");
		return NULL;
	}
	incoming->stay = !run;
	if (write_journal(incoming, err) < 0)
		return NULL;
	incoming->postcopy = true;
	migration_hasten(incoming->migration);
	return json_object();
}

/* Its QEMU ends with its stream, here at the latest - or, where it still listens for more, by what
 * is as good. */
static void abandon(struct incoming *incoming)
{
	struct migration_figures figures;
	struct error ignored;

	(void)qemu_abandon(incoming->qemu, &ignored);
	if (streams_need_path(&incoming->plan.streams) &&
		qemu_query(incoming->qemu, 0, &figures, &ignored) == 0 &&
		(figures.state == MIGRATION_NONE || figures.state == MIGRATION_SETUP))
		(void)qemu_quit(incoming->qemu, &ignored);
}

/* What has come of the guest so far must not stay to be run by mistake. Safe to repeat */
static int keep_at_source(struct incoming *incoming, struct error *err)
{
	if (!incoming->started)
		return error_set(err, ERROR_USAGE, "'finish' comes after 'start'");
	incoming->kept = true;
	if (incoming->migration && incoming->arrived)
		incoming_end_arrived(incoming, false);
	else if (incoming->migration && incoming->qemu)
		abandon(incoming);
	return 0;
}

/* Safe to repeat, also after the end */
static int run_here(struct incoming *incoming, bool run, bool *running, struct error *err)
{
	if (incoming->finished && !incoming->migration) {
		*running = incoming->running;
		return 0;
	}
	if (!incoming->started || !incoming->qemu || incoming->kept)
		return error_set(err, ERROR_USAGE, "'finish' comes after 'start'");
	/* Nobody but the guest may write to its disks. */
	if (incoming->disks_exported && withdraw_disks(incoming, err) < 0)
		return -1;
	incoming->stay |= !run;
	if (incoming->migration && incoming_let_run(incoming, err) < 0)
		return -1;
	incoming->finished = true;
	if (qemu_guest_running(incoming->qemu, running, err) < 0)
		return -1;
	if (incoming->migration && incoming->arrived)
		incoming_end_arrived(incoming, *running);
	return 0;
}

static json_t *finish(struct incoming *incoming, const json_t *arguments, struct error *err)
{
	const char *guest = NULL;
	bool run = false;
	bool running = false;
	int done;
	const struct argument table[] = {
		{.key = "guest", .required = true, .text = &guest},
		{.key = "run", .flag = &run},
	};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	if (strcmp(guest, "destination") == 0)
		done = run_here(incoming, run, &running, err);
	else if (strcmp(guest, "source") != 0)
		done = error_set(err, ERROR_USAGE, "'guest' is source or destination");
	else if (incoming->finished || incoming->begun)
		done = error_set(err, ERROR_USAGE, "the guest was handed over to this host");
	else
		done = keep_at_source(incoming, err);
	return done < 0 ? NULL : json_pack("{sb}", "running", running);
}

/* Before a migration or instead of one; whole only once, for it starts programs. */
static json_t *tell_facts(struct incoming *incoming, const json_t *arguments, struct error *err)
{
	bool brief = false;
	const struct argument table[] = {{.key = "brief", .flag = &brief}};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	if (incoming->migration || (incoming->examined && !brief)) {
		error_set(err, ERROR_USAGE, "'doctor' comes once, and without a migration");
		return NULL;
	}
	incoming->examined |= !brief;
	return doctor_tell(incoming->daemon, incoming->peer, brief, err);
}

json_t *incoming_obey(
	struct incoming *incoming, const struct control_command *command, struct error *err)
{
	bool last_words =
		strcmp(command->name, "postcopy") == 0 || strcmp(command->name, "finish") == 0;

	if (*incoming->rendezvous && last_words)
		return incoming_rendezvous_obey(incoming, command, err);
	if (strcmp(command->name, "rendezvous") == 0)
		return incoming_rendezvous_make(incoming, command->arguments, err);
	if (strcmp(command->name, "prepare") == 0)
		return prepare(incoming, command->arguments, err);
	if (strcmp(command->name, "postcopy") == 0)
		return announce_postcopy(incoming, command->arguments, err);
	if (strcmp(command->name, "attach") == 0)
		return attach(incoming, command->arguments, err);
	if (strcmp(command->name, "finish") == 0)
		return finish(incoming, command->arguments, err);
	if (strcmp(command->name, "doctor") == 0)
		return tell_facts(incoming, command->arguments, err);
	if (arguments_read(command->arguments, NULL, 0, err) < 0)
		return NULL;
	if (strcmp(command->name, "ping") == 0)
		return json_object();
	if (strcmp(command->name, "copied") == 0)
		return end_disks(incoming, err);
	if (strcmp(command->name, "start") == 0)
		return start(incoming, err);
	error_set(err, ERROR_USAGE, "unknown command '%s'", command->name);
	return NULL;
}
