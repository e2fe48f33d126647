#include "daemon/arrival.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/channel.h"
#include "daemon/incoming.h"
#include "daemon/link.h"
#include "io/socket.h"

struct arrival {
	struct daemon *daemon;
	struct worker *worker;
	int fd;       /* the connection, until a link has it */
	int local_fd; /* what the channel will carry */
	struct channel_name name;
};

static void arrival_free(struct arrival *arrival)
{
	fd_close(&arrival->fd);
	fd_close(&arrival->local_fd);
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

/* A conversation of this daemon as the local end */
static int open_control(struct arrival *arrival, const struct config_peer *peer, struct error *err)
{
	CLEANUP_FD int mine = -1;
	int pair[2];

	if (socket_pair(pair, err) < 0)
		return -1;
	arrival->local_fd = pair[0];
	mine = pair[1];
	return incoming_start(arrival->daemon, peer, fd_take(&mine), err);
}

/* @returns REASON_* and @text, or 0 when arrival->local_fd is what was asked for */
static int find_service(struct arrival *arrival, const struct link *link,
	const struct open_message *open, const struct config_peer **peer, char *text, size_t size)
{
	struct error err;

	*peer = peer_of(arrival, link);
	if (!*peer) {
		snprintf(text, size, "no [peer] section there has an identity of this host");
		return REASON_NOT_PERMITTED;
	}
	if (!(*peer)->may_migrate) {
		snprintf(text, size,
			"the service is not permitted: see 'services' of this host's [peer] "
			"section there");
		return REASON_NOT_PERMITTED;
	}
	if (atomic_load(&arrival->daemon->stopping)) {
		snprintf(text, size, "culvertd is stopping there");
		return REASON_STOPPING;
	}
	if (strcmp(open->service, "migration") == 0) {
		arrival->local_fd =
			offers_take(arrival->daemon->offers, (*peer)->name, open->argument);
		snprintf(text, size, "no such token");
		return arrival->local_fd < 0 ? REASON_NO_SERVICE : 0;
	}
	if (strcmp(open->service, "control") != 0) {
		snprintf(text, size, "no such service");
		return REASON_NO_SERVICE;
	}
	if (open_control(arrival, *peer, &err) < 0) {
		snprintf(text, size, "%.150s", err.message);
		return REASON_TOO_MANY;
	}
	return 0;
}

static void on_asked(struct link *link, const struct open_message *open, void *owner)
{
	struct arrival *arrival = owner;
	const struct config_peer *peer;
	char text[200];
	int reason = find_service(arrival, link, open, &peer, text, sizeof(text));

	if (reason != 0) {
		log_event_limited(LOG_WARNING, "channel.refused",
			"from=\"%s\" service=%s reason=\"%s\"", link_peer_text(link),
			/* The peer's own words must not pass for fields of ours. */
			parse_is_name(open->service) ? open->service : "?", text);
		link_refuse(link, (enum reason)reason, text);
		arrival_free(arrival);
		return;
	}
	channel_name_fill(&arrival->name, open, peer->name, "accepted");
	link_grant(link, channel_first_limit());
}

static void on_up(struct link *link, uint64_t peer_limit, void *owner)
{
	struct arrival *arrival = owner;
	struct error err;
	struct channel *channel = channel_start(arrival->worker, link, fd_take(&arrival->local_fd),
		peer_limit, &arrival->name, &err);

	if (channel)
		channel_put(channel);
	else
		log_event(LOG_ERROR, "channel.failed", "reason=\"%s\"", err.message);
	arrival_free(arrival);
}

static void on_failed(struct link *link, const struct error *err, void *owner)
{
	log_event_limited(LOG_WARNING, "link.refused", "from=\"%s\" class=%s reason=\"%s\"",
		link_peer_text(link), error_code_name(err->code), err->message);
	arrival_free(owner);
}

static const struct link_events events = {.asked = on_asked, .up = on_up, .failed = on_failed};

static void serve_here(void *argument)
{
	struct arrival *arrival = argument;
	struct error err;

	if (link_serve(arrival->worker, arrival->daemon->tls, fd_take(&arrival->fd), &events,
		    arrival, &err) == 0)
		return;
	log_event_limited(LOG_WARNING, "link.refused", "reason=\"%s\"", err.message);
	arrival_free(arrival);
}

void arrival_serve(struct daemon *daemon, int fd)
{
	struct arrival *arrival = calloc(1, sizeof(*arrival));

	if (!arrival) {
		close(fd);
		return;
	}
	arrival->daemon = daemon;
	arrival->worker = daemon_worker(daemon);
	arrival->fd = fd;
	arrival->local_fd = -1;
	loop_post(arrival->worker->loop, serve_here, arrival);
}
