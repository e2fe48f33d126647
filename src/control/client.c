#include "control/client.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/descriptor.h"
#include "control/control.h"
#include "io/lines.h"

#define GREETING_TIMEOUT_MS 5000

struct client {
	struct lines *lines;
	json_t *greeting;
	const char *host; /* in greeting */
	json_int_t last_id;
	bool lost;
};

static int explain_permission(const char *path, struct error *err)
{
	struct stat status;
	struct group *group = NULL;

	if (stat(path, &status) == 0)
		group = getgrgid(status.st_gid);
	if (group && status.st_gid != 0)
		return error_set(err, ERROR_LOCAL,
			"no permission for %s: it belongs to the group '%s'; join that group, "
			"or become root",
			path, group->gr_name);
	return error_set(err, ERROR_LOCAL,
		"no permission for %s: become root, or join the group that control_group names "
		"in culvertd's configuration",
		path);
}

static int explain_connect(const char *path, struct error *err)
{
	if (errno == ENOENT || errno == ENOTDIR)
		return error_set(err, ERROR_LOCAL,
			"there is no control socket %s: start culvertd, or name its socket with "
			"--socket",
			path);
	if (errno == ECONNREFUSED)
		return error_set(err, ERROR_LOCAL,
			"nobody listens on %s: culvertd is not running; start it", path);
	if (errno == EACCES || errno == EPERM)
		return explain_permission(path, err);
	if (errno == EAGAIN)
		return error_set(err, ERROR_LOCAL,
			"culvertd does not accept connections on %s: it hangs, or is overloaded; "
			"its log may say why",
			path);
	return error_errno(err, "cannot connect to %s", path);
}

static int connect_to(const char *path, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	/* Bounds connect(), which waits while the daemon's backlog is full. */
	struct timeval patience = {.tv_sec = 5};
	CLEANUP_FD int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERROR_USAGE, "the socket's path is longer than %zu bytes: %s",
			sizeof(address.sun_path) - 1, path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, "cannot make a socket");
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return error_errno(err, "cannot set up a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return explain_connect(path, err);
	return fd_take(&fd);
}

/* What lines reports about the other side is about this host's daemon */
static int blame_daemon(struct client *client, struct error *err)
{
	if (err->code == ERROR_LINK) {
		client->lost = true;
		return error_set(err, ERROR_LOCAL,
			"culvertd closed the connection: it ended or was restarted; its log says "
			"why");
	}
	if (err->code == ERROR_PEER) {
		err->code = ERROR_LOCAL;
		return error_prefix(err,
			"culvertd's answer is not understood; are culvert and culvertd of one "
			"version?");
	}
	return -1;
}

static int take_greeting(struct client *client, const char *path, struct error *err)
{
	struct error cause;
	const json_t *culvert;

	if (lines_get(client->lines, GREETING_TIMEOUT_MS, &client->greeting, &cause) == 1) {
		culvert = json_object_get(client->greeting, "culvert");
		client->host = json_string_value(json_object_get(culvert, "host"));
		if (client->host)
			return 0;
	}
	return error_set(err, ERROR_LOCAL,
		"what listens on %s does not greet as culvertd does: it hangs, or is another "
		"program; see culvertd's log, or name its socket with --socket",
		path);
}

struct client *client_open(const char *path, struct error *err)
{
	int fd = connect_to(path, err);
	struct client *client;

	if (fd < 0)
		return NULL;
	client = calloc(1, sizeof(*client));
	if (!client) {
		close(fd);
		error_set(err, ERROR_LOCAL, "out of memory");
		return NULL;
	}
	client->lines = lines_new(fd, CONTROL_LONGEST_BYTES);
	if (!client->lines)
		error_set(err, ERROR_LOCAL, "out of memory");
	if (!client->lines || take_greeting(client, path, err) < 0) {
		client_free(client);
		return NULL;
	}
	return client;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	if (client->lines)
		lines_free(client->lines);
	json_decref(client->greeting);
	free(client);
}

const char *client_host(const struct client *client)
{
	return client->host;
}

int client_descriptor(const struct client *client)
{
	return lines_descriptor(client->lines);
}

bool client_ready(const struct client *client)
{
	return lines_ready(client->lines);
}

bool client_lost(const struct client *client)
{
	return client->lost;
}

int client_send_with(
	struct client *client, const char *command, json_t *arguments, int fd, struct error *err)
{
	json_t *id = json_integer(++client->last_id);

	if (lines_put(client->lines, control_command(command, arguments, id), fd, err) < 0)
		return blame_daemon(client, err);
	return 0;
}

int client_send(struct client *client, const char *command, json_t *arguments, struct error *err)
{
	return client_send_with(client, command, arguments, -1, err);
}

/* @returns as lines_get(); *@message is the caller's, and @answer borrows from it */
static int take_message(struct client *client, int timeout_ms, json_t **message,
	struct control_answer *answer, struct error *err)
{
	int got = lines_get(client->lines, timeout_ms, message, err);

	if (got < 0)
		return blame_daemon(client, err);
	if (got == 1 && control_read_answer(*message, answer, err) < 0) {
		json_decref(*message);
		return blame_daemon(client, err);
	}
	return got;
}

static bool answers_last(const struct client *client, const struct control_answer *answer)
{
	/* The daemon could not read the command, nor its id. */
	if (answer->kind == CONTROL_ERROR && !answer->id)
		return true;
	return answer->kind != CONTROL_EVENT && json_integer_value(answer->id) == client->last_id;
}

int client_take_answer(struct client *client, int timeout_ms, json_t **result, struct error *err)
{
	struct control_answer answer;
	json_t *message;
	int got = take_message(client, timeout_ms, &message, &answer, err);

	if (got < 1)
		return got;
	if (!answers_last(client, &answer)) {
		error_set(err, ERROR_PEER, "it does not belong to the command");
		got = blame_daemon(client, err);
	} else if (answer.kind == CONTROL_ERROR) {
		*err = answer.failure;
		got = -1;
	} else {
		*result = json_incref(answer.value);
	}
	json_decref(message);
	return got;
}

int client_call(struct client *client, const char *command, json_t *arguments, int timeout_ms,
	json_t **result, struct error *err)
{
	int got;

	if (client_send(client, command, arguments, err) < 0)
		return -1;
	got = client_take_answer(client, timeout_ms, result, err);
	if (got == 0)
		return error_set(err, ERROR_LOCAL,
			"culvertd did not answer '%s' within %d seconds: its log may say why",
			command, timeout_ms / 1000);
	return got < 0 ? -1 : 0;
}

int client_take_event(struct client *client, int timeout_ms, json_t **migration, struct error *err)
{
	struct control_answer answer;
	json_t *message;
	int got = take_message(client, timeout_ms, &message, &answer, err);

	if (got < 1)
		return got;
	if (answer.kind == CONTROL_ERROR) {
		*err = answer.failure;
		got = -1;
	} else if (answer.kind == CONTROL_RETURN) {
		error_set(err, ERROR_PEER, "an answer where only events belong");
		got = blame_daemon(client, err);
	} else if (strcmp(answer.event, "migration") == 0) {
		*migration = json_incref(answer.value);
	} else {
		/* Of a newer daemon. The caller asks again. */
		got = 0;
	}
	json_decref(message);
	return got;
}
