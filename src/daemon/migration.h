/* Migrations as the operator sees them: what runs, what ended, and what was asked of them.
 *
 * The thread that leads a migration writes its record; control clients read it as JSON and leave
 * requests (cancel, switch) in it.
 *
 * Spec:    docs/CONTROL.md, "A migration".
 * Threads: any; records are guarded by the registry's lock.
 */
#ifndef CULVERT_DAEMON_MIGRATION_H
#define CULVERT_DAEMON_MIGRATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "control/phase.h"
#include "daemon/migration_plan.h"
#include "hypervisor/figures.h"

struct migration_outcome {
	enum migration_phase phase; /* PHASE_COMPLETED or later */
	enum guest_place guest;
	bool running;         /* GUEST_DESTINATION: whether the guest ran there */
	struct error failure; /* ERROR_NONE after PHASE_COMPLETED */
	const char *advice;   /* a literal, or NULL */
};

/* The migration's stream through the tunnel */
struct tunnel_figures {
	uint64_t to_peer_bytes;  /* acknowledged by the peer */
	uint64_t to_local_bytes; /* delivered to the hypervisor here */
	uint64_t links_lost;
	uint64_t replayed_bytes;     /* sent a second time because of that */
	uint64_t linkless_ms;        /* how long it has had no link; 0: it has one */
	uint64_t linkless_total_ms;  /* ... and all the times together */
	uint64_t resume_deadline_ms; /* how long it may; 0: as long as need be */
};

enum migration_request { REQUEST_CANCEL = 1, REQUEST_SWITCH = 2, REQUEST_RECOVER = 4 };

struct migrations;
struct migration;
struct scheduler;
struct terms;

/** @scheduler  what keeps the terms of migrations; or NULL */
struct migrations *migrations_new(struct scheduler *scheduler);
void migrations_free(struct migrations *migrations);

/**
 * Enter a migration that begins now.
 *
 * @returns the record, written by the caller's thread until migration_end(); or NULL
 * @errors  ERROR_USAGE: the virtual machine is being migrated already; ERROR_LOCAL: too many
 */
struct migration *migrations_begin(
	struct migrations *migrations, const struct migration_plan *plan, struct error *err);

const struct migration_plan *migration_plan(const struct migration *migration);

/** What its channels may use; valid as long as the record is */
struct terms *migration_terms(struct migration *migration);

/** Post-copy is about to begin: from now on it goes before those in pre-copy. So does a phase of
 * post-copy */
void migration_hasten(struct migration *migration);
void migration_set_phase(
	struct migration *migration, enum migration_phase phase, enum guest_place guest);
void migration_set_figures(struct migration *migration, const struct migration_figures *figures);
void migration_set_tunnel(struct migration *migration, const struct tunnel_figures *tunnel);
/** What the migration waits for that this host cannot bring about, for people; "": nothing */
void migration_set_waiting(struct migration *migration, const char *text);

uint64_t migration_elapsed_ms(const struct migration *migration);

/** The last word; @migration must not be used any more by the caller */
void migration_end(struct migration *migration, const struct migration_outcome *outcome);

/** What was asked for since the last call: a set of enum migration_request */
unsigned migration_take_requests(struct migration *migration);

/**
 * Ask something of the migration @name, an id or the name of a virtual machine.
 *
 * @errors ERROR_USAGE: no such migration, ended, incoming, or it cannot be done in its phase
 */
int migrations_request(struct migrations *migrations, const char *name,
	enum migration_request request, struct error *err);

/**
 * Limit the migration @name from now on.
 *
 * @bytes_per_s  of its stream, each way; or RATE_UNLIMITED
 * @errors       ERROR_USAGE: no such migration, or ended
 */
int migrations_limit(
	struct migrations *migrations, const char *name, uint64_t bytes_per_s, struct error *err);

/**
 * How an incoming migration that has ended did so.
 *
 * @returns  whether there is one of that id from @host; then @outcome is set
 */
bool migrations_find_ended(struct migrations *migrations, const char *id, const char *host,
	struct migration_outcome *outcome);

/** Every running and recently ended migration as a JSON array; a new reference */
json_t *migrations_list(struct migrations *migrations);

/**
 * One migration as JSON, once it differs from what the caller saw.
 *
 * @name        an id, or the name of a virtual machine (its newest migration)
 * @seen        0 at first, then as the call before left it
 * @timeout_ms  how long to wait for a change
 * @value       a new reference, or NULL when nothing changed
 * @ended       whether this was the last change
 * @errors      ERROR_USAGE: no such migration
 */
int migrations_follow(struct migrations *migrations, const char *name, uint64_t *seen,
	unsigned timeout_ms, json_t **value, bool *ended, struct error *err);

/** Migrations that have not ended */
size_t migrations_running(struct migrations *migrations);

#endif
