/* The exit codes of `culvert`. Spec: docs/CONTROL.md, "Error classes". */
#ifndef CULVERT_CLI_EXIT_CODE_H
#define CULVERT_CLI_EXIT_CODE_H

#include "base/error.h"

#define EXIT_CODE_DETACHED 10

/** For a command that failed. ERROR_NONE is a fault in Culvert itself */
int exit_code(enum error_code code);

#endif
