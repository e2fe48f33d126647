#include "cli/follow.h"

#include <stdio.h>

#include "base/clock.h"
#include "cli/detach.h"
#include "cli/display.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/verdict.h"

#define TICK_MS 1000

struct follow {
	struct client *client;
	const struct options *options;
	int detach_fd;
	struct display display;
	struct snapshot snapshot; /* the last the daemon gave; before that, the subject's name */
	uint64_t heard_ms;        /* when; 0: nothing yet */
};

static int say_detached(struct follow *follow)
{
	char watch[600];
	char cancel[600];

	options_command(follow->options, "watch", follow->snapshot.id, watch, sizeof(watch));
	options_command(follow->options, "cancel", follow->snapshot.id, cancel, sizeof(cancel));
	display_clear(&follow->display);
	fprintf(stderr, "culvert: the migration of %s goes on; watch it: %s; cancel it: %s\n",
		follow->snapshot.vm, watch, cancel);
	return EXIT_CODE_DETACHED;
}

static int explain_lost(struct follow *follow, struct error *err)
{
	const struct snapshot *last = &follow->snapshot;
	char phase[64];
	char status[600];

	options_command(follow->options, "status", last->vm, status, sizeof(status));
	if (follow->heard_ms == 0)
		return error_set(err, ERROR_LOCAL,
			"culvertd ended; start it again, then look where the guest runs before you "
			"touch it: %s",
			status);
	snapshot_phase_text(last, phase, sizeof(phase));
	return error_set(err, ERROR_LOCAL,
		"culvertd ended while it moved %s %s %s (last heard: %s); start it again, then "
		"look where the guest runs before you touch it: %s",
		last->vm, last->incoming ? "from" : "to", last->host, phase, status);
}

static int show(struct follow *follow, const json_t *object, struct error *err)
{
	if (snapshot_read(object, &follow->snapshot, err) < 0)
		return -1;
	follow->heard_ms = clock_now_ms();
	/* Of a burst only the last is worth drawing. */
	if (follow->display.kind != DISPLAY_BAR || !client_ready(follow->client))
		display_news(&follow->display, object, &follow->snapshot, follow->heard_ms);
	return 0;
}

static void tick(struct follow *follow)
{
	struct snapshot current = follow->snapshot;
	uint64_t now_ms = clock_now_ms();

	current.elapsed_ms += now_ms - follow->heard_ms;
	display_tick(&follow->display, &current, now_ms);
}

/* @returns  1: there may be more; EXIT_CODE_DETACHED; -1 */
static int step(struct follow *follow, struct error *err)
{
	json_t *object;
	int got;

	switch (detach_wait(follow->detach_fd, follow->client, TICK_MS)) {
	case DETACH_ASKED:
		return say_detached(follow);
	case DETACH_TIME:
		tick(follow);
		return 1;
	case DETACH_NEWS:
		break;
	}
	got = client_take_event(follow->client, 0, &object, err);
	if (got < 0 && client_lost(follow->client))
		return explain_lost(follow, err);
	if (got == 1) {
		got = show(follow, object, err);
		json_decref(object);
	}
	return got < 0 ? -1 : 1;
}

static int until_ended(struct follow *follow, struct error *err)
{
	int result = 1;

	while (result == 1 && !follow->snapshot.ended) {
		/* Nobody reads any more: as good as Ctrl-C. */
		if (output_failed())
			return say_detached(follow);
		result = step(follow, err);
	}
	return result;
}

static int begin(struct follow *follow, const char *subject, struct error *err)
{
	json_t *first;
	int result;

	format_copy(follow->snapshot.id, sizeof(follow->snapshot.id), subject);
	format_copy(follow->snapshot.vm, sizeof(follow->snapshot.vm), subject);
	if (client_send(follow->client, "watch", json_pack("{s:s}", "migration", subject), err) < 0)
		return client_lost(follow->client) ? explain_lost(follow, err) : -1;
	result = detach_take_answer(follow->detach_fd, follow->client, &first, err);
	if (result == 0)
		return say_detached(follow);
	if (result < 0)
		return client_lost(follow->client) ? explain_lost(follow, err) : -1;
	result = show(follow, first, err);
	json_decref(first);
	return result < 0 ? -1 : 1;
}

int follow(struct client *client, const struct options *options, int detach_fd, const char *subject,
	struct error *err)
{
	struct follow follow = {.client = client, .options = options, .detach_fd = detach_fd};
	int result;

	display_init(&follow.display, options->json);
	result = begin(&follow, subject, err);
	if (result == 1)
		result = until_ended(&follow, err);
	if (result == EXIT_CODE_DETACHED)
		return result;
	display_clear(&follow.display);
	if (result < 0)
		return -1;
	if (!options->json)
		verdict_print(stdout, &follow.snapshot, client_host(client), options,
			terminal_has_colour());
	return snapshot_outcome(&follow.snapshot, err);
}
