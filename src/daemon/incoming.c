#include "daemon/incoming.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "control/arguments.h"
#include "control/control.h"
#include "daemon/conversation.h"
#include "hypervisor/qemu.h"
#include "io/lines.h"
#include "io/socket.h"

/* Of all conversations (conversation.c): the others are for this host's own operator, who must be
 * heard whatever peers do. */
#define PEERS_MOST 768

static atomic_uint peers_count;

/* A source that has asked to prepare holds a machine here, and starts within seconds. */
#define PREPARED_MS 300000

static const char advice_ask_source[] = "ask the source before you do anything here: 'culvert "
					"status' there says where the guest is";
static const char advice_arrived[] =
	"all of the guest is in this QEMU, paused, for its source did not say that it runs there "
	"no more: look at 'query-migrate' of the QEMU there. If that says 'completed', or that "
	"QEMU "
	"is "
	"gone, 'cont' here; if the guest runs there, end this QEMU. Never 'cont' both";

struct incoming {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct lines *lines; /* NULL once the source is gone */
	struct qemu *qemu;
	struct migration *migration; /* NULL before `prepare` and after the end */
	char token[OFFER_TOKEN_CHARACTERS + 1];
	bool attached;
	bool started;
	uint64_t prepared_ms;
	bool postcopy; /* the source has announced the switch, or it has happened */
	bool begun;    /* post-copy has begun: the guest has left its source */
	bool arrived;  /* QEMU has all of the guest */
	bool let_run;  /* QEMU was told that the guest may run */
	bool stay;     /* the guest was stopped on its source, and is not to run here either */
	bool finished; /* the source cannot run the guest any more, and has said so */
	bool kept;     /* the source has kept the guest, and has said so */
	bool paused;   /* post-copy was interrupted, or QEMU does not answer */
	bool leaving;  /* the source knows that this daemon stops */
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
	incoming->prepared_ms = clock_now_ms();
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
	if (qemu_hold_guest(incoming->qemu, err) < 0)
		return NULL;
	if (qemu_start(incoming->qemu, err) < 0) {
		struct error ignored;

		(void)qemu_run_guest(incoming->qemu, &ignored); /* as it was */
		return NULL;
	}
	incoming->started = true;
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
	incoming->postcopy = true;
	incoming->stay = !run;
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

/* Nothing is left to wait for: QEMU has all of the guest, and the source has none. */
static void complete(struct incoming *incoming, bool running)
{
	struct error none = {0};

	end_migration(incoming, PHASE_COMPLETED, GUEST_DESTINATION, &none,
		running ? NULL : "the guest is paused here: 'cont' in its QMP starts it");
}

/* Until the source has said where the guest is, it runs there as far as anybody knows. */
static void arrive(struct incoming *incoming, bool running)
{
	struct error err;

	incoming->arrived = true;
	if (incoming->kept) {
		error_set(&err, ERROR_CANCELLED, "%s has kept the guest", incoming->peer->name);
		end_migration(incoming, PHASE_CANCELLED, GUEST_SOURCE, &err,
			"end the QEMU here: it has a copy of the guest, which must not run");
	} else if (incoming->finished || (!incoming->lines && (running || incoming->begun))) {
		complete(incoming, running);
	} else if (!incoming->lines) {
		error_set(&err, ERROR_GUEST, "lost contact with %s, and the guest was not started",
			incoming->peer->name);
		end_migration(incoming, PHASE_FAILED, GUEST_UNKNOWN, &err, advice_arrived);
	} else {
		/* The source asks for our word, also while this daemon stops. */
		migration_set_phase(incoming->migration, PHASE_FINISHING,
			running || incoming->begun ? GUEST_DESTINATION : GUEST_UNKNOWN);
	}
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
	if (!incoming->started || incoming->finished || incoming->kept) {
		error_set(err, ERROR_USAGE, "'finish' comes once, after 'start'");
		return NULL;
	}
	if (strcmp(guest, "source") == 0) {
		incoming->kept = true;
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
		arrive(incoming, running);
	return json_pack("{sb}", "running", running);
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
	if (control_read_command(message, &command, &err) == 0)
		result = obey(incoming, &command, &err);
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

/* QEMU has ended, or is about to. @reason  its words, or empty */
static void lose_qemu(struct incoming *incoming, const char *reason)
{
	struct error err;

	if (incoming->begun) {
		error_set(&err, ERROR_GUEST, "the QEMU here ended in post-copy%s%s",
			*reason ? ": " : "", reason);
		end_migration(incoming, PHASE_LOST, GUEST_NOWHERE, &err,
			"the newest memory of the guest is gone with this QEMU; its log says why");
	} else if ((incoming->postcopy || incoming->arrived) && !incoming->kept) {
		error_set(&err, ERROR_GUEST,
			"the QEMU here ended while the guest was being handed over");
		end_migration(incoming, PHASE_FAILED, GUEST_UNKNOWN, &err, advice_ask_source);
	} else {
		error_set(&err, ERROR_HYPERVISOR, "%s%s", *reason ? "QEMU: " : "",
			*reason ? reason : "the QEMU here ended; its log says why");
		end_migration(incoming, PHASE_FAILED, GUEST_SOURCE, &err, NULL);
	}
}

/* Post-copy has begun: its source cannot run the guest any more. */
static void go_on_here(struct incoming *incoming)
{
	struct error err;

	incoming->postcopy = incoming->begun = true;
	if (let_run(incoming, &err) < 0)
		log_event_limited(LOG_WARNING, "migration.not_started",
			"migration=%s reason=\"%s\"", migration_plan(incoming->migration)->id,
			err.message);
}

/* Look at our QEMU, once it has begun. */
static void watch_qemu(struct incoming *incoming)
{
	struct migration_figures figures;
	struct error err;
	bool running = false;

	if (!incoming->started || !incoming->migration)
		return;
	if (qemu_query(incoming->qemu, 0, &figures, &err) < 0) {
		if (qemu_gone(incoming->qemu)) {
			tell_source(incoming, "gone", "", false);
			lose_qemu(incoming, "");
		}
		/* Too busy to answer: ask again. Of an interrupted post-copy it may never be less
		 * so: its monitor waits for a virtual CPU that waits for a page. */
		incoming->paused = incoming->postcopy;
		return;
	}
	migration_set_figures(incoming->migration, &figures);
	incoming->paused = figures.state == MIGRATION_PAUSED;
	switch (figures.state) {
	case MIGRATION_POSTCOPY:
	case MIGRATION_PAUSED:
		go_on_here(incoming);
		migration_set_phase(incoming->migration,
			incoming->paused ? PHASE_PAUSED : PHASE_POSTCOPY, GUEST_DESTINATION);
		break;
	case MIGRATION_COMPLETED:
		if (incoming->begun)
			go_on_here(incoming);
		if (qemu_guest_running(incoming->qemu, &running, &err) < 0)
			return; /* ask again */
		arrive(incoming, running);
		break;
	case MIGRATION_FAILED:
		lose_qemu(incoming, figures.reason);
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

static bool too_late(const struct incoming *incoming)
{
	return incoming->migration && !incoming->started &&
		clock_now_ms() - incoming->prepared_ms > PREPARED_MS;
}

static void talk(void *argument)
{
	struct incoming *incoming = argument;

	while (!over(incoming)) {
		wait_turn(incoming);
		if (incoming->lines && (answer_source(incoming) < 0 || too_late(incoming))) {
			lines_free(incoming->lines);
			incoming->lines = NULL;
		}
		if (!incoming->lines && incoming->migration && incoming->arrived)
			arrive(incoming, false);
		watch_qemu(incoming);
		if (!incoming->lines || atomic_load(&incoming->daemon->stopping))
			withdraw(incoming);
		if (atomic_load(&incoming->daemon->stopping)) {
			tell_leaving(incoming);
			leave_paused(incoming);
		}
	}
	if (incoming->attached)
		offers_withdraw(incoming->daemon->offers, incoming->token);
	if (incoming->lines)
		lines_free(incoming->lines);
	if (incoming->qemu)
		qemu_free(incoming->qemu);
	free(incoming);
	atomic_fetch_sub(&peers_count, 1);
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
	if (atomic_fetch_add(&peers_count, 1) < PEERS_MOST) {
		if (conversation_start(talk, incoming, err) == 0)
			return 0;
	} else {
		error_set(err, ERROR_LOCAL, "too many control channels at once");
	}
	atomic_fetch_sub(&peers_count, 1);
	lines_free(incoming->lines);
	free(incoming);
	return -1;
}
