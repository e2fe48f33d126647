#include "daemon/incoming.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "control/arguments.h"
#include "control/message.h"
#include "daemon/conversation.h"
#include "hypervisor/qemu.h"
#include "io/lines.h"
#include "io/socket.h"

struct incoming {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct lines *lines; /* NULL once the source is gone */
	struct qemu *qemu;
	struct migration *migration; /* NULL before `prepare` and after the end */
	char token[OFFER_TOKEN_CHARACTERS + 1];
	bool attached;
	bool started;
	bool postcopy; /* the source has announced the switch, or it has happened */
	bool paused;   /* post-copy was interrupted */
	char told[32]; /* the status that the source knows */
};

static void end_migration(struct incoming *incoming, enum migration_phase phase,
	enum guest_place guest, const struct error *failure, const char *advice)
{
	struct migration_outcome outcome = {
		.phase = phase, .guest = guest, .failure = *failure, .advice = advice};
	const struct migration_plan *plan = migration_plan(incoming->migration);
	bool failed = failure->code != ERROR_NONE;

	log_event(failed ? LOG_WARNING : LOG_NOTICE, "migration.ended",
		"migration=%s vm=%s direction=incoming host=%s elapsed_ms=%llu%s%s%s", plan->id,
		plan->destination_vm, plan->host,
		(unsigned long long)migration_elapsed_ms(incoming->migration),
		failed ? " reason=\"" : "", failed ? failure->message : "", failed ? "\"" : "");
	migration_end(incoming->migration, &outcome);
	incoming->migration = NULL;
}

static int begin(struct incoming *incoming, const char *id, const char *vm, const char *source_vm,
	const char *mode, struct error *err)
{
	struct migration_plan plan = {.incoming = true};

	if (strlen(id) != 8 || strspn(id, "0123456789abcdef") != 8)
		return error_set(err, ERROR_USAGE, "'id' is not 8 hex digits");
	if (!parse_is_name(vm) || !parse_is_name(source_vm))
		return error_set(err, ERROR_USAGE, "'vm' is not a name");
	if (migration_mode_parse(mode, &plan.mode, err) < 0)
		return -1;
	memcpy(plan.id, id, sizeof(plan.id));
	snprintf(plan.vm, sizeof(plan.vm), "%s", source_vm);
	snprintf(plan.destination_vm, sizeof(plan.destination_vm), "%s", vm);
	snprintf(plan.host, sizeof(plan.host), "%s", incoming->peer->name);
	incoming->migration = migrations_begin(incoming->daemon->migrations, &plan, err);
	return incoming->migration ? 0 : -1;
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
	incoming->qemu = qemu_open(incoming->daemon->config->qmp_directory, vm, err);
	if (!incoming->qemu ||
		qemu_prepare(incoming->qemu, ROLE_DESTINATION,
			migration_plan(incoming->migration)->mode, version, err) < 0) {
		end_migration(incoming, PHASE_FAILED, GUEST_SOURCE, err, NULL);
		qemu_free(incoming->qemu);
		incoming->qemu = NULL;
		return NULL;
	}
	return json_pack("{ss}", "qemu", qemu_version(incoming->qemu));
}

static json_t *attach(struct incoming *incoming, struct error *err)
{
	CLEANUP_FD int theirs = -1;
	int pair[2];

	if (!incoming->migration || incoming->attached) {
		error_set(err, ERROR_USAGE, "'attach' comes once, after 'prepare'");
		return NULL;
	}
	if (socket_pair(pair, err) < 0)
		return NULL;
	theirs = pair[1];
	socket_tune_hypervisor(theirs);
	if (offers_put(incoming->daemon->offers, incoming->peer->name, pair[0], incoming->token,
		    err) < 0)
		return NULL;
	incoming->attached = true;
	if (qemu_attach(incoming->qemu, theirs, err) < 0)
		return NULL;
	return json_pack("{ss}", "token", incoming->token);
}

static json_t *start(struct incoming *incoming, struct error *err)
{
	if (!incoming->attached || incoming->started) {
		error_set(err, ERROR_USAGE, "'start' comes once, after 'attach'");
		return NULL;
	}
	if (qemu_start(incoming->qemu, err) < 0)
		return NULL;
	incoming->started = true;
	migration_set_phase(incoming->migration, PHASE_PRECOPY, GUEST_SOURCE);
	return json_object();
}

static json_t *announce_postcopy(struct incoming *incoming, struct error *err)
{
	if (!incoming->started || !incoming->migration) {
		error_set(err, ERROR_USAGE, "'postcopy' comes after 'start'");
		return NULL;
	}
	incoming->postcopy = true;
	return json_object();
}

static json_t *obey(
	struct incoming *incoming, const struct message_command *command, struct error *err)
{
	if (strcmp(command->name, "prepare") == 0)
		return prepare(incoming, command->arguments, err);
	if (arguments_read(command->arguments, NULL, 0, err) < 0)
		return NULL;
	if (strcmp(command->name, "ping") == 0)
		return json_object();
	if (strcmp(command->name, "attach") == 0)
		return attach(incoming, err);
	if (strcmp(command->name, "start") == 0)
		return start(incoming, err);
	if (strcmp(command->name, "postcopy") == 0)
		return announce_postcopy(incoming, err);
	error_set(err, ERROR_USAGE, "unknown command '%s'", command->name);
	return NULL;
}

/* Answer what the source asked. @returns 0, or -1: it is gone, or speaks another language */
static int answer_source(struct incoming *incoming)
{
	struct message_command command = {0};
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
	if (message_read_command(message, &command, &err) == 0)
		result = obey(incoming, &command, &err);
	got = lines_put(incoming->lines,
		result ? message_return(result, command.id) : message_error(&err, command.id), -1,
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
		message_event("migration",
			json_pack("{ss ss sb}", "status", status, "reason", reason, "running",
				running)),
		-1, &ignored);
}

static void lose_qemu(struct incoming *incoming)
{
	struct error err;

	tell_source(incoming, "gone", "", false);
	if (incoming->postcopy) {
		error_set(&err, ERROR_GUEST, "the QEMU here ended in post-copy");
		end_migration(incoming, PHASE_LOST, GUEST_NOWHERE, &err,
			"the newest memory of the guest is gone with this QEMU; its log says why");
	} else {
		error_set(&err, ERROR_HYPERVISOR, "the QEMU here ended; its log says why");
		end_migration(incoming, PHASE_FAILED, GUEST_SOURCE, &err, NULL);
	}
}

/* Look at our QEMU, once it has begun. */
static void watch_qemu(struct incoming *incoming)
{
	struct migration_figures figures;
	struct error err = {0};
	bool running = false;

	if (!incoming->started || !incoming->migration)
		return;
	if (qemu_query(incoming->qemu, 0, &figures, &err) < 0) {
		if (qemu_gone(incoming->qemu))
			lose_qemu(incoming);
		return; /* too busy to answer: ask again */
	}
	migration_set_figures(incoming->migration, &figures);
	incoming->paused = figures.state == MIGRATION_PAUSED;
	switch (figures.state) {
	case MIGRATION_POSTCOPY:
		incoming->postcopy = true;
		migration_set_phase(incoming->migration, PHASE_POSTCOPY, GUEST_DESTINATION);
		break;
	case MIGRATION_PAUSED:
		migration_set_phase(incoming->migration, PHASE_PAUSED, GUEST_DESTINATION);
		break;
	case MIGRATION_COMPLETED:
		(void)qemu_guest_running(incoming->qemu, &running, &err);
		err = (struct error){0};
		end_migration(incoming, PHASE_COMPLETED, GUEST_DESTINATION, &err,
			running ? NULL : "the guest is paused here: 'cont' in its QMP starts it");
		break;
	case MIGRATION_FAILED:
		error_set(&err, ERROR_HYPERVISOR, "QEMU: %s",
			*figures.reason ? figures.reason : "loading failed; its log says why");
		end_migration(incoming, PHASE_FAILED, GUEST_SOURCE, &err, NULL);
		break;
	case MIGRATION_NONE:
	case MIGRATION_SETUP:
	case MIGRATION_PRECOPY:
	case MIGRATION_CANCELLED:
	case MIGRATION_OTHER:
		break;
	}
	tell_source(incoming, figures.status, figures.reason, running);
}

/* Wait for the source or for QEMU, one turn at most. */
static void wait_turn(struct incoming *incoming)
{
	struct pollfd watched[2] = {
		{.fd = incoming->lines ? lines_descriptor(incoming->lines) : -1, .events = POLLIN},
		{.fd = -1, .events = POLLIN},
	};

	if (incoming->lines && lines_ready(incoming->lines))
		return;
	if (incoming->migration && incoming->started) {
		if (qemu_ready(incoming->qemu))
			return;
		watched[1].fd = qemu_descriptor(incoming->qemu);
	}
	(void)poll(watched, 2, CONVERSATION_TURN_MS);
}

/* The source is gone, or this daemon stops, before anything irreversible: as if nothing had been.
 */
static void withdraw(struct incoming *incoming)
{
	struct error err;

	if (!incoming->migration || incoming->started)
		return;
	qemu_release(incoming->qemu);
	error_set(&err, ERROR_CANCELLED, "%s withdrew before memory moved", incoming->peer->name);
	end_migration(incoming, PHASE_CANCELLED, GUEST_SOURCE, &err, NULL);
}

/* This daemon stops, and an interrupted post-copy will not go on by itself: QEMU keeps it. */
static void leave_paused(struct incoming *incoming)
{
	struct error err;

	if (!incoming->migration || !incoming->paused || incoming->lines)
		return;
	error_set(&err, ERROR_GUEST, "culvertd was stopped while post-copy was interrupted");
	end_migration(incoming, PHASE_FAILED, GUEST_UNKNOWN, &err,
		"keep both QEMUs: together they hold the whole memory of the guest");
}

static bool over(const struct incoming *incoming)
{
	const struct daemon *daemon = incoming->daemon;

	if (atomic_load(&daemon->ending))
		return true;
	if (incoming->migration && incoming->started)
		/* A guest may run here already, or its source waits for our word. */
		return false;
	return !incoming->lines || (atomic_load(&daemon->stopping) && !incoming->migration);
}

static void talk(void *argument)
{
	struct incoming *incoming = argument;

	while (!over(incoming)) {
		wait_turn(incoming);
		if (incoming->lines && answer_source(incoming) < 0) {
			lines_free(incoming->lines);
			incoming->lines = NULL;
		}
		watch_qemu(incoming);
		if (!incoming->lines || atomic_load(&incoming->daemon->stopping))
			withdraw(incoming);
		if (atomic_load(&incoming->daemon->stopping))
			leave_paused(incoming);
	}
	if (incoming->attached)
		offers_withdraw(incoming->daemon->offers, incoming->token);
	if (incoming->lines)
		lines_free(incoming->lines);
	if (incoming->qemu)
		qemu_free(incoming->qemu);
	free(incoming);
}

int incoming_start(struct daemon *daemon, const struct config_peer *peer, int fd, struct error *err)
{
	struct incoming *incoming = calloc(1, sizeof(*incoming));

	if (incoming)
		incoming->lines = lines_new(fd, CONTROL_LONGEST_BYTES);
	else
		close(fd);
	if (!incoming || !incoming->lines) {
		free(incoming);
		return error_set(err, ERROR_LOCAL, "no memory");
	}
	incoming->daemon = daemon;
	incoming->peer = peer;
	if (conversation_start(talk, incoming, err) < 0) {
		lines_free(incoming->lines);
		free(incoming);
		return -1;
	}
	return 0;
}
