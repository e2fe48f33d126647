#include "daemon/incoming.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/arguments.h"
#include "control/control.h"
#include "daemon/conversation.h"
#include "daemon/incoming_end.h"
#include "daemon/incoming_stream.h"

/* Of all conversations (conversation.c): the others are for this host's own operator, who must be
 * heard whatever peers do. */
#define PEERS_MOST 768

static atomic_uint peers_count;

/* A source that has asked to prepare holds a machine here, and starts within seconds. */
#define PREPARED_MS 300000

/* A QEMU that could not be reached is tried again so often. */
#define REACH_MS 1000

static int begin(struct incoming *incoming, const char *id, const char *vm, const char *source_vm,
	const char *mode, struct error *err)
{
	struct migration_plan plan = {.incoming = true};

	if (!migration_is_id(id))
		return error_set(err, ERROR_USAGE, "'id' is not 8 hex digits");
	if (!parse_is_name(vm) || !parse_is_name(source_vm))
		return error_set(err, ERROR_USAGE, "'vm' is not a name");
	if (migration_mode_parse(mode, &plan.mode, err) < 0)
		return -1;
	memcpy(plan.id, id, sizeof(plan.id));
	snprintf(plan.vm, sizeof(plan.vm), "%s", source_vm);
	snprintf(plan.destination_vm, sizeof(plan.destination_vm), "%s", vm);
	snprintf(plan.host, sizeof(plan.host), "%s", incoming->peer->name);
	incoming_table_supersede(incoming->daemon->incoming, vm, plan.host);
	incoming->migration = migrations_begin(incoming->daemon->migrations, &plan, err);
	if (!incoming->migration)
		return -1;
	incoming->plan = plan;
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

static json_t *prepare(struct incoming *incoming, json_t *arguments, struct error *err)
{
	const char *id = NULL, *vm = NULL, *source_vm = NULL, *mode = NULL, *version = NULL;
	const struct argument table[] = {
		{.key = "id", .required = true, .text = &id},
		{.key = "vm", .required = true, .text = &vm},
		{.key = "source_vm", .required = true, .text = &source_vm},
		{.key = "mode", .required = true, .text = &mode},
		{.key = "qemu", .required = true, .text = &version},
	};

	if (incoming->migration || incoming->qemu) {
		error_set(err, ERROR_USAGE, "prepared already");
		return NULL;
	}
	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0 ||
		begin(incoming, id, vm, source_vm, mode, err) < 0)
		return NULL;
	log_event(LOG_NOTICE, "migration.incoming", "migration=%s vm=%s host=%s mode=%s", id, vm,
		incoming->peer->name, mode);
	incoming->prepared_ms = clock_now_ms();
	incoming->qemu = qemu_open(incoming->daemon->config->qmp_directory, vm, err);
	if (!incoming->qemu ||
		qemu_prepare(incoming->qemu, ROLE_DESTINATION, incoming->plan.mode, version, err) <
			0 ||
		write_journal(incoming, err) < 0) {
		if (incoming->qemu)
			(void)qemu_release(incoming->qemu);
		incoming_end(incoming, PHASE_FAILED, GUEST_SOURCE, err, NULL);
		qemu_free(incoming->qemu);
		incoming->qemu = NULL;
		return NULL;
	}
	return json_pack("{ss}", "qemu", qemu_version(incoming->qemu));
}

static json_t *attach(struct incoming *incoming, struct error *err)
{
	bool again = incoming->begun;

	if (!incoming->migration || !incoming->qemu || (incoming->attached && !again)) {
		error_set(err, ERROR_USAGE,
			"'attach' comes once, after 'prepare', and when post-copy was interrupted");
		return NULL;
	}
	if (again ? incoming_stream_lay_again(incoming, err) : incoming_stream_lay(incoming, err))
		return NULL;
	return json_pack("{ss}", "token", incoming->token);
}

static json_t *start(struct incoming *incoming, struct error *err)
{
	if (!incoming->attached || incoming->started) {
		error_set(err, ERROR_USAGE, "'start' comes once, after 'attach'");
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
	return json_object();
}

static int let_run(struct incoming *incoming, struct error *err)
{
	if (incoming->let_run || incoming->stay)
		return 0;
	if (qemu_run_guest(incoming->qemu, err) < 0)
		return error_prefix(err, "the guest is complete here, but not started");
	incoming->let_run = true;
	return 0;
}

/* What has come of the guest so far must not stay to be run by mistake. */
static void keep_at_source(struct incoming *incoming)
{
	struct error ignored;

	incoming->kept = true;
	if (incoming->migration && !incoming->arrived)
		(void)qemu_abandon(incoming->qemu, &ignored); /* or it sees its stream end */
}

static json_t *finish(struct incoming *incoming, const json_t *arguments, struct error *err)
{
	const char *guest = NULL;
	bool run = false;
	bool running = false;
	const struct argument table[] = {
		{.key = "guest", .required = true, .text = &guest},
		{.key = "run", .flag = &run},
	};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	if (!incoming->started || !incoming->qemu || incoming->kept) {
		error_set(err, ERROR_USAGE, "'finish' comes after 'start'");
		return NULL;
	}
	if (strcmp(guest, "source") == 0 && !incoming->finished && !incoming->begun) {
		keep_at_source(incoming);
	} else if (strcmp(guest, "destination") == 0) {
		incoming->stay |= !run;
		if (incoming->migration && let_run(incoming, err) < 0)
			return NULL;
		incoming->finished = true;
		if (qemu_guest_running(incoming->qemu, &running, err) < 0)
			return NULL;
	} else {
		error_set(err, ERROR_USAGE, "'guest' is source or destination");
		return NULL;
	}
	if (incoming->migration && incoming->arrived)
		incoming_end_arrived(incoming, running);
	return json_pack("{sb}", "running", running);
}

static json_t *describe(const char *status, bool running)
{
	return json_pack("{ss sb}", "status", status, "running", running);
}

/* What is known here of a migration that no conversation leads any more */
static json_t *describe_ended(const struct incoming *incoming, const char *id, const char *vm)
{
	struct daemon *daemon = incoming->daemon;
	enum migration_phase phase;
	enum guest_place guest;

	if (migrations_find_ended(daemon->migrations, id, incoming->peer->name, &phase, &guest)) {
		if (phase == PHASE_COMPLETED)
			return describe("completed", true);
		if (guest == GUEST_NOWHERE)
			return describe("gone", false);
		if (guest == GUEST_SOURCE)
			return describe("failed", false);
	}
	return describe(qemu_exists(daemon->config->qmp_directory, vm) ? "unknown" : "gone", false);
}

/* A source that has lost its control channel, or was started again, takes up its migration. It is
 * answered by the conversation that leads it. @returns 0, or -1: this conversation has no source
 * any more */
static int rejoin(struct incoming *incoming, const struct control_command *command)
{
	const char *id = NULL, *vm = NULL;
	const struct argument table[] = {
		{.key = "id", .required = true, .text = &id},
		{.key = "vm", .required = true, .text = &vm},
	};
	struct handover handover = {.lines = incoming->lines};
	struct error err;
	json_t *answer;

	if (incoming->plan.id[0])
		error_set(&err, ERROR_USAGE, "'rejoin' comes first");
	else if (arguments_read(command->arguments, table, ARGUMENTS_COUNT(table), &err) == 0 &&
		!(migration_is_id(id) && parse_is_name(vm)))
		error_set(&err, ERROR_USAGE, "'id' is not 8 hex digits, or 'vm' not a name");
	else if (id && vm) {
		handover.command_id = json_incref(command->id);
		if (incoming_table_give(
			    incoming->daemon->incoming, id, incoming->peer->name, &handover) == 0) {
			incoming->lines = NULL;
			return -1;
		}
		json_decref(command->id);
		answer = control_return(describe_ended(incoming, id, vm), command->id);
		return lines_put(incoming->lines, answer, -1, &err);
	}
	return lines_put(incoming->lines, control_error(&err, command->id), -1, &err);
}

/* A source that comes back on another control channel */
static void take_handover(struct incoming *incoming)
{
	struct handover given = incoming_table_take(incoming->daemon->incoming, incoming);
	struct migration_figures figures = {.status = "postcopy-paused"};
	struct error err;
	bool running = false;
	json_t *answer;

	if (!given.lines)
		return;
	if (incoming->lines)
		lines_free(incoming->lines);
	incoming->lines = given.lines;
	incoming->leaving = false;
	migration_set_waiting(incoming->migration, "");
	log_event(LOG_NOTICE, "migration.rejoined", "migration=%s vm=%s host=%s", incoming->plan.id,
		incoming->plan.destination_vm, incoming->peer->name);
	if (!incoming->qemu) {
		error_set(&err, ERROR_HYPERVISOR, "the QEMU there does not answer yet");
		answer = control_error(&err, given.command_id);
	} else if (qemu_query(incoming->qemu, 0, &figures, &err) < 0 && !incoming->begun) {
		answer = control_error(&err, given.command_id);
	} else {
		(void)qemu_guest_running(incoming->qemu, &running, &err);
		answer = control_return(describe(figures.status, running), given.command_id);
	}
	json_decref(given.command_id);
	(void)lines_put(incoming->lines, answer, -1, &err);
}

static json_t *obey(
	struct incoming *incoming, const struct control_command *command, struct error *err)
{
	if (strcmp(command->name, "prepare") == 0)
		return prepare(incoming, command->arguments, err);
	if (strcmp(command->name, "postcopy") == 0)
		return announce_postcopy(incoming, command->arguments, err);
	if (strcmp(command->name, "finish") == 0)
		return finish(incoming, command->arguments, err);
	if (arguments_read(command->arguments, NULL, 0, err) < 0)
		return NULL;
	if (strcmp(command->name, "ping") == 0)
		return json_object();
	if (strcmp(command->name, "attach") == 0)
		return attach(incoming, err);
	if (strcmp(command->name, "start") == 0)
		return start(incoming, err);
	error_set(err, ERROR_USAGE, "unknown command '%s'", command->name);
	return NULL;
}

/* Answer what the source asked. @returns 0, or -1: it is gone, or speaks another language */
static int answer_source(struct incoming *incoming)
{
	struct control_command command = {0};
	struct error err;
	json_t *message;
	json_t *result = NULL;
	int got = lines_get(incoming->lines, 0, &message, &err);

	if (got == 0)
		return 0;
	if (got < 0) {
		if (err.code != ERROR_LINK)
			log_event(LOG_WARNING, "control.malformed", "peer=%s reason=\"%s\"",
				incoming->peer->name, err.message);
		return -1;
	}
	if (control_read_command(message, &command, &err) == 0) {
		if (strcmp(command.name, "rejoin") == 0) {
			got = rejoin(incoming, &command);
			json_decref(message);
			return got;
		}
		result = obey(incoming, &command, &err);
	}
	got = lines_put(incoming->lines,
		result ? control_return(result, command.id) : control_error(&err, command.id), -1,
		&err);
	json_decref(message);
	return got;
}

static void tell_source(
	struct incoming *incoming, const char *status, const char *reason, bool running)
{
	struct error ignored;

	if (!incoming->lines || strcmp(status, incoming->told) == 0)
		return;
	snprintf(incoming->told, sizeof(incoming->told), "%s", status);
	/* A source that is gone is noticed when it is read from. */
	(void)lines_put(incoming->lines,
		control_event("migration",
			json_pack("{ss ss sb}", "status", status, "reason", reason, "running",
				running)),
		-1, &ignored);
}

/* A pre-copy may take for ever: its source has to cancel it, for only it knows whether it still
 * can.
 */
static void tell_leaving(struct incoming *incoming)
{
	struct error ignored;

	if (incoming->leaving || incoming->postcopy || !incoming->started || !incoming->lines)
		return;
	incoming->leaving = true;
	(void)lines_put(incoming->lines, control_event("stopping", json_object()), -1, &ignored);
}

/* Post-copy has begun: its source cannot run the guest any more. */
static void go_on_here(struct incoming *incoming)
{
	struct error err;

	incoming->postcopy = incoming->begun = true;
	if (let_run(incoming, &err) < 0)
		log_event_limited(LOG_WARNING, "migration.not_started",
			"migration=%s reason=\"%s\"", incoming->plan.id, err.message);
}

/* A daemon that was started again finds the QEMU of its predecessor. */
static void reach_qemu(struct incoming *incoming, const json_t *found)
{
	const char *directory = incoming->daemon->config->qmp_directory;
	bool started = atomic_load(&incoming->started);
	uint64_t now_ms = clock_now_ms();
	struct error err;

	if (now_ms < incoming->reach_ms)
		return;
	if (!qemu_exists(directory, incoming->plan.destination_vm)) {
		if (started)
			incoming_end_without_qemu(incoming, "");
		else
			incoming_end_withdrawn(incoming);
		return;
	}
	incoming->qemu = qemu_open(directory, incoming->plan.destination_vm, &err);
	if (incoming->qemu) {
		qemu_take_over(incoming->qemu, ROLE_DESTINATION, started, found);
		if (!started)
			incoming_end_withdrawn(incoming);
		return;
	}
	migration_set_phase(incoming->migration, PHASE_PAUSED, GUEST_UNKNOWN);
	migration_set_waiting(incoming->migration, err.message);
	log_event_limited(LOG_WARNING, "migration.unreachable", "migration=%s reason=\"%s\"",
		incoming->plan.id, err.message);
	incoming->reach_ms = now_ms + REACH_MS;
}

static void watch_state(struct incoming *incoming, const struct migration_figures *figures)
{
	struct error err;
	bool running = false;

	switch (figures->state) {
	case MIGRATION_POSTCOPY:
	case MIGRATION_PAUSED:
		go_on_here(incoming);
		migration_set_phase(incoming->migration,
			incoming->paused ? PHASE_PAUSED : PHASE_POSTCOPY, GUEST_DESTINATION);
		migration_set_waiting(incoming->migration,
			incoming->paused
				? "it recovers the migration as soon as both QEMUs say that "
				  "they are paused"
				: "");
		break;
	case MIGRATION_COMPLETED:
		if (incoming->begun)
			go_on_here(incoming);
		if (qemu_guest_running(incoming->qemu, &running, &err) < 0)
			return; /* ask again */
		incoming_end_arrived(incoming, running);
		break;
	case MIGRATION_FAILED:
		incoming_end_without_qemu(incoming, figures->reason);
		break;
	case MIGRATION_NONE:
	case MIGRATION_SETUP:
	case MIGRATION_PRECOPY:
	case MIGRATION_CANCELLED:
	case MIGRATION_OTHER:
		break;
	}
	tell_source(incoming, figures->status, figures->reason, running);
}

/* Look at our QEMU, once it has begun. */
static void watch_qemu(struct incoming *incoming)
{
	struct migration_figures figures;
	struct error err;

	if (!incoming->started || !incoming->migration || !incoming->qemu)
		return;
	if (qemu_query(incoming->qemu, 0, &figures, &err) < 0) {
		if (qemu_gone(incoming->qemu)) {
			tell_source(incoming, "gone", "", false);
			incoming_end_without_qemu(incoming, "");
			return;
		}
		/* Too busy to answer: ask again. Of an interrupted post-copy it may never be less
		 * so: its monitor waits for a virtual CPU that waits for a page. */
		incoming->paused = incoming->postcopy;
		incoming_stream_watch(incoming, NULL);
		return;
	}
	migration_set_figures(incoming->migration, &figures);
	incoming->paused = figures.state == MIGRATION_PAUSED;
	incoming_stream_watch(incoming, &figures);
	watch_state(incoming, &figures);
}

/* Wait for the source or for QEMU, one turn at most. */
static void wait_turn(struct incoming *incoming)
{
	struct pollfd watched[3] = {
		{.fd = incoming->lines ? lines_descriptor(incoming->lines) : -1, .events = POLLIN},
		{.fd = -1, .events = POLLIN},
		{.fd = incoming_stream_descriptor(incoming), .events = POLLIN},
	};

	if (incoming->lines && lines_ready(incoming->lines))
		return;
	if (incoming->migration && incoming->started && incoming->qemu) {
		if (qemu_ready(incoming->qemu))
			return;
		watched[1].fd = qemu_descriptor(incoming->qemu);
	}
	(void)poll(watched, 3, CONVERSATION_TURN_MS);
}

/* Of what has begun there is still something to lead. */
static bool under_way(const struct incoming *incoming)
{
	return incoming->migration && (incoming->started || incoming->restored);
}

/* Its source begins anew, has gone, or asks no more; or this daemon stops. */
static bool to_be_withdrawn(const struct incoming *incoming)
{
	return incoming->migration && !incoming->started && !incoming->restored &&
		(!incoming->lines || atomic_load(&incoming->superseded) ||
			atomic_load(&incoming->daemon->stopping));
}

/* What waits for its source, which cannot be heard, is left to the next daemon - but not in the
 * middle of a recovery, which this QEMU would not survive. */
static bool to_be_left(const struct incoming *incoming)
{
	return under_way(incoming) && atomic_load(&incoming->daemon->stopping) &&
		!incoming->lines && !incoming->spare_used &&
		(incoming->paused || incoming->arrived || !incoming->qemu);
}

static bool over(const struct incoming *incoming)
{
	const struct daemon *daemon = incoming->daemon;

	if (atomic_load(&daemon->ending))
		return true;
	if (under_way(incoming))
		/* A guest may run here already, or its source waits for our word. */
		return false;
	return !incoming->lines || (atomic_load(&daemon->stopping) && !incoming->migration);
}

static bool too_late(const struct incoming *incoming)
{
	return incoming->migration && !incoming->started &&
		clock_now_ms() - incoming->prepared_ms > PREPARED_MS;
}

static void turn(struct incoming *incoming)
{
	wait_turn(incoming);
	if (incoming->lines && (answer_source(incoming) < 0 || too_late(incoming))) {
		if (incoming->lines)
			lines_free(incoming->lines);
		incoming->lines = NULL;
	}
	if (incoming->migration)
		take_handover(incoming);
	watch_qemu(incoming);
	if (to_be_withdrawn(incoming))
		incoming_end_withdrawn(incoming);
	if (atomic_load(&incoming->daemon->stopping))
		tell_leaving(incoming);
	if (to_be_left(incoming))
		incoming_end_left(incoming);
}

static void incoming_free(struct incoming *incoming)
{
	incoming_table_remove(incoming->daemon->incoming, incoming);
	incoming_stream_fini(incoming);
	if (incoming->lines)
		lines_free(incoming->lines);
	if (incoming->qemu)
		qemu_free(incoming->qemu);
	json_decref(incoming->found);
	free(incoming);
	atomic_fetch_sub(&peers_count, 1);
}

static void talk(void *argument)
{
	struct incoming *incoming = argument;

	while (!over(incoming)) {
		if (incoming->restored && incoming->migration && !incoming->qemu)
			reach_qemu(incoming, incoming->found);
		turn(incoming);
	}
	incoming_free(incoming);
}

static struct incoming *incoming_new(
	struct daemon *daemon, const struct config_peer *peer, struct error *err)
{
	struct incoming *incoming = calloc(1, sizeof(*incoming));

	if (!incoming) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	incoming->daemon = daemon;
	incoming->peer = peer;
	incoming->spare_fd = incoming->spare_peek_fd = -1;
	list_init(&incoming->place);
	atomic_fetch_add(&peers_count, 1);
	return incoming;
}

int incoming_start(struct daemon *daemon, const struct config_peer *peer, int fd, struct error *err)
{
	struct incoming *incoming = incoming_new(daemon, peer, err);

	if (!incoming) {
		close(fd);
		return -1;
	}
	incoming->lines = lines_new(fd, CONTROL_LONGEST_BYTES);
	if (!incoming->lines)
		error_set(err, ERROR_LOCAL, "no memory");
	else if (atomic_load(&peers_count) > PEERS_MOST)
		error_set(err, ERROR_LOCAL, "too many control channels at once");
	else if (conversation_start(talk, incoming, err) == 0)
		return 0;
	incoming_free(incoming);
	return -1;
}

int incoming_restore(struct daemon *daemon, const struct config_peer *peer,
	const struct journal_entry *entry, struct error *err)
{
	struct incoming *incoming = incoming_new(daemon, peer, err);

	if (!incoming)
		return -1;
	incoming->restored = true;
	incoming->plan = entry->plan;
	incoming->stay = entry->halted;
	incoming->found = json_incref(entry->found);
	atomic_store(&incoming->started, entry->started);
	incoming->migration = migrations_begin(daemon->migrations, &entry->plan, err);
	if (incoming->migration) {
		incoming_table_add(daemon->incoming, incoming);
		if (conversation_start(talk, incoming, err) == 0)
			return 0;
	}
	incoming_free(incoming);
	return -1;
}
