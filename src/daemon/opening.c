#include "daemon/opening.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/descriptor.h"
#include "io/socket.h"

/* Lives on the waiting thread's stack: the thread leaves only once done is set. */
struct opening {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct worker *worker;
	const struct addrinfo *address;
	struct open_message open;
	struct channel_name name;
	char peer_text[400];
	int local_fd;
	struct channel *channel;
	struct error err;
	uv_mutex_t lock;
	uv_cond_t changed;
	bool done;
};

static void finish(struct opening *opening)
{
	uv_mutex_lock(&opening->lock);
	opening->done = true;
	uv_cond_signal(&opening->changed);
	uv_mutex_unlock(&opening->lock);
}

static void on_up(struct link *link, uint64_t peer_limit, void *owner)
{
	struct opening *opening = owner;

	snprintf(opening->peer_text, sizeof(opening->peer_text), "%s", link_peer_text(link));
	opening->channel = channel_start(opening->worker, link, fd_take(&opening->local_fd),
		peer_limit, &opening->name, &opening->err);
	finish(opening);
}

static void on_failed(struct link *link, const struct error *err, void *owner)
{
	struct opening *opening = owner;

	(void)link;
	opening->err = *err;
	finish(opening);
}

static const struct link_events events = {.up = on_up, .failed = on_failed};

static void open_here(void *argument)
{
	struct opening *opening = argument;

	if (!link_open(opening->worker, opening->daemon->tls, opening->address,
		    opening->peer->identity, &opening->open, &events, opening, &opening->err))
		finish(opening);
}

static void try_address(struct opening *opening)
{
	opening->done = false;
	loop_post(opening->worker->loop, open_here, opening);
	uv_mutex_lock(&opening->lock);
	while (!opening->done)
		uv_cond_wait(&opening->changed, &opening->lock);
	uv_mutex_unlock(&opening->lock);
}

/* The next address is worth trying only when this one was not reached. */
static bool try_host(struct opening *opening, const struct host_port *where)
{
	struct addrinfo *found = socket_resolve(where, false, &opening->err);
	bool decided = false;

	for (opening->address = found; opening->address && !decided;
		opening->address = opening->address->ai_next) {
		try_address(opening);
		decided = opening->channel || opening->err.code != ERROR_LINK;
	}
	if (found)
		freeaddrinfo(found);
	if (!opening->channel)
		error_prefix(&opening->err, "%s at %s port %s", opening->peer->name, where->host,
			where->port);
	return decided;
}

static int fill_in(
	struct opening *opening, const char *service, const char *argument, struct error *err)
{
	struct open_message *open = &opening->open;

	open->version = PROTOCOL_VERSION;
	open->limit = channel_first_limit();
	snprintf(open->service, sizeof(open->service), "%s", service);
	snprintf(open->argument, sizeof(open->argument), "%s", argument);
	if (RAND_bytes(open->id, sizeof(open->id)) != 1 ||
		RAND_priv_bytes(open->secret, sizeof(open->secret)) != 1)
		return error_set(err, ERROR_LOCAL, "no randomness");
	channel_name_fill(&opening->name, open, opening->peer->name, "opened");
	return 0;
}

struct channel *opening_run(struct daemon *daemon, const struct config_peer *peer,
	const char *service, const char *argument, int local_fd, char *address, struct error *err)
{
	struct opening opening = {
		.daemon = daemon,
		.peer = peer,
		.worker = daemon_worker(daemon),
		.local_fd = local_fd,
	};

	if (fill_in(&opening, service, argument, err) < 0) {
		fd_close(&opening.local_fd);
		return NULL;
	}
	uv_mutex_init(&opening.lock);
	uv_cond_init(&opening.changed);
	for (size_t i = 0; i < peer->addresses.count; i++) {
		if (try_host(&opening, &peer->addresses.list[i]))
			break;
	}
	uv_cond_destroy(&opening.changed);
	uv_mutex_destroy(&opening.lock);
	OPENSSL_cleanse(opening.open.secret, sizeof(opening.open.secret));
	fd_close(&opening.local_fd);
	if (address)
		memcpy(address, opening.peer_text, sizeof(opening.peer_text));
	if (!opening.channel)
		*err = opening.err;
	return opening.channel;
}
