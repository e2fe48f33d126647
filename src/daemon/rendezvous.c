#include "daemon/rendezvous.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/carried.h"
#include "daemon/contact.h"
#include "daemon/conversation.h"
#include "daemon/opening.h"
#include "io/socket.h"

/* How long a peer that cannot be reached is left alone */
#define RETRY_MS 500

struct rendezvous {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct terms *terms; /* held */
	struct contact *contact;
	char token[RENDEZVOUS_TOKEN_CHARACTERS + 1];
	int listeners[RENDEZVOUS_SOCKETS];
	atomic_uint references; /* its owner, and its conversation */
	atomic_bool over;
	atomic_bool insist;
	atomic_bool await;
	atomic_bool await_said; /* ... to the other host */
	uv_mutex_t lock;
	/* Under the lock: */
	struct error lost; /* ERROR_NONE: it is not */
	struct carried carried;
	const char *settled; /* whose the guest is; or NULL */
	bool running;        /* ... and whether it runs at the destination */
};

static void put(struct rendezvous *rendezvous)
{
	if (atomic_fetch_sub(&rendezvous->references, 1) > 1)
		return;
	carried_fini(&rendezvous->carried);
	terms_put(rendezvous->terms);
	uv_mutex_destroy(&rendezvous->lock);
	free(rendezvous);
}

static void close_all(struct rendezvous *rendezvous)
{
	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
		fd_close(&rendezvous->listeners[i]);
	if (*rendezvous->token)
		rendezvous_directory_remove(rendezvous->daemon->config, rendezvous->token);
	contact_free(rendezvous->contact);
}

/* Whether an attempt that failed is worth another. A hypervisor whose connection waits does not
 * mind; one that is told of its end in the middle of a recovery never gets over it. */
static bool to_be_repeated(struct rendezvous *rendezvous, int fd, enum rendezvous_socket which,
	const struct error *why)
{
	struct pollfd gone = {.fd = fd};

	if (which != RENDEZVOUS_MIGRATE || why->code != ERROR_LINK ||
		!atomic_load(&rendezvous->insist) || atomic_load(&rendezvous->over) ||
		atomic_load(&rendezvous->daemon->stopping))
		return false;
	return poll(&gone, 1, RETRY_MS) == 0;
}

static void carry(struct rendezvous *rendezvous, enum rendezvous_socket which, int local_fd)
{
	CLEANUP_FD int fd = local_fd;
	char argument[RENDEZVOUS_TOKEN_CHARACTERS + 16];
	struct channel *channel;
	struct error err;

	snprintf(argument, sizeof(argument), "%s.%s", rendezvous->token,
		rendezvous_socket_name(which));
	do {
		int one = fcntl(fd, F_DUPFD_CLOEXEC, 0);

		channel = one < 0 ? NULL
				  : opening_run(rendezvous->daemon, rendezvous->peer, "rendezvous",
					    argument, rendezvous->terms, one, NULL, &err);
		if (one < 0)
			error_errno(&err, "cannot duplicate a descriptor");
	} while (!channel && to_be_repeated(rendezvous, fd, which, &err));
	if (channel) {
		uv_mutex_lock(&rendezvous->lock);
		carried_add(&rendezvous->carried, which, channel);
		uv_mutex_unlock(&rendezvous->lock);
		channel_put(channel);
		return;
	}
	log_event_limited(LOG_WARNING, "rendezvous.refused", "host=%s socket=%s reason=\"%s\"",
		rendezvous->peer->name, rendezvous_socket_name(which), err.message);
	uv_mutex_lock(&rendezvous->lock);
	carried_add_failure(&rendezvous->carried, which, &err);
	uv_mutex_unlock(&rendezvous->lock);
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

/* Whatever the other host answers: it has heard it. */
static void say_await(struct rendezvous *rendezvous)
{
	struct error err;

	if (atomic_load(&rendezvous->await_said) || !atomic_load(&rendezvous->await) ||
		contact_is_linkless(rendezvous->contact))
		return;
	if (contact_ask_briefly(rendezvous->contact, "postcopy", NULL, NULL, &err) == 0 ||
		err.code != ERROR_LINK)
		atomic_store(&rendezvous->await_said, true);
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
		say_await(rendezvous);
		(void)poll(watched, RENDEZVOUS_SOCKETS, CONVERSATION_TURN_MS);
		for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
			accept_all(rendezvous, (enum rendezvous_socket)i);
	}
	tell_end(rendezvous);
	close_all(rendezvous);
	put(rendezvous);
}

/* On the other host, which chooses the token. @returns 0, or -1 with @err set */
static int make_there(
	struct rendezvous *rendezvous, const struct migration_plan *plan, struct error *err)
{
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
	struct terms *terms, const struct migration_plan *told, struct error *err)
{
	struct rendezvous *rendezvous = calloc(1, sizeof(*rendezvous));

	if (!rendezvous || uv_mutex_init(&rendezvous->lock) != 0) {
		free(rendezvous);
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	rendezvous->daemon = daemon;
	rendezvous->peer = peer;
	rendezvous->terms = terms ? terms_hold(terms) : terms_new_patient();
	atomic_init(&rendezvous->await, !terms);
	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
		rendezvous->listeners[i] = -1;
	carried_init(&rendezvous->carried);
	atomic_init(&rendezvous->references, 2);
	if (!rendezvous->terms)
		error_set(err, ERROR_LOCAL, "no memory");
	else if (make_there(rendezvous, told, err) == 0 && make_here(rendezvous, err) == 0 &&
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

bool rendezvous_await(struct rendezvous *rendezvous)
{
	atomic_store(&rendezvous->terms->patient, true);
	atomic_store(&rendezvous->await, true);
	return atomic_load(&rendezvous->await_said);
}

bool rendezvous_is_carrying(struct rendezvous *rendezvous)
{
	bool open;

	uv_mutex_lock(&rendezvous->lock);
	open = carried_is_open(&rendezvous->carried, RENDEZVOUS_MIGRATE);
	uv_mutex_unlock(&rendezvous->lock);
	return open;
}

size_t rendezvous_progress(struct rendezvous *rendezvous, enum rendezvous_socket which,
	struct channel_progress *progress)
{
	size_t count;

	uv_mutex_lock(&rendezvous->lock);
	count = carried_progress(&rendezvous->carried, which, progress);
	uv_mutex_unlock(&rendezvous->lock);
	return count;
}

void rendezvous_insist(struct rendezvous *rendezvous)
{
	atomic_store(&rendezvous->insist, true);
}

void rendezvous_cut(struct rendezvous *rendezvous, enum rendezvous_socket which)
{
	uv_mutex_lock(&rendezvous->lock);
	carried_cut(&rendezvous->carried, which);
	uv_mutex_unlock(&rendezvous->lock);
}

void rendezvous_figures(struct rendezvous *rendezvous, struct tunnel_figures *figures)
{
	figures->resume_deadline_ms =
		atomic_load(&rendezvous->terms->patient) ? 0 : rendezvous->peer->resume_deadline_ms;
	uv_mutex_lock(&rendezvous->lock);
	carried_figures(&rendezvous->carried, figures);
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
