#include "control/control.h"

#include <string.h>

/* json_pack() formats: 'o' steals, 'O' does not, '*' leaves out what is NULL. A stolen value is
 * dropped by jansson when the packing fails. */

json_t *control_greeting(const char *host)
{
	return json_pack("{s:{s:s, s:s}}", "culvert", "version", CULVERT_VERSION, "host", host);
}

json_t *control_command(const char *name, json_t *arguments, json_t *id)
{
	return json_pack("{s:s, s:o*, s:o*}", "execute", name, "arguments", arguments, "id", id);
}

json_t *control_return(json_t *value, json_t *id)
{
	return json_pack("{s:o, s:O*}", "return", value ? value : json_object(), "id", id);
}

json_t *control_error(const struct error *failure, json_t *id)
{
	return json_pack("{s:o, s:O*}", "error", control_error_encode(failure), "id", id);
}

json_t *control_event(const char *name, json_t *data)
{
	return json_pack("{s:s, s:o}", "event", name, "data", data);
}

json_t *control_error_encode(const struct error *failure)
{
	char text[ERROR_MESSAGE_BYTES];
	json_t *description = json_string(failure->message);

	/* A message that was cut in the middle of a character, or quotes foreign bytes, is not
	 * UTF-8: it must reach its reader all the same. */
	if (!description) {
		memcpy(text, failure->message, sizeof(text));
		for (char *p = text; *p; p++) {
			if ((unsigned char)*p >= 0x80)
				*p = '?';
		}
		description = json_string(text);
	}
	return json_pack(
		"{s:s, s:o}", "class", error_code_name(failure->code), "desc", description);
}

void control_error_decode(const json_t *object, struct error *failure)
{
	const char *name = json_string_value(json_object_get(object, "class"));
	const char *text = json_string_value(json_object_get(object, "desc"));
	enum error_code code = name ? error_code_find(name) : ERROR_LOCAL;

	if (code == ERROR_NONE)
		code = ERROR_LOCAL;
	error_set(failure, code, "%s", text && *text ? text : "failed without saying why");
}

int control_read_command(json_t *message, struct control_command *command, struct error *err)
{
	const char *key;
	json_t *value;

	*command = (struct control_command){.id = json_object_get(message, "id")};
	if (!json_is_object(message))
		return error_set(err, ERROR_USAGE, "a command is a JSON object");
	json_object_foreach(message, key, value)
	{
		if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 &&
			strcmp(key, "id") != 0)
			return error_set(err, ERROR_USAGE,
				"unknown key '%s' in a command: known are execute, arguments, id",
				key);
	}
	command->name = json_string_value(json_object_get(message, "execute"));
	if (!command->name)
		return error_set(err, ERROR_USAGE, "'execute' must be the name of a command");
	command->arguments = json_object_get(message, "arguments");
	if (command->arguments && !json_is_object(command->arguments))
		return error_set(err, ERROR_USAGE, "'arguments' must be an object");
	return 0;
}

int control_read_answer(json_t *message, struct control_answer *answer, struct error *err)
{
	json_t *result = json_object_get(message, "return");
	json_t *failure = json_object_get(message, "error");
	json_t *event = json_object_get(message, "event");

	*answer = (struct control_answer){.id = json_object_get(message, "id")};
	if (!!result + !!failure + !!event != 1)
		return error_set(err, ERROR_PEER, "a message is neither return, error nor event");
	if (result) {
		answer->kind = CONTROL_RETURN;
		answer->value = result;
	} else if (failure) {
		answer->kind = CONTROL_ERROR;
		control_error_decode(failure, &answer->failure);
	} else {
		answer->kind = CONTROL_EVENT;
		answer->event = json_string_value(event);
		answer->value = json_object_get(message, "data");
		if (!answer->event)
			return error_set(err, ERROR_PEER, "an event without a name");
		if (!answer->value)
			answer->value = json_null();
	}
	return 0;
}
