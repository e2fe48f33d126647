/* Stays with a migration until it ends or the person leaves. */
#ifndef CULVERT_CLI_FOLLOW_H
#define CULVERT_CLI_FOLLOW_H

#include "base/error.h"
#include "cli/options.h"
#include "control/client.h"

/**
 * `watch` @subject and show what comes, then the verdict.
 *
 * @detach_fd  of detach_open()
 * @subject    an id, or the name of a virtual machine
 * @returns    0: it runs where it should; EXIT_CODE_DETACHED; -1 with @err set
 */
int follow(struct client *client, const struct options *options, int detach_fd, const char *subject,
	struct error *err);

#endif
