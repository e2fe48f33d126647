#include "daemon/control_server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/arguments.h"
#include "control/control.h"
#include "daemon/conversation.h"
#include "daemon/orders.h"
#include "io/lines.h"

/* A client is told at most so often; progress bars need no more. */
#define EVENT_PAUSE_US 100000

struct client {
	struct daemon *daemon;
	struct lines *lines;
};

/* Every change of a migration until it has ended. @returns 0, or -1: the client is gone */
static int send_events(struct client *client, const char *name, uint64_t seen, bool ended)
{
	struct daemon *daemon = client->daemon;
	struct error err;
	bool ending = false;

	while (!ended && !ending) {
		json_t *value;
		json_t *unexpected;
		int got;

		/* Before the look: a daemon that ends still tells how the migration ended. */
		ending = atomic_load(&daemon->ending);
		if (migrations_follow(daemon->migrations, name, &seen,
			    ending ? 0 : CONVERSATION_TURN_MS, &value, &ended, &err) < 0)
			return -1;
		if (value &&
			lines_put(client->lines, control_event("migration", value), -1, &err) < 0)
			return -1;
		got = lines_get(client->lines, 0, &unexpected, &err);
		if (got > 0)
			json_decref(unexpected);
		if (got < 0)
			return -1;
		usleep(EVENT_PAUSE_US);
	}
	return -1; /* the last word is said: close */
}

static int watch(struct client *client, const struct control_command *command)
{
	const char *name = NULL;
	const struct argument table[] = {{.key = "migration", .required = true, .text = &name}};
	struct error err;
	json_t *value;
	uint64_t seen = 0;
	bool ended = false;
	char id[9];

	if (arguments_read(command->arguments, table, ARGUMENTS_COUNT(table), &err) < 0 ||
		migrations_follow(
			client->daemon->migrations, name, &seen, 0, &value, &ended, &err) < 0)
		return lines_put(client->lines, control_error(&err, command->id), -1, &err);
	/* By its id from now on: a name may mean another migration later. */
	strcpy(id, json_string_value(json_object_get(value, "id")));
	if (lines_put(client->lines, control_return(value, command->id), -1, &err) < 0)
		return -1;
	/* One event at least, so that a client has one way to learn the end. */
	seen = 0;
	ended = false;
	return send_events(client, id, seen, ended);
}

/* For as long as the client stays connected. @returns -1: it has left, or the rendezvous is lost */
static int hold_rendezvous(struct client *client, const struct control_command *command)
{
	struct error err;
	struct rendezvous *rendezvous = orders_rendezvous(client->daemon, command->arguments, &err);
	struct error ignored;
	json_t *message;
	int got;

	if (!rendezvous)
		return lines_put(client->lines, control_error(&err, command->id), -1, &ignored);
	got = lines_put(client->lines,
		control_return(orders_rendezvous_json(client->daemon, rendezvous), command->id), -1,
		&ignored);
	while (got == 0 && !atomic_load(&client->daemon->ending) &&
		!rendezvous_is_lost(rendezvous, &err)) {
		got = lines_get(client->lines, CONVERSATION_TURN_MS, &message, &ignored);
		if (got > 0) {
			json_decref(message);
			got = 0;
		}
	}
	rendezvous_end(rendezvous);
	return -1;
}

/* @returns 0, or -1: nothing more to say to this client */
static int serve_one(struct client *client)
{
	struct control_command command = {0};
	struct error err;
	json_t *message;
	json_t *result = NULL;
	int got = lines_get(client->lines, CONVERSATION_TURN_MS, &message, &err);

	if (got == 0)
		return 0;
	if (got < 0) {
		struct error ignored;

		if (err.code != ERROR_LINK)
			(void)lines_put(client->lines, control_error(&err, NULL), -1, &ignored);
		return -1;
	}
	if (control_read_command(message, &command, &err) == 0) {
		if (strcmp(command.name, "watch") == 0) {
			got = watch(client, &command);
			json_decref(message);
			return got;
		}
		if (strcmp(command.name, "rendezvous") == 0) {
			got = hold_rendezvous(client, &command);
			json_decref(message);
			return got;
		}
		if (strcmp(command.name, "connect") == 0)
			result = orders_connect(client->daemon, &command,
				lines_take_descriptor(client->lines), &err);
		else
			result = orders_obey(client->daemon, &command, &err);
	}
	got = lines_put(client->lines,
		result ? control_return(result, command.id) : control_error(&err, command.id), -1,
		&err);
	json_decref(message);
	return got;
}

static void talk(void *argument)
{
	struct client *client = argument;
	struct error err;

	if (lines_put(client->lines, control_greeting(client->daemon->config->name), -1, &err) ==
		0) {
		/* While the daemon stops, clients may still look. */
		while (!atomic_load(&client->daemon->ending) && serve_one(client) == 0)
			;
	}
	lines_free(client->lines);
	free(client);
}

void control_server_accept(struct daemon *daemon, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	struct error err;

	if (client)
		client->lines = lines_new(fd, CONTROL_LONGEST_BYTES);
	else
		close(fd);
	if (!client || !client->lines) {
		free(client);
		return;
	}
	client->daemon = daemon;
	lines_accept_descriptor(client->lines);
	if (conversation_start(talk, client, &err) == 0)
		return;
	log_event(LOG_WARNING, "control.refused", "reason=\"%s\"", err.message);
	lines_free(client->lines);
	free(client);
}
