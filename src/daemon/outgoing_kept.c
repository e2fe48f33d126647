#include "daemon/outgoing_kept.h"

#include <string.h>

#include "base/log.h"
#include "daemon/journal.h"
#include "daemon/outgoing_reach.h"

/* So that a daemon that is started after this one says it. QEMU knows no more by then: the guest
 * may have been shut down, or be on its way again. */
static void note(struct outgoing *outgoing)
{
	struct journal_entry entry = {.plan = outgoing->plan, .started = true, .kept = true};
	struct error err;

	if (outgoing->untold_noted)
		return;
	outgoing->untold_noted =
		journal_write(outgoing->daemon->config->runtime_directory, &entry, &err) == 0;
	if (!outgoing->untold_noted)
		log_event_limited(LOG_WARNING, "migration.not_noted", "migration=%s reason=\"%s\"",
			outgoing->plan.id, err.message);
}

static void warn(const struct outgoing *outgoing, const char *reason)
{
	const struct migration_plan *plan = &outgoing->plan;

	log_event(LOG_WARNING, "migration.not_kept", "migration=%s vm=%s host=%s reason=\"%s\"",
		plan->id, plan->vm, plan->host, reason);
}

static json_t *word(void)
{
	return json_pack("{ss sb}", "guest", "source", "run", 0);
}

/* @asked  how that went. @returns whether nothing is left to say */
static bool settled(struct outgoing *outgoing, int asked, const struct error *err)
{
	if (asked == 0)
		return true;
	if (err->code == ERROR_USAGE) { /* it has the guest, or so it says */
		warn(outgoing, err->message);
		return true;
	}
	outgoing->contact_lost = true;
	outgoing->contact_failure = *err;
	return false;
}

void outgoing_kept_begin(struct outgoing *outgoing)
{
	struct error err;

	outgoing->untold = true;
	if (outgoing->contact && !outgoing->contact_lost && !contact_is_linkless(outgoing->contact))
		outgoing->untold = !settled(outgoing,
			contact_ask_briefly(outgoing->contact, "finish", word(), NULL, &err), &err);
	if (outgoing->untold)
		note(outgoing);
}

/* Over a new control channel */
static bool try(struct outgoing *outgoing, struct error *err)
{
	int asked;

	if (outgoing_reach_once(outgoing, err) < 0)
		return false;
	if (strcmp(outgoing->news.status, "unknown") == 0)
		warn(outgoing,
			"culvertd there knows nothing of the migration, but a QEMU of the "
			"guest's name is there: it must not run an older state of the guest");
	if (outgoing_destination_has_none(outgoing))
		return true;
	/* Also after 'completed': what is complete there waits for this very word. */
	asked = contact_ask(outgoing->contact, "finish", word(), NULL, err);
	return settled(outgoing, asked, err);
}

void outgoing_kept_tell(struct outgoing *outgoing)
{
	const struct migration_plan *plan = &outgoing->plan;
	struct error err = outgoing->contact_failure;

	if (err.code == ERROR_NONE)
		error_set(&err, ERROR_LINK, "%s has not been reached yet", outgoing->peer->name);
	do {
		note(outgoing);
		if (!outgoing_reach_wait(outgoing, &err))
			return;
	} while (!try(outgoing, &err));
	journal_remove(outgoing->daemon->config->runtime_directory, plan);
	log_event(LOG_NOTICE, "migration.kept", "migration=%s vm=%s host=%s", plan->id, plan->vm,
		plan->host);
}
