#include "daemon/incoming_rendezvous.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "control/arguments.h"

/* Which migration it is for, as its source tells. @returns 0, or -1 with @err set. Without `id`
 * nothing is told: *plan->id stays empty */
static int read_plan(const struct incoming *incoming, const json_t *arguments,
	struct migration_plan *plan, struct error *err)
{
	const char *id = NULL, *vm = NULL, *mode = NULL;
	const struct argument table[] = {
		{.key = "id", .text = &id},
		{.key = "vm", .text = &vm},
		{.key = "mode", .text = &mode},
	};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return -1;
	if (!id && !vm && !mode)
		return 0;
	if (!id || !vm || !mode)
		return error_set(err, ERROR_USAGE, "'id', 'vm' and 'mode' come together");
	if (!migration_is_id(id))
		return error_set(err, ERROR_USAGE, "'id' is not 8 hex digits");
	if (!parse_is_name(vm))
		return error_set(err, ERROR_USAGE, "'vm' is not a name");
	if (migration_mode_parse(mode, &plan->mode, err) < 0)
		return -1;
	memcpy(plan->id, id, sizeof(plan->id));
	snprintf(plan->vm, sizeof(plan->vm), "%s", vm);
	snprintf(plan->destination_vm, sizeof(plan->destination_vm), "%s", vm);
	snprintf(plan->host, sizeof(plan->host), "%s", incoming->peer->name);
	return 0;
}

json_t *incoming_rendezvous_make(
	struct incoming *incoming, const json_t *arguments, struct error *err)
{
	struct rendezvous_table *table = incoming->daemon->rendezvous;
	struct migration_plan plan = {.incoming = true, .told = true};

	if (*incoming->rendezvous || *incoming->plan.id) {
		error_set(err, ERROR_USAGE, "there is a rendezvous, or a migration, already");
		return NULL;
	}
	if (read_plan(incoming, arguments, &plan, err) < 0 ||
		rendezvous_table_add(table, incoming->peer->name, incoming->rendezvous, err) < 0)
		return NULL;
	if (*plan.id &&
		rendezvous_table_enter(table, incoming->rendezvous, incoming->daemon->migrations,
			&plan, err) < 0) {
		rendezvous_table_remove(table, incoming->rendezvous);
		*incoming->rendezvous = '\0';
		return NULL;
	}
	if (*plan.id)
		log_event_limited(LOG_NOTICE, "migration.incoming",
			"migration=%s vm=%s host=%s mode=%s hypervisor=libvirt", plan.id, plan.vm,
			plan.host, migration_mode_name(plan.mode));
	return json_pack("{ss}", "token", incoming->rendezvous);
}

static json_t *finish(struct incoming *incoming, const json_t *arguments, struct error *err)
{
	const char *guest = NULL;
	bool run = false;
	const struct argument table[] = {
		{.key = "guest", .required = true, .text = &guest},
		{.key = "run", .flag = &run},
	};
	bool here;

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	here = strcmp(guest, "destination") == 0;
	if (!here && strcmp(guest, "source") != 0) {
		error_set(err, ERROR_USAGE, "'guest' is source or destination");
		return NULL;
	}
	rendezvous_table_finish(incoming->daemon->rendezvous, incoming->rendezvous,
		here ? GUEST_DESTINATION : GUEST_SOURCE, here && run);
	return json_pack("{sb}", "running", here && run);
}

json_t *incoming_rendezvous_obey(
	struct incoming *incoming, const struct control_command *command, struct error *err)
{
	bool run;
	const struct argument table[] = {{.key = "run", .flag = &run}};

	if (strcmp(command->name, "finish") == 0)
		return finish(incoming, command->arguments, err);
	if (arguments_read(command->arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	rendezvous_table_await(incoming->daemon->rendezvous, incoming->rendezvous);
	return json_object();
}
