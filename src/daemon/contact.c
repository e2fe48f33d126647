#include "daemon/contact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/parse.h"
#include "control/control.h"
#include "daemon/channel.h"
#include "daemon/opening.h"
#include "io/lines.h"
#include "io/socket.h"

/* A destination may wait ten seconds for its QEMU, more than once for one question. */
#define ANSWER_MS 45000
#define BRIEF_MS  2000
/* How often a wait looks whether the daemon still runs */
#define TURN_MS 250
/* A peer that says more than that at once is heard on the next occasion. */
#define NEWS_AT_ONCE 64

struct contact {
	struct daemon *daemon;
	uint64_t patience_ms;
	json_int_t last_id;
	char peer[64];
	char address[400];
	struct channel *channel;
	struct lines *lines;
	struct contact_news news;
};

struct contact *contact_new(
	struct daemon *daemon, const struct config_peer *peer, struct error *err)
{
	struct contact *contact = calloc(1, sizeof(*contact));
	int pair[2];

	if (!contact || socket_pair(pair, err) < 0) {
		if (!contact)
			error_set(err, ERROR_LOCAL, "no memory");
		free(contact);
		return NULL;
	}
	contact->daemon = daemon;
	contact->patience_ms = peer->resume_deadline_ms + ANSWER_MS;
	snprintf(contact->peer, sizeof(contact->peer), "%s", peer->name);
	contact->channel =
		opening_run(daemon, peer, "control", "", NULL, pair[0], contact->address, err);
	if (!contact->channel) {
		close(pair[1]);
		free(contact);
		return NULL;
	}
	contact->lines = lines_new(pair[1], CONTROL_LONGEST_BYTES);
	if (!contact->lines) {
		contact_free(contact);
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	return contact;
}

void contact_free(struct contact *contact)
{
	if (!contact)
		return;
	/* Closing our end ends the channel, after what was said has passed. */
	lines_free(contact->lines);
	channel_put(contact->channel);
	free(contact);
}

const char *contact_address(const struct contact *contact)
{
	return contact->address;
}

/* Why the channel ended, if it is known */
static int lost(struct contact *contact, struct error *err)
{
	struct channel_progress progress;

	channel_progress(contact->channel, &progress);
	if (progress.ended && progress.failure.code != ERROR_NONE)
		return error_set(err, ERROR_LINK, "lost contact with %s: %s", contact->peer,
			progress.failure.message);
	return error_set(err, ERROR_LINK, "lost contact with %s", contact->peer);
}

/* The peer's own words are quoted in logs, and must not end the quotation. */
static void unquote(char *text)
{
	for (char *mark = text; (mark = strchr(mark, '"'));)
		*mark = '\'';
}

/* A status is a word, in logs without quotation. */
static void copy_status(char *place, size_t size, const char *status)
{
	snprintf(place, size, "%s", status ? status : "");
	if (status && !parse_is_name(status))
		snprintf(place, size, "?");
}

static void take_news(struct contact *contact, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));
	const char *reason = json_string_value(json_object_get(data, "reason"));

	copy_status(contact->news.status, sizeof(contact->news.status), status);
	snprintf(contact->news.reason, sizeof(contact->news.reason), "%s", reason ? reason : "");
	unquote(contact->news.reason);
	contact->news.running = json_is_true(json_object_get(data, "running"));
}

/* The next message. @returns 1 with @message held by the caller and taken apart in @answer, 0, -1
 */
static int next(struct contact *contact, int timeout_ms, json_t **message,
	struct control_answer *answer, struct error *err)
{
	int got = lines_get(contact->lines, timeout_ms, message, err);

	if (got < 0 && err->code == ERROR_LINK)
		return lost(contact, err);
	if (got < 0)
		return error_prefix(err, "%s", contact->peer);
	if (got == 0)
		return 0;
	if (control_read_answer(*message, answer, err) < 0) {
		json_decref(*message);
		return error_prefix(err, "%s", contact->peer);
	}
	if (answer->kind == CONTROL_EVENT && strcmp(answer->event, "migration") == 0)
		take_news(contact, answer->value);
	if (answer->kind == CONTROL_EVENT && strcmp(answer->event, "stopping") == 0)
		contact->news.stopping = true;
	return 1;
}

bool contact_is_linkless(struct contact *contact)
{
	struct channel_progress progress;

	channel_progress(contact->channel, &progress);
	return progress.lost_ms > 0;
}

bool contact_is_futile(struct contact *contact)
{
	return atomic_load(&contact->daemon->stopping) && contact_is_linkless(contact);
}

/* An answer to an earlier question is one that was given up. */
static bool is_answer(const struct contact *contact, const struct control_answer *answer)
{
	return answer->kind != CONTROL_EVENT &&
		(!answer->id || json_integer_value(answer->id) == contact->last_id);
}

/* @returns as next(), of the answer to the last question. Events do not prolong the wait */
static int wait_for_answer(struct contact *contact, uint64_t deadline_ms, json_t **message,
	struct control_answer *answer, struct error *err)
{
	while (!atomic_load(&contact->daemon->ending)) {
		int left_ms = clock_left_ms(deadline_ms);
		int got =
			next(contact, left_ms < TURN_MS ? left_ms : TURN_MS, message, answer, err);

		if (got < 0 || (got > 0 && is_answer(contact, answer)))
			return got;
		if (got > 0)
			json_decref(*message);
		if (left_ms == 0 || contact_is_futile(contact))
			break;
	}
	return 0;
}

static int say(struct contact *contact, const char *command, json_t *arguments, struct error *err)
{
	json_t *line = control_command(command, arguments, json_integer(++contact->last_id));

	return lines_put(contact->lines, line, -1, err) < 0 ? lost(contact, err) : 0;
}

static int ask(struct contact *contact, uint64_t timeout_ms, const char *command, json_t *arguments,
	json_t **result, struct error *err)
{
	struct control_answer answer;
	json_t *message;
	int got;

	if (say(contact, command, arguments, err) < 0)
		return -1;
	got = wait_for_answer(contact, clock_now_ms() + timeout_ms, &message, &answer, err);
	if (got == 0)
		error_set(err, ERROR_LINK, "%s does not answer '%s'", contact->peer, command);
	if (got <= 0)
		return -1;
	if (answer.kind == CONTROL_ERROR) {
		*err = answer.failure;
		unquote(err->message);
		error_prefix(err, "%s", contact->peer);
	} else if (result) {
		*result = json_incref(answer.value);
	}
	json_decref(message);
	return answer.kind == CONTROL_ERROR ? -1 : 0;
}

int contact_ask(struct contact *contact, const char *command, json_t *arguments, json_t **result,
	struct error *err)
{
	return ask(contact, ANSWER_MS, command, arguments, result, err);
}

int contact_insist(struct contact *contact, const char *command, json_t *arguments, json_t **result,
	struct error *err)
{
	return ask(contact, contact->patience_ms, command, arguments, result, err);
}

int contact_ask_briefly(struct contact *contact, const char *command, json_t *arguments,
	json_t **result, struct error *err)
{
	return ask(contact, BRIEF_MS, command, arguments, result, err);
}

int contact_rejoin(struct contact *contact, const char *id, const char *vm, struct error *err)
{
	json_t *result = NULL;

	if (contact_ask(contact, "rejoin", json_pack("{ss ss}", "id", id, "vm", vm), &result, err) <
		0)
		return -1;
	take_news(contact, result);
	json_decref(result);
	return 0;
}

int contact_listen(
	struct contact *contact, int timeout_ms, struct contact_news *news, struct error *err)
{
	struct control_answer answer;
	json_t *message;
	int got = next(contact, timeout_ms, &message, &answer, err);

	for (unsigned count = 1; got > 0; count++) {
		json_decref(message);
		got = count < NEWS_AT_ONCE ? next(contact, 0, &message, &answer, err) : 0;
	}
	*news = contact->news;
	return got;
}
