#include "hypervisor/qmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/lines.h"
#include "io/socket.h"

enum {
	GREETING_DEADLINE_MS = 5000,
	ANSWER_DEADLINE_MS = 10000,
	LONGEST_LINE_BYTES = 4 << 20,
	KEPT_EVENTS_COUNT = 256,
};

struct qmp {
	struct lines *lines;
	json_t *greeting;
	json_t *events; /* read while waiting for an answer */
	json_int_t last_id;
	bool unanswered;
	bool gone;
	char name[128];
};

/* A failure of the connection, in this floor's words. */
static int translate(struct qmp *qmp, struct error *err)
{
	char reason[ERROR_MESSAGE_BYTES];

	if (err->code == ERROR_LOCAL)
		return error_prefix(err, "QMP of %s", qmp->name);
	memcpy(reason, err->message, sizeof(reason));
	if (err->code != ERROR_LINK)
		return error_set(
			err, ERROR_HYPERVISOR, "%s does not speak QMP: %s", qmp->name, reason);
	qmp->gone = true;
	return error_set(err, ERROR_HYPERVISOR, "QEMU of %s has ended: %s", qmp->name, reason);
}

/* @returns as lines_get(); never anything but an object */
static int next_message(struct qmp *qmp, int timeout_ms, json_t **message, struct error *err)
{
	int result = lines_get(qmp->lines, timeout_ms, message, err);

	if (result < 0)
		return translate(qmp, err);
	if (result > 0 && !json_is_object(*message)) {
		json_decref(*message);
		return error_set(err, ERROR_HYPERVISOR,
			"%s does not speak QMP: a line is not an object", qmp->name);
	}
	return result;
}

static void keep_event(struct qmp *qmp, json_t *event)
{
	/* An event only says "look again", so that the newest is worth the most. */
	if (json_array_size(qmp->events) >= KEPT_EVENTS_COUNT)
		json_array_remove(qmp->events, 0);
	json_array_append_new(qmp->events, event);
}

static int take_greeting(struct qmp *qmp, int deadline_ms, struct error *err)
{
	json_t *message;
	int result = next_message(qmp, deadline_ms, &message, err);

	if (result < 0)
		return -1;
	if (result == 0)
		return error_set(err, ERROR_HYPERVISOR,
			"no QMP greeting from %s in %d ms: QMP serves one client at a time, "
			"and another seems to hold this socket; Culvert needs one of its own: "
			"start QEMU with one more -qmp unix:PATH,server=on,wait=off",
			qmp->name, deadline_ms);
	qmp->greeting = json_incref(json_object_get(message, "QMP"));
	json_decref(message);
	if (!json_is_object(qmp->greeting))
		return error_set(err, ERROR_HYPERVISOR,
			"%s does not speak QMP: its first line is not a greeting", qmp->name);
	return 0;
}

struct qmp *qmp_new(int fd, const char *name, int greeting_deadline_ms, struct error *err)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));

	if (qmp)
		qmp->events = json_array();
	if (qmp && qmp->events)
		qmp->lines = lines_new(fd, LONGEST_LINE_BYTES);
	else
		close(fd);
	if (!qmp || !qmp->lines) {
		error_set(err, ERROR_LOCAL, "out of memory");
		qmp_free(qmp);
		return NULL;
	}
	snprintf(qmp->name, sizeof(qmp->name), "%s", name);
	if (take_greeting(qmp, greeting_deadline_ms, err) < 0 ||
		qmp_execute(qmp, "qmp_capabilities", NULL, -1, NULL, err) < 0) {
		qmp_free(qmp);
		return NULL;
	}
	return qmp;
}

struct qmp *qmp_open(const char *path, struct error *err)
{
	int fd = socket_connect_unix(path, err);

	return fd < 0 ? NULL : qmp_new(fd, path, GREETING_DEADLINE_MS, err);
}

void qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return;
	lines_free(qmp->lines);
	json_decref(qmp->greeting);
	json_decref(qmp->events);
	free(qmp);
}

const json_t *qmp_greeting(const struct qmp *qmp)
{
	return qmp->greeting;
}

int qmp_descriptor(const struct qmp *qmp)
{
	return lines_descriptor(qmp->lines);
}

bool qmp_ready(const struct qmp *qmp)
{
	return json_array_size(qmp->events) > 0 || lines_ready(qmp->lines);
}

bool qmp_gone(const struct qmp *qmp)
{
	return qmp->gone;
}

bool qmp_unanswered(const struct qmp *qmp)
{
	return qmp->unanswered;
}

/* What QEMU makes of a line that it cannot parse has no "id": it can only be the last one sent. */
static bool is_answer(const json_t *message, json_int_t id)
{
	const json_t *answered = json_object_get(message, "id");

	if (!answered)
		return json_object_get(message, "error") != NULL;
	return json_is_integer(answered) && json_integer_value(answered) == id;
}

/* Borrows @answer. */
static int read_answer(const struct qmp *qmp, const char *command, const json_t *answer,
	json_t **value, struct error *err)
{
	json_t *returned = json_object_get(answer, "return");
	const char *reason =
		json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

	if (!returned)
		return error_set(err, ERROR_HYPERVISOR, "QEMU of %s refused %s: %s", qmp->name,
			command, reason ? reason : "it gave no reason");
	if (value)
		*value = json_incref(returned);
	return 0;
}

static int wait_for_answer(
	struct qmp *qmp, const char *command, json_int_t id, json_t **value, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(ANSWER_DEADLINE_MS);

	for (;;) {
		json_t *message;
		int result = next_message(qmp, clock_left_ms(deadline_ms), &message, err);

		if (result < 0)
			return -1;
		if (result == 0)
			return error_set(err, ERROR_HYPERVISOR,
				"QEMU of %s has not answered %s for %d seconds", qmp->name, command,
				ANSWER_DEADLINE_MS / 1000);
		if (json_object_get(message, "event")) {
			keep_event(qmp, message);
			continue;
		}
		/* An id of the past answers a command that we gave up waiting for. */
		if (is_answer(message, id)) {
			qmp->unanswered = false;
			result = read_answer(qmp, command, message, value, err);
			json_decref(message);
			return result;
		}
		json_decref(message);
	}
}

int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int pass, json_t **value,
	struct error *err)
{
	json_int_t id = ++qmp->last_id;
	json_t *line =
		json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id", id);

	qmp->unanswered = true;
	if (lines_put(qmp->lines, line, pass, err) < 0)
		return translate(qmp, err);
	return wait_for_answer(qmp, command, id, value, err);
}

int qmp_next_event(struct qmp *qmp, int timeout_ms, json_t **event, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(timeout_ms);

	if (json_array_size(qmp->events) > 0) {
		*event = json_incref(json_array_get(qmp->events, 0));
		json_array_remove(qmp->events, 0);
		return 1;
	}
	for (;;) {
		int result = next_message(qmp, clock_left_ms(deadline_ms), event, err);

		if (result <= 0 || json_object_get(*event, "event"))
			return result;
		json_decref(*event);
	}
}
