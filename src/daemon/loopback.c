#include "daemon/loopback.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/channel.h"
#include "daemon/conversation.h"
#include "daemon/opening.h"
#include "daemon/terms.h"
#include "io/socket.h"
#include "io/socket_owner.h"

/* A migration makes a stream for its memory, some for parallel ones, and one for each disk. */
#define WAITING_MOST 256

struct waiting {
	int fd;
	uint16_t port;
};

/* What has connected to the address of one peer, in the order in which it came */
struct loopback {
	struct daemon *daemon;
	const struct config_peer *peer;
	uv_mutex_t lock;
	struct waiting waiting[WAITING_MOST]; /* a ring */
	size_t first;
	size_t count;
	bool talking; /* a conversation carries them */
};

struct loopbacks {
	size_t count;
	struct loopback list[]; /* as config->peers */
};

struct loopbacks *loopbacks_new(struct daemon *daemon)
{
	size_t count = daemon->config->peer_count;
	struct loopbacks *loopbacks =
		calloc(1, sizeof(*loopbacks) + count * sizeof(loopbacks->list[0]));

	if (!loopbacks)
		return NULL;
	for (; loopbacks->count < count; loopbacks->count++) {
		struct loopback *loopback = &loopbacks->list[loopbacks->count];

		loopback->daemon = daemon;
		loopback->peer = &daemon->config->peers[loopbacks->count];
		if (uv_mutex_init(&loopback->lock) != 0) {
			loopbacks_free(loopbacks);
			return NULL;
		}
	}
	return loopbacks;
}

void loopbacks_free(struct loopbacks *loopbacks)
{
	for (size_t i = 0; i < loopbacks->count; i++)
		uv_mutex_destroy(&loopbacks->list[i].lock);
	free(loopbacks);
}

static struct sockaddr_in address_of(const struct config_loopback *loopback, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = loopback->address};
}

int loopback_listen(const struct config_peer *peer, uint16_t port, struct error *err)
{
	struct sockaddr_in address = address_of(&peer->loopback, port);
	struct addrinfo where = {.ai_family = AF_INET,
		.ai_addr = (struct sockaddr *)&address,
		.ai_addrlen = sizeof(address)};

	return socket_listen(&where, err);
}

static void tell_refusal(const struct config_peer *peer, uint16_t port, const char *reason)
{
	log_event_limited(LOG_WARNING, "loopback.refused", "host=%s port=%u reason=\"%s\"",
		peer->name, port, reason);
}

static void carry(struct loopback *loopback, const struct waiting *next)
{
	struct channel *channel;
	struct error err;
	char argument[8];
	struct terms *terms = terms_new_patient();

	snprintf(argument, sizeof(argument), "%u", next->port);
	channel = opening_run(loopback->daemon, loopback->peer, CONFIG_TCP_MIGRATION, argument,
		terms, next->fd, NULL, &err);
	terms_put(terms);
	if (channel)
		channel_put(channel);
	else
		tell_refusal(loopback->peer, next->port, err.message);
}

/* @returns false when nobody waits: then the conversation ends, and the next to come begins one */
static bool take_first(struct loopback *loopback, struct waiting *next)
{
	bool found;

	uv_mutex_lock(&loopback->lock);
	found = loopback->count > 0;
	if (found) {
		*next = loopback->waiting[loopback->first];
		loopback->first = (loopback->first + 1) % WAITING_MOST;
		loopback->count--;
	}
	loopback->talking = found;
	uv_mutex_unlock(&loopback->lock);
	return found;
}

static void talk(void *argument)
{
	struct loopback *loopback = argument;
	struct waiting next;

	while (take_first(loopback, &next)) {
		if (atomic_load(&loopback->daemon->ending))
			close(next.fd);
		else
			carry(loopback, &next);
	}
}

/* @returns whether it may connect; if not, that is in the log */
static bool is_allowed(const struct loopback *loopback, uint16_t port, int fd)
{
	char reason[160];
	struct error err;
	uid_t uid;

	if (socket_owner_find(fd, &uid, &err) < 0) {
		tell_refusal(loopback->peer, port, err.message);
		return false;
	}
	if (uid == 0 || uid == loopback->daemon->config->hypervisor_user)
		return true;
	snprintf(reason, sizeof(reason),
		"user %u may not connect: only root and the hypervisor_user may", uid);
	tell_refusal(loopback->peer, port, reason);
	return false;
}

/* @returns 0 with @fd in the queue, or -1 with @err */
static int put_last(struct loopback *loopback, uint16_t port, int fd, struct error *err)
{
	bool room;
	bool begin;

	uv_mutex_lock(&loopback->lock);
	room = loopback->count < WAITING_MOST;
	begin = room && !loopback->talking;
	if (room) {
		size_t last = (loopback->first + loopback->count++) % WAITING_MOST;

		loopback->waiting[last] = (struct waiting){.fd = fd, .port = port};
		loopback->talking = true;
	}
	uv_mutex_unlock(&loopback->lock);
	if (!room)
		return error_set(err, ERROR_LOCAL, "too many connections wait for that host");
	if (!begin || conversation_start(talk, loopback, err) == 0)
		return 0;
	/* Nobody else puts or takes: it is the only one. */
	uv_mutex_lock(&loopback->lock);
	loopback->count = 0;
	loopback->talking = false;
	uv_mutex_unlock(&loopback->lock);
	return -1;
}

void loopback_serve(
	struct loopbacks *loopbacks, const struct config_peer *peer, uint16_t port, int fd)
{
	struct loopback *loopback =
		&loopbacks->list[peer - loopbacks->list[0].daemon->config->peers];
	CLEANUP_FD int accepted = fd;
	struct error err;

	if (!is_allowed(loopback, port, accepted))
		return;
	/* QEMU may read nothing for as long as it likes. */
	socket_set_patience(accepted, 0);
	if (put_last(loopback, port, accepted, &err) == 0)
		(void)fd_take(&accepted);
	else
		tell_refusal(peer, port, err.message);
}

int loopback_connect(
	const struct config_loopback *migration_address, const char *argument, struct error *err)
{
	CLEANUP_FD int fd = -1;
	struct sockaddr_in address;
	uint64_t port;

	/* What the peer says is not repeated: it goes to the log. */
	if (parse_number(argument, migration_address->first_port, migration_address->last_port,
		    &port, err) < 0)
		return error_set(err, ERROR_USAGE,
			"there migrations have ports %u-%u: see migration_address there",
			migration_address->first_port, migration_address->last_port);
	address = address_of(migration_address, (uint16_t)port);
	/* Within a host that is decided when connect() returns, though it says "in progress";
	 * unless the backlog is full: then the channel waits for its place, or ends like any whose
	 * program goes.
	 */
	fd = socket_connect((const struct sockaddr *)&address, sizeof(address), err);
	if (fd < 0 || socket_connected(fd, err) < 0)
		return error_prefix(err, "no hypervisor waits there at port %u", (unsigned)port);
	/* It may read nothing for as long as it likes. */
	socket_set_patience(fd, 0);
	return fd_take(&fd);
}
