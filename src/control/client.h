/* A client of culvertd's local control socket.
 *
 * Spec:  docs/CONTROL.md.
 * Threads: one.
 *
 * What goes wrong between client and daemon is ERROR_LOCAL, since both are on this host; what the
 * daemon answered keeps its own class. client_lost() tells the daemon's end from the rest.
 */
#ifndef CULVERT_CONTROL_CLIENT_H
#define CULVERT_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

#define CLIENT_SOCKET "/run/culvert/control.sock"

struct client;

/**
 * Connect and take the greeting.
 *
 * @errors  ERROR_USAGE: @path is too long; ERROR_LOCAL: no socket, nobody listens, no permission,
 *          or not culvertd; the message says what to do
 */
struct client *client_open(const char *path, struct error *err);
void client_free(struct client *client);

/** This host's name, as the daemon greets; owned by @client */
const char *client_host(const struct client *client);

/** For poll(); see client_ready() */
int client_descriptor(const struct client *client);

/** Whether a message is there that poll() cannot see */
bool client_ready(const struct client *client);

/** Whether the daemon closed the connection: it ended, or said all it had to say */
bool client_lost(const struct client *client);

/** Send a command; its answer is due. @arguments stolen, NULL: none */
int client_send(struct client *client, const char *command, json_t *arguments, struct error *err);

/** ... and pass @fd along, which stays the caller's */
int client_send_with(
	struct client *client, const char *command, json_t *arguments, int fd, struct error *err);

/**
 * The answer to the last client_send().
 *
 * @timeout_ms  0: only what is there; -1: for ever
 * @result      a new reference to the return value
 * @returns     1, 0 when the time passed, -1 with @err set: the daemon's error, or ERROR_LOCAL
 */
int client_take_answer(struct client *client, int timeout_ms, json_t **result, struct error *err);

/** Send and wait. @returns 0, or -1 with @err set; no answer within @timeout_ms is ERROR_LOCAL */
int client_call(struct client *client, const char *command, json_t *arguments, int timeout_ms,
	json_t **result, struct error *err);

/**
 * The next "migration" event after `watch`; others are skipped.
 *
 * @migration  a new reference to the event's data
 * @returns    1, 0 when the time passed or another event came, -1 with @err set
 */
int client_take_event(struct client *client, int timeout_ms, json_t **migration, struct error *err);

#endif
