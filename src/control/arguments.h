/* The arguments of a command, read strictly: a key that is not known, a type that is wrong, a
 * required key that is missing is ERROR_USAGE and names the key.
 *
 *     const char *vm = NULL, *mode = "hybrid";
 *     bool quit_source = false;
 *     const struct argument table[] = {
 *             {.key = "vm", .required = true, .text = &vm},
 *             {.key = "mode", .text = &mode},
 *             {.key = "quit_source", .flag = &quit_source},
 *     };
 *     if (arguments_read(command.arguments, table, ARGUMENTS_COUNT(table), err) < 0) ...
 *
 * Threads: any.
 */
#ifndef CULVERT_CONTROL_ARGUMENTS_H
#define CULVERT_CONTROL_ARGUMENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Exactly one of text, flag and number is set: it gives the type and receives the value, which
 * keeps what it held (its default) where the key is absent. */
struct argument {
	const char *key;
	bool required;
	const char **text; /* borrowed from the object; never "" */
	bool *flag;
	uint64_t *number;
};

#define ARGUMENTS_COUNT(table) (sizeof(table) / sizeof((table)[0]))

/** @object an object, or NULL for no arguments. On failure some values may have been written */
int arguments_read(
	const json_t *object, const struct argument *table, size_t count, struct error *err);

#endif
