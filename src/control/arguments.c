#include "control/arguments.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct argument *find(const struct argument *table, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(table[i].key, key) == 0)
			return &table[i];
	}
	return NULL;
}

static int refuse_unknown(
	const struct argument *table, size_t count, const char *key, struct error *err)
{
	char known[256] = "";
	size_t length = 0;

	if (count == 0)
		return error_set(
			err, ERROR_USAGE, "unknown argument '%.100s': the command takes none", key);
	for (size_t i = 0; i < count && length < sizeof(known); i++)
		length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s",
			i ? ", " : "", table[i].key);
	return error_set(err, ERROR_USAGE, "unknown argument '%.100s': known are %s", key, known);
}

static int take(const struct argument *argument, const json_t *value, struct error *err)
{
	assert(!!argument->text + !!argument->flag + !!argument->number == 1);
	if (argument->text) {
		const char *text = json_string_value(value);

		if (!text || !*text)
			return error_set(err, ERROR_USAGE, "argument '%s' must be a text%s",
				argument->key, text ? " that is not empty" : "");
		*argument->text = text;
	} else if (argument->flag) {
		if (!json_is_boolean(value))
			return error_set(err, ERROR_USAGE, "argument '%s' must be true or false",
				argument->key);
		*argument->flag = json_is_true(value);
	} else {
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return error_set(err, ERROR_USAGE,
				"argument '%s' must be a whole number, 0 or more", argument->key);
		*argument->number = (uint64_t)json_integer_value(value);
	}
	return 0;
}

int arguments_read(
	const json_t *object, const struct argument *table, size_t count, struct error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		const struct argument *argument = find(table, count, key);

		if (!argument)
			return refuse_unknown(table, count, key, err);
		if (take(argument, value, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		if (table[i].required && !json_object_get(object, table[i].key))
			return error_set(
				err, ERROR_USAGE, "argument '%s' is missing", table[i].key);
	}
	return 0;
}
