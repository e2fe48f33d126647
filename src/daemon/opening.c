#include "daemon/opening.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "daemon/redial.h"
#include "io/socket.h"

/* How long a channel that may be there already is asked for. Longer than a forwarder's patience,
 * which must not open another one meanwhile. */
#define RESUME_PATIENCE_MS 5000

/* Lives on the waiting thread's stack: the thread leaves only once done is set. */
struct opening {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct worker *worker;
	const struct addrinfo *address;
	struct open_message open;
	struct channel_name name;
	struct terms *terms;
	char peer_text[400];
	int local_fd;
	struct redial *redial; /* until a channel has it */
	struct channel *channel;
	bool uncertain;      /* the link was lost when OPEN may have been granted */
	bool unknown;        /* ... but it was not: the peer has said so */
	uint64_t patient_ms; /* until then it may be found out; 0: it never was uncertain */
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

static void begin(struct opening *opening, struct link *link, uint64_t peer_limit)
{
	struct channel_settings settings = {
		.name = opening->name,
		.peer_limit = peer_limit,
		.resume_deadline_ms = opening->peer->resume_deadline_ms,
		.silence_timeout_ms = opening->peer->silence_timeout_ms,
		.redial = opening->redial,
		.scheduler = opening->daemon->scheduler,
		.terms = opening->terms,
	};

	snprintf(opening->peer_text, sizeof(opening->peer_text), "%s", link_peer_text(link));
	opening->redial = NULL;
	opening->channel = channel_start(
		opening->worker, link, fd_take(&opening->local_fd), &settings, &opening->err);
	finish(opening);
}

static void on_resumed(struct link *link, const struct handshake *answer, void *owner)
{
	struct opening *opening = owner;

	if (answer->peer_delivered == 0) {
		begin(opening, link, answer->peer_limit);
		return;
	}
	link_abort(link);
	error_set(&opening->err, ERROR_PEER, "the peer resumed at an impossible position");
	finish(opening);
}

static void on_resume_refused(const struct error *why, void *owner)
{
	struct opening *opening = owner;

	(void)why;
	opening->unknown = true;
	finish(opening);
}

static void on_resume_failed(void *owner)
{
	finish(owner);
}

static const struct redial_events redial_events = {
	.up = on_resumed, .refused = on_resume_refused, .failed = on_resume_failed};

static void on_up(struct link *link, const struct handshake *answer, void *owner)
{
	struct opening *opening = owner;

	redial_prefer(opening->redial, opening->address);
	begin(opening, link, answer->peer_limit);
}

static void on_failed(struct link *link, const struct error *err, void *owner)
{
	struct opening *opening = owner;

	opening->err = *err;
	if (err->code == ERROR_LINK && link_has_asked(link) && !link_was_refused(link)) {
		opening->uncertain = true;
		redial_prefer(opening->redial, opening->address);
		redial_set_owner(opening->redial, opening->worker, &redial_events, opening);
		redial_begin(opening->redial);
	}
	finish(opening);
}

static const struct link_events events = {.up = on_up, .failed = on_failed};

static void open_here(void *argument)
{
	struct opening *opening = argument;
	struct handshake question;

	handshake_init_opener(&question, &opening->open);
	if (!link_open(opening->worker, opening->daemon->tls, opening->address->ai_addr,
		    opening->address->ai_addrlen, opening->peer->identity, &question,
		    LINK_PATIENCE_MS, &events, opening, &opening->err))
		finish(opening);
	OPENSSL_cleanse(&question, sizeof(question));
}

static void resume_here(void *argument)
{
	struct opening *opening = argument;

	redial_try(opening->redial, 0, channel_first_limit());
	if (redial_due_ms(opening->redial) != UINT64_MAX)
		finish(opening); /* nothing is under way */
}

/* @returns whether it ran and finished; else the loop runs no more */
static bool run_and_wait(struct opening *opening, void (*task)(void *argument))
{
	opening->done = false;
	if (!loop_post(opening->worker->loop, task, opening)) {
		error_set(&opening->err, ERROR_LINK, "culvertd is stopping");
		return false;
	}
	uv_mutex_lock(&opening->lock);
	while (!opening->done)
		uv_cond_wait(&opening->changed, &opening->lock);
	uv_mutex_unlock(&opening->lock);
	return true;
}

/* A channel whose ACCEPT was lost is there, and has its local program: another OPEN would make
 * another one, and leave this one to its deadline.
 *
 * @returns whether the peer knows nothing of it */
static bool try_resume(struct opening *opening)
{
	opening->unknown = false;
	if (opening->patient_ms == 0)
		opening->patient_ms = clock_deadline_ms(RESUME_PATIENCE_MS);
	do {
		uv_sleep((unsigned)clock_left_ms(redial_due_ms(opening->redial)));
		if (clock_left_ms(opening->patient_ms) == 0 ||
			atomic_load(&opening->daemon->ending))
			return false;
	} while (run_and_wait(opening, resume_here) && !opening->channel && !opening->unknown &&
		opening->err.code == ERROR_LINK);
	return opening->unknown;
}

/* The next address is worth trying only when this one was not reached. @returns whether it was */
static bool try_host(
	struct opening *opening, const struct host_port *where, const struct addrinfo *found)
{
	bool decided = false;

	for (opening->address = found; opening->address && !decided;
		opening->address = opening->address->ai_next) {
		opening->uncertain = false;
		(void)run_and_wait(opening, open_here);
		decided = opening->channel || opening->uncertain || opening->err.code != ERROR_LINK;
	}
	if (!opening->channel)
		error_prefix(&opening->err, "%s at %s port %s", opening->peer->name, where->host,
			where->port);
	return decided;
}

static void try_hosts(struct opening *opening, struct addrinfo *const found[])
{
	const struct config_addresses *addresses = &opening->peer->addresses;
	bool decided = false;

	for (size_t i = 0; i < addresses->count && !decided; i++) {
		if (found[i])
			decided = try_host(opening, &addresses->list[i], found[i]);
	}
}

/* Try the peer's addresses in turn; all of them are kept for a later loss of the link. What is
 * asked again keeps its id: should the first OPEN still arrive, it cannot become a second channel.
 */
static void try_peer(struct opening *opening)
{
	const struct config_addresses *addresses = &opening->peer->addresses;
	struct addrinfo *found[CONFIG_ADDRESSES_MOST];

	if (addresses->count == 0)
		error_set(&opening->err, ERROR_USAGE, "[peer %s] has no 'address' in culvert.conf",
			opening->peer->name);
	for (size_t i = 0; i < addresses->count; i++) {
		found[i] = socket_resolve(&addresses->list[i], false, &opening->err);
		if (!found[i])
			error_prefix(&opening->err, "%s", opening->peer->name);
		for (const struct addrinfo *address = found[i]; address; address = address->ai_next)
			redial_add(opening->redial, address);
	}
	do
		try_hosts(opening, found);
	while (opening->uncertain && try_resume(opening));
	for (size_t i = 0; i < addresses->count; i++) {
		if (found[i])
			freeaddrinfo(found[i]);
	}
}

static int fill_in(
	struct opening *opening, const char *service, const char *argument, struct error *err)
{
	struct open_message *open = &opening->open;

	open->version = PROTOCOL_VERSION;
	open->limit = channel_first_limit();
	snprintf(open->service, sizeof(open->service), "%s", service);
	snprintf(open->argument, sizeof(open->argument), "%s", argument);
	memcpy(open->id + sizeof(open->id) - CHANNEL_RUN_BYTES, opening->daemon->run,
		CHANNEL_RUN_BYTES);
	if (RAND_bytes(open->id, sizeof(open->id) - CHANNEL_RUN_BYTES) != 1 ||
		RAND_priv_bytes(open->secret, sizeof(open->secret)) != 1)
		return error_set(err, ERROR_LOCAL, "no randomness");
	channel_name_fill(&opening->name, open, opening->peer->name, "opened");
	opening->redial = redial_new(opening->daemon->tls, opening->peer->identity, open);
	return opening->redial ? 0 : error_set(err, ERROR_LOCAL, "no memory");
}

struct channel *opening_run(struct daemon *daemon, const struct config_peer *peer,
	const char *service, const char *argument, struct terms *terms, int local_fd, char *address,
	struct error *err)
{
	struct opening opening = {
		.daemon = daemon,
		.peer = peer,
		.worker = daemon_worker(daemon),
		.terms = terms,
		.local_fd = local_fd,
	};

	if (fill_in(&opening, service, argument, err) < 0) {
		fd_close(&opening.local_fd);
		return NULL;
	}
	uv_mutex_init(&opening.lock);
	uv_cond_init(&opening.changed);
	try_peer(&opening);
	uv_cond_destroy(&opening.changed);
	uv_mutex_destroy(&opening.lock);
	OPENSSL_cleanse(opening.open.secret, sizeof(opening.open.secret));
	redial_free(opening.redial);
	fd_close(&opening.local_fd);
	if (address)
		memcpy(address, opening.peer_text, sizeof(opening.peer_text));
	if (!opening.channel)
		*err = opening.err;
	return opening.channel;
}
