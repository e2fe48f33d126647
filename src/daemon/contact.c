#include "daemon/contact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "control/message.h"
#include "daemon/channel.h"
#include "daemon/opening.h"
#include "io/lines.h"
#include "io/socket.h"

/* A destination may wait ten seconds for its QEMU, more than once for one question. */
#define ANSWER_MS 45000

struct contact {
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
	snprintf(contact->peer, sizeof(contact->peer), "%s", peer->name);
	contact->channel = opening_run(daemon, peer, "control", "", pair[0], contact->address, err);
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

static void take_news(struct contact *contact, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));
	const char *reason = json_string_value(json_object_get(data, "reason"));

	snprintf(contact->news.status, sizeof(contact->news.status), "%s", status ? status : "");
	snprintf(contact->news.reason, sizeof(contact->news.reason), "%s", reason ? reason : "");
	contact->news.running = json_is_true(json_object_get(data, "running"));
}

/* The next message. @returns 1 with @message held by the caller and taken apart in @answer, 0, -1
 */
static int next(struct contact *contact, int timeout_ms, json_t **message,
	struct message_answer *answer, struct error *err)
{
	int got = lines_get(contact->lines, timeout_ms, message, err);

	if (got < 0 && err->code == ERROR_LINK)
		return lost(contact, err);
	if (got < 0)
		return error_prefix(err, "%s", contact->peer);
	if (got == 0)
		return 0;
	if (message_read_answer(*message, answer, err) < 0) {
		json_decref(*message);
		return error_prefix(err, "%s", contact->peer);
	}
	if (answer->kind == MESSAGE_EVENT && strcmp(answer->event, "migration") == 0)
		take_news(contact, answer->value);
	return 1;
}

int contact_ask(struct contact *contact, const char *command, json_t *arguments, json_t **result,
	struct error *err)
{
	struct message_answer answer = {.kind = MESSAGE_EVENT};
	json_t *message = NULL;
	int got;

	if (lines_put(contact->lines, message_command(command, arguments, NULL), -1, err) < 0)
		return lost(contact, err);
	do {
		json_decref(message);
		message = NULL;
		got = next(contact, ANSWER_MS, &message, &answer, err);
		if (got == 0)
			error_set(
				err, ERROR_LINK, "%s does not answer '%s'", contact->peer, command);
		if (got <= 0)
			return -1;
	} while (answer.kind == MESSAGE_EVENT);
	if (answer.kind == MESSAGE_ERROR) {
		*err = answer.failure;
		error_prefix(err, "%s", contact->peer);
	} else if (result) {
		*result = json_incref(answer.value);
	}
	json_decref(message);
	return answer.kind == MESSAGE_ERROR ? -1 : 0;
}

int contact_listen(
	struct contact *contact, int timeout_ms, struct contact_news *news, struct error *err)
{
	struct message_answer answer;
	json_t *message;
	int got = next(contact, timeout_ms, &message, &answer, err);

	while (got > 0) {
		json_decref(message);
		got = next(contact, 0, &message, &answer, err);
	}
	*news = contact->news;
	return got;
}
