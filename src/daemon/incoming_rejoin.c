#include "daemon/incoming_rejoin.h"

#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "control/arguments.h"
#include "daemon/journal.h"

static json_t *describe(const char *status, bool running)
{
	return json_pack("{ss sb}", "status", status, "running", running);
}

/* What is known here of a migration that no conversation leads any more. @returns NULL: a culvertd
 * that is started again will know more */
static json_t *describe_ended(
	struct incoming *incoming, const char *id, const char *vm, struct error *err)
{
	struct daemon *daemon = incoming->daemon;
	struct migration_outcome outcome;
	struct migration_plan plan = {.incoming = true};
	bool found = migrations_find_ended(daemon->migrations, id, incoming->peer->name, &outcome);

	incoming->finished = found && outcome.phase == PHASE_COMPLETED;
	if (incoming->finished) {
		incoming->running = outcome.running;
		return describe("completed", outcome.running);
	}
	if (found && outcome.guest == GUEST_NOWHERE)
		return describe("gone", false);
	if (found && outcome.guest == GUEST_SOURCE)
		return describe("failed", false);
	memcpy(plan.id, id, sizeof(plan.id));
	if (found && journal_has(daemon->config->runtime_directory, &plan)) {
		error_set(err, ERROR_LOCAL, "culvertd there has to be started again first");
		return NULL;
	}
	return describe(qemu_exists(daemon->config->qmp_directory, vm) ? "unknown" : "gone", false);
}

static int read_rejoin(const json_t *arguments, const char **id, const char **vm, struct error *err)
{
	const struct argument table[] = {
		{.key = "id", .required = true, .text = id},
		{.key = "vm", .required = true, .text = vm},
	};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return -1;
	if (!migration_is_id(*id) || !parse_is_name(*vm))
		return error_set(err, ERROR_USAGE, "'id' is not 8 hex digits, or 'vm' not a name");
	return 0;
}

int incoming_rejoin(struct incoming *incoming, const struct control_command *command)
{
	const char *id, *vm;
	struct handover handover = {.lines = incoming->lines};
	struct error err;
	json_t *answer;

	if (incoming->plan.id[0]) {
		error_set(&err, ERROR_USAGE, "'rejoin' comes first");
		answer = control_error(&err, command->id);
	} else if (read_rejoin(command->arguments, &id, &vm, &err) < 0) {
		answer = control_error(&err, command->id);
	} else {
		handover.command_id = json_incref(command->id);
		if (incoming_table_give(
			    incoming->daemon->incoming, id, incoming->peer->name, &handover) == 0) {
			incoming->lines = NULL;
			return -1;
		}
		json_decref(command->id);
		answer = describe_ended(incoming, id, vm, &err);
		answer = answer ? control_return(answer, command->id)
				: control_error(&err, command->id);
	}
	return lines_put(incoming->lines, answer, -1, &err);
}

void incoming_take_handover(struct incoming *incoming)
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
	log_event_limited(LOG_NOTICE, "migration.rejoined", "migration=%s vm=%s host=%s",
		incoming->plan.id, incoming->plan.destination_vm, incoming->peer->name);
	if (!incoming->qemu) {
		error_set(&err, ERROR_HYPERVISOR, "the QEMU there does not answer yet");
		answer = control_error(&err, given.command_id);
	} else if (qemu_query(incoming->qemu, 0, &figures, &err) < 0 && !incoming->paused) {
		answer = control_error(&err, given.command_id);
	} else {
		(void)qemu_guest_running(incoming->qemu, &running, &err);
		answer = control_return(describe(figures.status, running), given.command_id);
	}
	json_decref(given.command_id);
	(void)lines_put(incoming->lines, answer, -1, &err);
}
