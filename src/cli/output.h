/* Standard output. */
#ifndef CULVERT_CLI_OUTPUT_H
#define CULVERT_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

/** Lines appear as they are printed; writing to a closed pipe is an error, not a signal */
void output_init(void);

/** One value on one line, nothing in it but printable ASCII */
void output_json(const json_t *value);

/** Whether something that was printed did not arrive */
bool output_failed(void);

/** Flush. @errors  ERROR_LOCAL */
int output_finish(struct error *err);

/** "culvert: MESSAGE" on standard error */
void output_error(const struct error *failure);

#endif
