/* One command, one connection, one answer. */
#ifndef CULVERT_CLI_ORDER_H
#define CULVERT_CLI_ORDER_H

#include <jansson.h>

#include "base/error.h"
#include "cli/options.h"

/**
 * @arguments  stolen; NULL: none
 * @returns    a new reference, or NULL with @err set
 */
json_t *order(const struct options *options, const char *name, json_t *arguments, int timeout_ms,
	struct error *err);

#endif
