#include "daemon/rendezvous_table.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/descriptor.h"
#include "base/list.h"
#include "base/log.h"
#include "daemon/carried.h"
#include "io/socket.h"

/* The main stream, and that of preempt: no others are there when post-copy is recovered. */
#define HELD_MOST 2
/* In post-copy a migration without streams for so many turns of its conversation is interrupted. */
#define IDLE_TURNS 20

struct entry {
	struct list place;
	char peer[64];
	char token[RENDEZVOUS_TOKEN_CHARACTERS + 1];
	struct terms *terms; /* held */
	bool hold;
	int held[HELD_MOST]; /* duplicates of what has connected; -1: none */
	struct carried carried;
	struct tunnel_figures before; /* of earlier rendezvous of its migration */
	struct migration *migration;  /* NULL: none, or it has ended */
	bool postcopy;                /* its source has said so */
	unsigned idle_turns;
	bool used_up;
};

struct rendezvous_table {
	const struct config *config;
	uv_mutex_t lock;
	struct list all;
};

struct rendezvous_table *rendezvous_table_new(const struct config *config)
{
	struct rendezvous_table *table = calloc(1, sizeof(*table));

	if (!table || uv_mutex_init(&table->lock) != 0)
		abort(); /* at start only */
	table->config = config;
	list_init(&table->all);
	return table;
}

static void let_go(struct entry *rendezvous)
{
	for (int i = 0; i < HELD_MOST; i++)
		fd_close(&rendezvous->held[i]);
}

static void discard(struct entry *rendezvous)
{
	if (rendezvous)
		terms_put(rendezvous->terms);
	free(rendezvous);
}

static void end(struct entry *rendezvous, const struct migration_outcome *outcome)
{
	const struct migration_plan *plan = migration_plan(rendezvous->migration);
	bool failed = outcome->failure.code != ERROR_NONE;

	log_event_limited(failed ? LOG_WARNING : LOG_NOTICE, "migration.ended",
		"migration=%s vm=%s direction=incoming host=%s elapsed_ms=%llu%s%s%s", plan->id,
		plan->destination_vm, plan->host,
		(unsigned long long)migration_elapsed_ms(rendezvous->migration),
		failed ? " reason=\"" : "", failed ? outcome->failure.message : "",
		failed ? "\"" : "");
	migration_end(rendezvous->migration, outcome);
	rendezvous->migration = NULL;
}

/* Its source has left it, or begins anew, without a word. */
static void abandon(struct entry *rendezvous)
{
	struct migration_outcome outcome = {.phase = PHASE_FAILED,
		.guest = GUEST_UNKNOWN,
		.advice = "'culvert status' on the source says where the guest is, and so does "
			  "'virsh domstate --reason' on both hosts"};

	if (!rendezvous->migration)
		return;
	error_set(&outcome.failure, ERROR_LINK, "%s has not said how it ended", rendezvous->peer);
	end(rendezvous, &outcome);
}

static void drop(struct rendezvous_table *table, struct entry *rendezvous)
{
	abandon(rendezvous);
	carried_fini(&rendezvous->carried);
	rendezvous_directory_remove(table->config, rendezvous->token);
	list_remove(&rendezvous->place);
	let_go(rendezvous);
	discard(rendezvous);
}

void rendezvous_table_free(struct rendezvous_table *table)
{
	while (!list_empty(&table->all))
		drop(table, LIST_MEMBER(table->all.next, struct entry, place));
	uv_mutex_destroy(&table->lock);
	free(table);
}

int rendezvous_table_add(
	struct rendezvous_table *table, const char *peer, char *token, struct error *err)
{
	struct entry *rendezvous = calloc(1, sizeof(*rendezvous));
	unsigned char random[RENDEZVOUS_TOKEN_CHARACTERS / 2];

	if (rendezvous) {
		rendezvous->terms = terms_new(RATE_UNLIMITED);
		carried_init(&rendezvous->carried);
	}
	if (!rendezvous || !rendezvous->terms || RAND_bytes(random, sizeof(random)) != 1) {
		discard(rendezvous);
		return error_set(err, ERROR_LOCAL, "no memory or no randomness");
	}
	for (int i = 0; i < HELD_MOST; i++)
		rendezvous->held[i] = -1;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(rendezvous->token + 2 * i, 3, "%02x", random[i]);
	if (rendezvous_directory_make(
		    table->config, rendezvous->token, RENDEZVOUS_DESTINATION, err) < 0) {
		discard(rendezvous);
		return -1;
	}
	snprintf(rendezvous->peer, sizeof(rendezvous->peer), "%s", peer);
	memcpy(token, rendezvous->token, sizeof(rendezvous->token));
	uv_mutex_lock(&table->lock);
	list_append(&table->all, &rendezvous->place);
	uv_mutex_unlock(&table->lock);
	return 0;
}

/* Under the lock; in constant time over the token */
static struct entry *find(struct rendezvous_table *table, const char *token)
{
	for (struct list *place = table->all.next; place != &table->all; place = place->next) {
		struct entry *rendezvous = LIST_MEMBER(place, struct entry, place);

		if (CRYPTO_memcmp(rendezvous->token, token, RENDEZVOUS_TOKEN_CHARACTERS) == 0)
			return rendezvous;
	}
	return NULL;
}

void rendezvous_table_await(struct rendezvous_table *table, const char *token)
{
	struct entry *rendezvous;

	uv_mutex_lock(&table->lock);
	rendezvous = find(table, token);
	if (rendezvous)
		atomic_store(&rendezvous->terms->patient, true);
	if (rendezvous && rendezvous->migration) {
		rendezvous->postcopy = true;
		rendezvous->idle_turns = 0;
		migration_set_phase(rendezvous->migration, PHASE_POSTCOPY, GUEST_DESTINATION);
	}
	uv_mutex_unlock(&table->lock);
}

void rendezvous_table_remove(struct rendezvous_table *table, const char *token)
{
	struct entry *rendezvous;

	uv_mutex_lock(&table->lock);
	rendezvous = find(table, token);
	if (rendezvous)
		list_remove(&rendezvous->place);
	uv_mutex_unlock(&table->lock);
	/* Without the lock: a loop may wait for it. */
	if (rendezvous)
		drop(table, rendezvous);
}

/* "TOKEN.NAME". @returns false: it is not */
static bool read_which(const char *text, char *token, enum rendezvous_socket *which)
{
	snprintf(token, RENDEZVOUS_TOKEN_CHARACTERS + 1, "%s", text);
	if (!rendezvous_is_token(token) || text[RENDEZVOUS_TOKEN_CHARACTERS] != '.')
		return false;
	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++) {
		*which = (enum rendezvous_socket)i;
		if (strcmp(text + RENDEZVOUS_TOKEN_CHARACTERS + 1,
			    rendezvous_socket_name(*which)) == 0)
			return true;
	}
	return false;
}

/* Who may write to the directory must not lead the peer to another socket of this host by a
 * symbolic link. */
static int connect_there(const char *path, struct error *err)
{
	CLEANUP_FD int place = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char same[64];
	struct stat what;

	if (place < 0 || fstat(place, &what) < 0)
		return error_errno(err, "cannot connect to %s", path);
	/* Nor by another name of it */
	if (!S_ISSOCK(what.st_mode) || what.st_nlink != 1)
		return error_set(err, ERROR_LOCAL, "%s is no socket of its own", path);
	snprintf(same, sizeof(same), "/proc/self/fd/%d", place);
	return socket_connect_unix(same, err);
}

/* Under the lock. @returns NULL: there is none for @peer */
static struct entry *find_of(struct rendezvous_table *table, const char *peer, const char *token)
{
	struct entry *rendezvous = rendezvous_is_token(token) ? find(table, token) : NULL;

	return rendezvous && strcmp(rendezvous->peer, peer) == 0 ? rendezvous : NULL;
}

static void set_terms(struct entry *rendezvous, struct terms *terms)
{
	terms_put(rendezvous->terms);
	rendezvous->terms = terms_hold(terms);
}

int rendezvous_table_use(struct rendezvous_table *table, const char *peer, const char *token,
	struct terms *terms, struct error *err)
{
	struct entry *rendezvous;

	uv_mutex_lock(&table->lock);
	rendezvous = find_of(table, peer, token);
	if (rendezvous)
		set_terms(rendezvous, terms);
	uv_mutex_unlock(&table->lock);
	return rendezvous ? 0 : error_set(err, ERROR_USAGE, "no such rendezvous");
}

void rendezvous_table_hold(struct rendezvous_table *table, const char *token, bool hold)
{
	struct entry *rendezvous;

	uv_mutex_lock(&table->lock);
	rendezvous = find(table, token);
	if (rendezvous) {
		rendezvous->hold = hold;
		if (!hold)
			let_go(rendezvous);
	}
	uv_mutex_unlock(&table->lock);
}

/* Under the lock */
static int keep(struct entry *rendezvous, int fd, struct error *err)
{
	for (int i = 0; i < HELD_MOST; i++) {
		if (rendezvous->held[i] >= 0)
			continue;
		rendezvous->held[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return rendezvous->held[i] < 0 ? error_errno(err, "cannot duplicate a descriptor")
					       : 0;
	}
	return error_set(err, ERROR_USAGE, "a recovery has no more streams");
}

int rendezvous_table_connect(struct rendezvous_table *table, const char *peer, const char *text,
	struct terms **terms, struct error *err)
{
	char token[RENDEZVOUS_TOKEN_CHARACTERS + 1];
	char path[CONFIG_SOCKET_BYTES];
	struct entry *rendezvous;
	enum rendezvous_socket which;
	CLEANUP_FD int fd = -1;

	*terms = NULL;
	if (!read_which(text, token, &which))
		return error_set(err, ERROR_USAGE, "no such rendezvous");
	uv_mutex_lock(&table->lock);
	rendezvous = find_of(table, peer, token);
	if (!rendezvous) {
		uv_mutex_unlock(&table->lock);
		return error_set(err, ERROR_USAGE, "no such rendezvous");
	}
	rendezvous_socket_path(table->config, token, which, path);
	/* It does not wait. */
	fd = connect_there(path, err);
	if (fd >= 0 && rendezvous->hold && which == RENDEZVOUS_MIGRATE &&
		keep(rendezvous, fd, err) < 0)
		fd_close(&fd);
	if (fd >= 0)
		*terms = terms_hold(rendezvous->terms);
	uv_mutex_unlock(&table->lock);
	return fd_take(&fd);
}

void rendezvous_table_carry(
	struct rendezvous_table *table, const char *text, struct channel *channel)
{
	char token[RENDEZVOUS_TOKEN_CHARACTERS + 1];
	struct entry *rendezvous;
	enum rendezvous_socket which;

	if (!read_which(text, token, &which))
		return;
	uv_mutex_lock(&table->lock);
	rendezvous = find(table, token);
	if (rendezvous)
		carried_add(&rendezvous->carried, which, channel);
	uv_mutex_unlock(&table->lock);
}

/* Under the lock. Another migration of the same name from there has lost its source: libvirt moves
 * a domain once at a time. */
static void succeed(
	struct rendezvous_table *table, struct entry *next, const char *id, const char *vm)
{
	for (struct list *place = table->all.next; place != &table->all; place = place->next) {
		struct entry *older = LIST_MEMBER(place, struct entry, place);
		const struct migration_plan *plan;

		if (older == next || !older->migration || strcmp(older->peer, next->peer) != 0)
			continue;
		plan = migration_plan(older->migration);
		if (strcmp(plan->id, id) == 0) {
			struct tunnel_figures figures = {0};

			for (int i = 0; i < RENDEZVOUS_SOCKETS; i++)
				carried_cut(&older->carried, (enum rendezvous_socket)i);
			carried_figures(&older->carried, &figures);
			next->before = older->before;
			tunnel_figures_add(&next->before, &figures);
			next->migration = older->migration;
			next->postcopy = older->postcopy;
			older->migration = NULL;
			older->used_up = true;
		} else if (strcmp(plan->destination_vm, vm) == 0) {
			abandon(older);
		}
	}
}

int rendezvous_table_enter(struct rendezvous_table *table, const char *token,
	struct migrations *migrations, const struct migration_plan *plan, struct error *err)
{
	struct entry *rendezvous;
	int result = -1;

	uv_mutex_lock(&table->lock);
	rendezvous = find(table, token);
	if (!rendezvous) {
		error_set(err, ERROR_LOCAL, "the rendezvous is gone");
	} else {
		succeed(table, rendezvous, plan->id, plan->destination_vm);
		if (!rendezvous->migration) {
			rendezvous->migration = migrations_begin(migrations, plan, err);
			if (rendezvous->migration)
				migration_set_phase(
					rendezvous->migration, PHASE_PRECOPY, GUEST_SOURCE);
		}
		if (rendezvous->migration) {
			set_terms(rendezvous, migration_terms(rendezvous->migration));
			result = 0;
		}
	}
	uv_mutex_unlock(&table->lock);
	return result;
}

/* @returns it with the lock, if it has a record; else NULL, without */
static struct entry *lock_recorded(struct rendezvous_table *table, const char *token)
{
	struct entry *rendezvous;

	uv_mutex_lock(&table->lock);
	rendezvous = find(table, token);
	if (rendezvous && rendezvous->migration)
		return rendezvous;
	uv_mutex_unlock(&table->lock);
	return NULL;
}

static void watch_interruption(struct entry *rendezvous)
{
	bool was_idle = rendezvous->idle_turns >= IDLE_TURNS;
	bool idle;

	rendezvous->idle_turns = carried_is_open(&rendezvous->carried, RENDEZVOUS_MIGRATE)
		? 0
		: rendezvous->idle_turns + 1;
	idle = rendezvous->idle_turns >= IDLE_TURNS;
	if (rendezvous->postcopy && idle != was_idle)
		migration_set_phase(rendezvous->migration, idle ? PHASE_PAUSED : PHASE_POSTCOPY,
			GUEST_DESTINATION);
}

void rendezvous_table_publish(struct rendezvous_table *table, const char *token)
{
	struct entry *rendezvous = lock_recorded(table, token);
	struct tunnel_figures figures = {0};
	const struct config_peer *peer;

	if (!rendezvous)
		return;
	peer = config_find_peer(table->config, rendezvous->peer);
	if (peer && !atomic_load(&rendezvous->terms->patient))
		figures.resume_deadline_ms = peer->resume_deadline_ms;
	carried_figures(&rendezvous->carried, &figures);
	tunnel_figures_add(&figures, &rendezvous->before);
	migration_set_tunnel(rendezvous->migration, &figures);
	watch_interruption(rendezvous);
	uv_mutex_unlock(&table->lock);
}

void rendezvous_table_finish(
	struct rendezvous_table *table, const char *token, enum guest_place guest, bool running)
{
	struct entry *rendezvous = lock_recorded(table, token);
	struct migration_outcome outcome = {
		.phase = PHASE_COMPLETED, .guest = guest, .running = running};

	if (!rendezvous)
		return;
	if (guest == GUEST_SOURCE) {
		outcome.phase = PHASE_FAILED;
		error_set(&outcome.failure, ERROR_CANCELLED,
			"%s has kept the guest: 'culvert status' there says why", rendezvous->peer);
	}
	end(rendezvous, &outcome);
	uv_mutex_unlock(&table->lock);
}

bool rendezvous_table_leads(struct rendezvous_table *table, const char *token)
{
	bool leads = lock_recorded(table, token) != NULL;

	if (leads)
		uv_mutex_unlock(&table->lock);
	return leads;
}

bool rendezvous_table_used_up(struct rendezvous_table *table, const char *token)
{
	const struct entry *rendezvous;
	bool used_up;

	uv_mutex_lock(&table->lock);
	rendezvous = find(table, token);
	used_up = rendezvous && rendezvous->used_up;
	uv_mutex_unlock(&table->lock);
	return used_up;
}
