/* Ctrl-C while a migration is watched: the person leaves, the migration goes on. */
#ifndef CULVERT_CLI_DETACH_H
#define CULVERT_CLI_DETACH_H

#include <jansson.h>

#include "base/error.h"
#include "control/client.h"

/** From now on SIGINT and SIGTERM are read, not taken. @returns  a descriptor for detach_wait() */
int detach_open(struct error *err);

enum detach_wait { DETACH_NEWS, DETACH_TIME, DETACH_ASKED };

/** Until the daemon says something, @timeout_ms pass (-1: no limit), or the person asks to leave */
enum detach_wait detach_wait(int fd, const struct client *client, int timeout_ms);

/** As client_take_answer() without a time limit. @returns  1; 0: the person left; -1 */
int detach_take_answer(int fd, struct client *client, json_t **result, struct error *err);

#endif
