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
	/* ... and the first of a QEMU that was taken over: it may be one that waits for a page */
	DOUBTFUL_DEADLINE_MS = 2000,
	/* For the answer that an earlier command still owes */
	OWED_DEADLINE_MS = 250,
};

struct qmp {
	struct lines *lines;
	json_t *greeting;
	json_t *events; /* read while waiting for an answer */
	json_int_t last_id;
	json_int_t owed_id; /* of the command that was not answered in time; 0: none */
	bool gone;
	bool taken_over; /* in the middle of a line, perhaps */
	int answer_deadline_ms;
	bool out_of_band; /* QEMU takes commands while another is not done */
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

	/* Of the first line the client before may have had a part. */
	if (result < 0 && qmp->taken_over && err->code == ERROR_PEER)
		result = lines_get(qmp->lines, timeout_ms, message, err);
	qmp->taken_over &= result == 0;
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

/* Out-of-band commands, where QEMU has them, must be asked for now. */
static int negotiate(struct qmp *qmp, struct error *err)
{
	const json_t *offered = json_object_get(qmp->greeting, "capabilities");
	const json_t *capability;
	json_t *arguments = NULL;
	size_t i;

	json_array_foreach(offered, i, capability)
	{
		const char *name = json_string_value(capability);

		if (name && strcmp(name, "oob") == 0)
			arguments = json_pack("{s:[s]}", "enable", "oob");
	}
	qmp->out_of_band = arguments != NULL;
	return qmp_execute(qmp, "qmp_capabilities", arguments, -1, NULL, err);
}

static struct qmp *allocate(int fd, const char *name, struct error *err)
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
	qmp->answer_deadline_ms = ANSWER_DEADLINE_MS;
	return qmp;
}

struct qmp *qmp_new(int fd, const char *name, int greeting_deadline_ms, struct error *err)
{
	struct qmp *qmp = allocate(fd, name, err);

	if (!qmp)
		return NULL;
	if (take_greeting(qmp, greeting_deadline_ms, err) < 0 || negotiate(qmp, err) < 0) {
		qmp_free(qmp);
		return NULL;
	}
	return qmp;
}

struct qmp *qmp_take_over(int fd, const char *name, struct error *err)
{
	struct qmp *qmp = allocate(fd, name, err);

	if (!qmp)
		return NULL;
	qmp->taken_over = true;
	qmp->answer_deadline_ms = DOUBTFUL_DEADLINE_MS;
	qmp->out_of_band = true;
	/* Far from those that the client before has used */
	qmp->last_id = (json_int_t)clock_now_ms() << 16;
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
	return qmp->owed_id != 0;
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

/* @returns 1 with @message, the answer to @id; 0: none in time; -1 */
static int wait_for_answer(
	struct qmp *qmp, json_int_t id, int timeout_ms, json_t **message, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(timeout_ms);

	for (;;) {
		int result = next_message(qmp, clock_left_ms(deadline_ms), message, err);

		if (result <= 0)
			return result;
		if (json_object_get(*message, "event")) {
			keep_event(qmp, *message);
			continue;
		}
		if (qmp->owed_id != 0 && is_answer(*message, qmp->owed_id)) {
			qmp->owed_id = 0;
			qmp->answer_deadline_ms = ANSWER_DEADLINE_MS;
		}
		if (is_answer(*message, id))
			return 1;
		json_decref(*message);
	}
}

/* Put @line on its way, and take its answer. */
static int ask(struct qmp *qmp, const char *command, json_t *line, json_int_t id, int pass,
	json_t **value, struct error *err)
{
	json_t *message;
	int result;

	if (lines_put(qmp->lines, line, pass, err) < 0)
		return translate(qmp, err);
	result = wait_for_answer(qmp, id, qmp->answer_deadline_ms, &message, err);
	if (result < 0)
		return -1;
	if (result == 0)
		return error_set(err, ERROR_HYPERVISOR,
			"QEMU of %s has not answered %s for %d seconds", qmp->name, command,
			qmp->answer_deadline_ms / 1000);
	result = read_answer(qmp, command, message, value, err);
	json_decref(message);
	return result;
}

/* QEMU stops reading altogether, out-of-band commands too, when too many wait. */
static int await_owed(struct qmp *qmp, const char *command, struct error *err)
{
	json_t *message;
	int result;

	if (qmp->owed_id == 0)
		return 0;
	result = wait_for_answer(qmp, qmp->owed_id, OWED_DEADLINE_MS, &message, err);
	if (result == 0)
		return error_set(err, ERROR_HYPERVISOR,
			"QEMU of %s has not answered an earlier command: %s is not asked",
			qmp->name, command);
	if (result > 0)
		json_decref(message);
	return result < 0 ? -1 : 0;
}

int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int pass, json_t **value,
	struct error *err)
{
	json_int_t id;

	if (await_owed(qmp, command, err) < 0) {
		json_decref(arguments);
		return -1;
	}
	id = ++qmp->last_id;
	qmp->owed_id = id;
	return ask(qmp, command,
		json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id", id),
		id, pass, value, err);
}

int qmp_execute_now(struct qmp *qmp, const char *command, json_t *arguments, struct error *err)
{
	json_int_t id;

	if (!qmp->out_of_band)
		return qmp_execute(qmp, command, arguments, -1, NULL, err);
	id = ++qmp->last_id;
	return ask(qmp, command,
		json_pack(
			"{s:s, s:o*, s:I}", "exec-oob", command, "arguments", arguments, "id", id),
		id, -1, NULL, err);
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
