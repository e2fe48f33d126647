#include "daemon/rendezvous.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/contact.h"
#include "daemon/conversation.h"
#include "daemon/opening.h"
#include "daemon/streams.h"
#include "io/socket.h"

struct rendezvous {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct terms *terms; /* held; or NULL */
	struct contact *contact;
	char token[RENDEZVOUS_TOKEN_CHARACTERS + 1];
	int listeners[RENDEZVOUS_SOCKETS];
	atomic_uint references; /* its owner, and its conversation */
	atomic_bool over;
	atomic_bool switched; /* ... and the other host has not been told yet */
	uv_mutex_t lock;
	struct streams streams; /* under the lock */
	const char *settled;    /* under the lock: whose the guest is; or NULL */
	bool running;           /* ... and whether it runs at the destination */
	struct error lost;      /* under the lock; ERROR_NONE: it is not */
};

static void put(struct rendezvous *rendezvous)
{
	if (atomic_fetch_sub(&rendezvous->references, 1) > 1)
		return;
	uv_mutex_destroy(&rendezvous->lock);
	streams_fini(&rendezvous->streams);
	free(rendezvous);
}

static void close_all(struct rendezvous *rendezvous)
{
	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
		fd_close(&rendezvous->listeners[i]);
	if (*rendezvous->token)
		rendezvous_directory_remove(rendezvous->daemon->config, rendezvous->token);
	contact_free(rendezvous->contact);
	terms_put(rendezvous->terms);
}

static void carry(struct rendezvous *rendezvous, enum rendezvous_socket which, int fd)
{
	char argument[RENDEZVOUS_TOKEN_CHARACTERS + 16];
	struct channel *channel;
	struct error err;

	snprintf(argument, sizeof(argument), "%s.%s", rendezvous->token,
		rendezvous_socket_name(which));
	channel = opening_run(rendezvous->daemon, rendezvous->peer, "rendezvous", argument,
		rendezvous->terms, fd, NULL, &err);
	if (!channel) {
		log_event_limited(LOG_WARNING, "rendezvous.refused",
			"host=%s socket=%s reason=\"%s\"", rendezvous->peer->name,
			rendezvous_socket_name(which), err.message);
		return;
	}
	uv_mutex_lock(&rendezvous->lock);
	streams_add(&rendezvous->streams, channel);
	uv_mutex_unlock(&rendezvous->lock);
	channel_put(channel);
}

/* Whoever waits, in the order in which they came */
static void accept_all(struct rendezvous *rendezvous, enum rendezvous_socket which)
{
	int fd;

	while (!atomic_load(&rendezvous->over) &&
		(fd = socket_accept(rendezvous->listeners[which])) >= 0)
		carry(rendezvous, which, fd);
}

/* The other host's part of it lives as long as the control channel. */
static bool hear_peer(struct rendezvous *rendezvous)
{
	struct contact_news news = {0};
	struct error err;

	if (contact_listen(rendezvous->contact, 0, &news, &err) == 0)
		return true;
	uv_mutex_lock(&rendezvous->lock);
	rendezvous->lost = err;
	uv_mutex_unlock(&rendezvous->lock);
	return false;
}

/* Again later, if it was not heard: who waits to be carried does not wait for that. */
static void tell_switch(struct rendezvous *rendezvous)
{
	struct error err;

	if (contact_is_linkless(rendezvous->contact) ||
		!atomic_exchange(&rendezvous->switched, false))
		return;
	if (contact_ask_briefly(rendezvous->contact, "postcopy", NULL, NULL, &err) < 0 &&
		err.code == ERROR_LINK)
		atomic_store(&rendezvous->switched, true);
}

static void tell_end(struct rendezvous *rendezvous)
{
	const char *guest;
	bool running;
	struct error ignored;

	uv_mutex_lock(&rendezvous->lock);
	guest = rendezvous->settled;
	running = rendezvous->running;
	uv_mutex_unlock(&rendezvous->lock);
	if (guest)
		(void)contact_ask_briefly(rendezvous->contact, "finish",
			json_pack("{ss sb}", "guest", guest, "run", running), NULL, &ignored);
}

static void talk(void *argument)
{
	struct rendezvous *rendezvous = argument;

	while (!atomic_load(&rendezvous->over) && !atomic_load(&rendezvous->daemon->ending) &&
		hear_peer(rendezvous)) {
		struct pollfd watched[RENDEZVOUS_SOCKETS];

		for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
			watched[i] =
				(struct pollfd){.fd = rendezvous->listeners[i], .events = POLLIN};
		(void)poll(watched, RENDEZVOUS_SOCKETS, CONVERSATION_TURN_MS);
		for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
			accept_all(rendezvous, (enum rendezvous_socket)i);
		tell_switch(rendezvous);
	}
	tell_end(rendezvous);
	close_all(rendezvous);
	put(rendezvous);
}

/* On the other host, which chooses the token. @returns 0, or -1 with @err set */
static int make_there(
	struct rendezvous *rendezvous, const struct migration *migration, struct error *err)
{
	const struct migration_plan *plan = migration ? migration_plan(migration) : NULL;
	const char *token;
	json_t *result;
	int good = 0;

	rendezvous->contact = contact_new(rendezvous->daemon, rendezvous->peer, err);
	if (!rendezvous->contact ||
		contact_ask(rendezvous->contact, "rendezvous",
			plan ? json_pack("{ss ss ss}", "id", plan->id, "vm", plan->destination_vm,
				       "mode", migration_mode_name(plan->mode))
			     : NULL,
			&result, err) < 0)
		return -1;
	token = json_string_value(json_object_get(result, "token"));
	if (token && rendezvous_is_token(token))
		memcpy(rendezvous->token, token, sizeof(rendezvous->token));
	else
		good = error_set(
			err, ERROR_PEER, "%s answered without a token", rendezvous->peer->name);
	json_decref(result);
	return good;
}

static int make_here(struct rendezvous *rendezvous, struct error *err)
{
	const struct config *config = rendezvous->daemon->config;

	if (rendezvous_directory_make(config, rendezvous->token, RENDEZVOUS_SOURCE, err) < 0) {
		/* It is not ours to remove. */
		*rendezvous->token = '\0';
		return -1;
	}
	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++) {
		char path[CONFIG_SOCKET_BYTES];

		rendezvous_socket_path(config, rendezvous->token, (enum rendezvous_socket)i, path);
		rendezvous->listeners[i] =
			socket_listen_unix(path, 0660, config->hypervisor_group, err);
		if (rendezvous->listeners[i] < 0)
			return -1;
	}
	return 0;
}

struct rendezvous *rendezvous_begin(struct daemon *daemon, const struct config_peer *peer,
	struct migration *migration, struct error *err)
{
	struct rendezvous *rendezvous = calloc(1, sizeof(*rendezvous));

	if (!rendezvous || uv_mutex_init(&rendezvous->lock) != 0) {
		free(rendezvous);
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	rendezvous->daemon = daemon;
	rendezvous->peer = peer;
	rendezvous->terms = migration ? terms_hold(migration_terms(migration)) : NULL;
	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
		rendezvous->listeners[i] = -1;
	atomic_init(&rendezvous->references, 2);
	if (make_there(rendezvous, migration, err) == 0 && make_here(rendezvous, err) == 0 &&
		conversation_start(talk, rendezvous, err) == 0)
		return rendezvous;
	close_all(rendezvous);
	put(rendezvous);
	put(rendezvous);
	return NULL;
}

const char *rendezvous_token(const struct rendezvous *rendezvous)
{
	return rendezvous->token;
}

const struct config_peer *rendezvous_peer(const struct rendezvous *rendezvous)
{
	return rendezvous->peer;
}

bool rendezvous_is_lost(struct rendezvous *rendezvous, struct error *err)
{
	uv_mutex_lock(&rendezvous->lock);
	*err = rendezvous->lost;
	uv_mutex_unlock(&rendezvous->lock);
	return err->code != ERROR_NONE;
}

void rendezvous_switch(struct rendezvous *rendezvous)
{
	atomic_store(&rendezvous->switched, true);
}

void rendezvous_figures(struct rendezvous *rendezvous, struct tunnel_figures *figures)
{
	figures->resume_deadline_ms = rendezvous->peer->resume_deadline_ms;
	uv_mutex_lock(&rendezvous->lock);
	streams_figures(&rendezvous->streams, figures);
	uv_mutex_unlock(&rendezvous->lock);
}

void rendezvous_settle(struct rendezvous *rendezvous, enum guest_place guest, bool running)
{
	if (guest != GUEST_SOURCE && guest != GUEST_DESTINATION)
		return;
	uv_mutex_lock(&rendezvous->lock);
	rendezvous->settled = phase_guest_name(guest);
	rendezvous->running = running;
	uv_mutex_unlock(&rendezvous->lock);
}

void rendezvous_end(struct rendezvous *rendezvous)
{
	atomic_store(&rendezvous->over, true);
	put(rendezvous);
}
