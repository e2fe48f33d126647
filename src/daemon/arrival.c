#include "daemon/arrival.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/bench.h"
#include "daemon/channel.h"
#include "daemon/channel_table.h"
#include "daemon/incoming.h"
#include "daemon/link.h"
#include "daemon/loopback.h"
#include "io/socket.h"

struct arrival {
	struct daemon *daemon;
	struct worker *worker;
	int fd;                   /* the connection, until a link has it */
	bool told;                /* why it was refused is in the log */
	int local_fd;             /* what a new channel will carry */
	struct terms *terms;      /* held; or NULL */
	struct open_message open; /* a new channel's */
	char peer[64];
	uint64_t resume_deadline_ms;
	uint64_t silence_timeout_ms;
	struct channel *resumed; /* held; NULL: a new channel */
	struct resume_message resume;
};

static void arrival_free(struct arrival *arrival)
{
	fd_close(&arrival->fd);
	fd_close(&arrival->local_fd);
	if (arrival->resumed)
		channel_put(arrival->resumed);
	terms_put(arrival->terms);
	OPENSSL_cleanse(arrival, sizeof(*arrival));
	free(arrival);
}

static const struct config_peer *peer_of(struct arrival *arrival, const struct link *link)
{
	const struct config *config = arrival->daemon->config;

	for (size_t i = 0; i < config->peer_count; i++) {
		if (link_peer_is(link, config->peers[i].identity))
			return &config->peers[i];
	}
	return NULL;
}

/* A conversation of this daemon as the local end. @returns REASON_* and @text, or 0 */
static int open_conversation(struct arrival *arrival, const struct config_peer *peer,
	int (*start)(
		struct daemon *daemon, const struct config_peer *peer, int fd, struct error *err),
	char *text, size_t size)
{
	struct error err;
	CLEANUP_FD int mine = -1;
	int pair[2];

	if (socket_pair(pair, &err) == 0) {
		arrival->local_fd = pair[0];
		mine = pair[1];
		if (start(arrival->daemon, peer, fd_take(&mine), &err) == 0)
			return 0;
	}
	snprintf(text, size, "%.150s", err.message);
	return REASON_TOO_MANY;
}

/* A service of this host's configuration, as its peer may use it */
static int connect_service(struct arrival *arrival, const struct config_peer *peer,
	const char *name, char *text, size_t size)
{
	const struct config_service *service =
		config_permitted_service(arrival->daemon->config, peer, name);
	struct error err;

	arrival->local_fd = socket_connect_unix(service->socket, &err);
	if (arrival->local_fd >= 0)
		return 0;
	log_event_limited(
		LOG_WARNING, "service.unreachable", "service=%s reason=\"%s\"", name, err.message);
	snprintf(text, size, "nobody serves it there");
	return REASON_NO_SERVICE;
}

/* A hypervisor that waits for its source at a rendezvous */
static int connect_rendezvous(struct arrival *arrival, const struct config_peer *peer,
	const char *which, char *text, size_t size)
{
	struct error err;

	arrival->local_fd = rendezvous_table_connect(
		arrival->daemon->rendezvous, peer->name, which, &arrival->terms, &err);
	if (arrival->local_fd >= 0)
		return 0;
	log_event_limited(LOG_WARNING, "rendezvous.unreachable", "peer=%s reason=\"%s\"",
		peer->name, err.message);
	snprintf(text, size, "no hypervisor waits there");
	return REASON_NO_SERVICE;
}

/* A hypervisor that waits for its source at a port of migration_address */
static int connect_loopback(struct arrival *arrival, const char *port, char *text, size_t size)
{
	struct error err;

	arrival->local_fd =
		loopback_connect(&arrival->daemon->config->migration_address, port, &err);
	arrival->terms = terms_new_patient();
	if (arrival->local_fd >= 0)
		return 0;
	snprintf(text, size, "%.150s", err.message);
	return REASON_NO_SERVICE;
}

static bool is_for_migrations(const char *service)
{
	return strcmp(service, "migration") == 0 || strcmp(service, "control") == 0 ||
		strcmp(service, "rendezvous") == 0;
}

/* @returns REASON_* and @text, or 0 when arrival->local_fd is what was asked for */
static int find_service(struct arrival *arrival, const struct config_peer *peer,
	const struct open_message *open, char *text, size_t size)
{
	if (atomic_load(&arrival->daemon->stopping)) {
		snprintf(text, size, "culvertd is stopping there");
		return REASON_STOPPING;
	}
	if (config_permitted_service(arrival->daemon->config, peer, open->service))
		return connect_service(arrival, peer, open->service, text, size);
	if (strcmp(open->service, CONFIG_BENCH) == 0 && config_permits_bench(peer))
		return open_conversation(arrival, peer, bench_start, text, size);
	if (strcmp(open->service, CONFIG_TCP_MIGRATION) == 0 &&
		config_permits_tcp_migration(arrival->daemon->config, peer))
		return connect_loopback(arrival, open->argument, text, size);
	if (!peer->may_migrate || !is_for_migrations(open->service)) {
		/* The same answer whether there is one that others may use, or none. */
		snprintf(text, size,
			"no such service for this host: see 'services' of its [peer] "
			"section there");
		return REASON_NO_SERVICE;
	}
	if (strcmp(open->service, "migration") == 0) {
		arrival->local_fd = offers_take(
			arrival->daemon->offers, peer->name, open->argument, &arrival->terms);
		snprintf(text, size, "no such token");
		return arrival->local_fd < 0 ? REASON_NO_SERVICE : 0;
	}
	if (strcmp(open->service, "rendezvous") == 0)
		return connect_rendezvous(arrival, peer, open->argument, text, size);
	return open_conversation(arrival, peer, incoming_start, text, size);
}

/* The peer by its certificate, if it may do anything here. @returns REASON_* and @text, or 0 */
static int find_peer(struct arrival *arrival, const struct link *link,
	const struct config_peer **peer, char *text, size_t size)
{
	*peer = peer_of(arrival, link);
	if (!*peer) {
		snprintf(text, size, "no [peer] section there has an identity of this host");
		return REASON_NOT_PERMITTED;
	}
	if (!(*peer)->may_migrate && (*peer)->permission_count == 0) {
		snprintf(text, size,
			"the service is not permitted: see 'services' of this host's [peer] "
			"section there");
		return REASON_NOT_PERMITTED;
	}
	return 0;
}

/* Each channel costs a descriptor and more, also while it has no link. @returns REASON_* and @text,
 * or 0 */
static int find_place(
	struct arrival *arrival, const struct config_peer *peer, char *text, size_t size)
{
	if (channel_table_has_room(arrival->daemon->channels, peer->name))
		return 0;
	snprintf(text, size, "this host has %d channels there already", CHANNELS_OF_PEER_MOST);
	return REASON_TOO_MANY;
}

/* On the loop of the channel that is to be resumed */
static void on_moved(struct link *link, void *owner)
{
	struct arrival *arrival = owner;

	channel_resume(arrival->resumed, link, &arrival->resume);
}

/* The peer's own words must not pass for fields of ours. */
static const char *service_text(const struct handshake *question)
{
	if (question->resuming)
		return "(resume)";
	return parse_is_name(question->open.service) ? question->open.service : "?";
}

static void on_asked(struct link *link, const struct handshake *question, void *owner)
{
	struct arrival *arrival = owner;
	const struct config_peer *peer;
	char text[200];
	int reason = find_peer(arrival, link, &peer, text, sizeof(text));

	if (reason == 0 && !question->resuming)
		reason = find_place(arrival, peer, text, sizeof(text));
	if (reason == 0 && question->resuming) {
		arrival->resume = question->resume;
		arrival->resumed = channel_table_find(
			arrival->daemon->channels, &question->resume, peer->name);
		if (arrival->resumed) {
			arrival->worker = channel_worker(arrival->resumed);
			link_move(link, arrival->worker, on_moved);
			return;
		}
		snprintf(text, sizeof(text), CHANNEL_UNKNOWN);
		reason = REASON_NO_SERVICE;
	} else if (reason == 0) {
		reason = find_service(arrival, peer, &question->open, text, sizeof(text));
	}
	if (reason != 0) {
		log_event_limited(LOG_WARNING, "channel.refused",
			"from=\"%s\" service=%s reason=\"%s\"", link_peer_text(link),
			service_text(question), text);
		arrival->told = true;
		link_refuse(link, (enum reason)reason, text);
		return;
	}
	arrival->open = question->open;
	snprintf(arrival->peer, sizeof(arrival->peer), "%s", peer->name);
	arrival->resume_deadline_ms = peer->resume_deadline_ms;
	arrival->silence_timeout_ms = peer->silence_timeout_ms;
	link_grant(link, channel_first_limit());
}

static void carry_new(struct arrival *arrival, struct link *link, const struct handshake *answer)
{
	struct channel_settings settings = {
		.peer_limit = answer->peer_limit,
		.resume_deadline_ms = arrival->resume_deadline_ms,
		.silence_timeout_ms = arrival->silence_timeout_ms,
		.table = arrival->daemon->channels,
		.scheduler = arrival->daemon->scheduler,
		.terms = arrival->terms,
	};
	struct channel *channel;
	struct error err;

	channel_name_fill(&settings.name, &arrival->open, arrival->peer, "accepted");
	channel =
		channel_start(arrival->worker, link, fd_take(&arrival->local_fd), &settings, &err);
	if (!channel) {
		log_event(LOG_ERROR, "channel.failed", "reason=\"%s\"", err.message);
		return;
	}
	if (channel_table_add(arrival->daemon->channels, &arrival->open, arrival->peer, channel) <
		0)
		channel_end(channel);
	if (strcmp(arrival->open.service, "rendezvous") == 0)
		rendezvous_table_carry(
			arrival->daemon->rendezvous, arrival->open.argument, channel);
	channel_put(channel);
}

static void on_up(struct link *link, const struct handshake *answer, void *owner)
{
	struct arrival *arrival = owner;

	if (arrival->resumed)
		channel_resumed(arrival->resumed, link, answer);
	else
		carry_new(arrival, link, answer);
	arrival_free(arrival);
}

static void on_failed(struct link *link, const struct error *err, void *owner)
{
	struct arrival *arrival = owner;

	if (!arrival->told)
		log_event_limited(LOG_WARNING, "link.refused", "from=\"%s\" class=%s reason=\"%s\"",
			link_peer_text(link), error_code_name(err->code), err->message);
	arrival_free(arrival);
}

static const struct link_events events = {.asked = on_asked, .up = on_up, .failed = on_failed};

static void serve_here(void *argument)
{
	struct arrival *arrival = argument;
	struct error err;

	atomic_fetch_sub(&arrival->worker->arrival_count, 1);
	if (link_serve(arrival->worker, arrival->daemon->tls, fd_take(&arrival->fd), &events,
		    arrival, &err) == 0)
		return;
	log_event_limited(LOG_WARNING, "link.refused", "reason=\"%s\"", err.message);
	arrival_free(arrival);
}

/* To accept costs less than to serve: what a worker has not come to yet is bounded like what it
 * has.
 * @returns whether @worker takes one more, which is counted then */
static bool make_way(struct worker *worker)
{
	if (atomic_fetch_add(&worker->arrival_count, 1) < STRANGERS_MOST)
		return true;
	atomic_fetch_sub(&worker->arrival_count, 1);
	log_event_limited(
		LOG_WARNING, "link.refused", "reason=\"too many connections wait to be served\"");
	return false;
}

void arrival_serve(struct daemon *daemon, int fd)
{
	struct worker *worker = daemon_worker(daemon);
	struct arrival *arrival = calloc(1, sizeof(*arrival));

	if (!arrival || !make_way(worker)) {
		free(arrival);
		close(fd);
		return;
	}
	arrival->daemon = daemon;
	arrival->worker = worker;
	arrival->fd = fd;
	arrival->local_fd = -1;
	if (!loop_post(arrival->worker->loop, serve_here, arrival))
		arrival_free(arrival);
}
