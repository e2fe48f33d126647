/* The rendezvous that peers have asked for at this host, which is the destination: who may connect
 * to which, what is carried through it, and the record of its migration, if its source has named
 * one. All that a record says is the source's word.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_RENDEZVOUS_TABLE_H
#define CULVERT_DAEMON_RENDEZVOUS_TABLE_H

#include "daemon/migration.h"
#include "daemon/rendezvous_directory.h"
#include "daemon/terms.h"

struct channel;
struct rendezvous_table;

/** @config  outlives it */
struct rendezvous_table *rendezvous_table_new(const struct config *config);
void rendezvous_table_free(struct rendezvous_table *table);

/**
 * Make one for the peer named @peer.
 *
 * @token   of RENDEZVOUS_TOKEN_CHARACTERS + 1 bytes: written
 * @errors  ERROR_LOCAL: its directory cannot be made, no memory
 */
int rendezvous_table_add(
	struct rendezvous_table *table, const char *peer, char *token, struct error *err);

/** Its guest runs here: what is connected waits for a lost link as long as the hypervisor stays */
void rendezvous_table_await(struct rendezvous_table *table, const char *token);

/** Remove it, with its directory. A record that has not ended does: nobody knows how */
void rendezvous_table_remove(struct rendezvous_table *table, const char *token);

/**
 * Use the rendezvous @token for a migration of @peer's: what connects from now on does so under
 * @terms, which are held as long as it is there.
 *
 * @errors  ERROR_USAGE: there is no such rendezvous for @peer
 */
int rendezvous_table_use(struct rendezvous_table *table, const char *peer, const char *token,
	struct terms *terms, struct error *err);

/**
 * Whether what connects to its migrate socket is held: then the hypervisor sees no end of it before
 * this is called with false, or the rendezvous is removed.
 */
void rendezvous_table_hold(struct rendezvous_table *table, const char *token, bool hold);

/**
 * Connect to the hypervisor that listens at a rendezvous.
 *
 * @peer   who asks: another's is not found
 * @which  "TOKEN.migrate" or "TOKEN.disks"
 * @terms  those of its channels, held for the caller
 * @returns the descriptor, or -1 with @err set. ERROR_USAGE: there is no such rendezvous for @peer
 */
int rendezvous_table_connect(struct rendezvous_table *table, const char *peer, const char *which,
	struct terms **terms, struct error *err);

/** What was connected has a channel. @which  as above; nothing happens if it has gone meanwhile */
void rendezvous_table_carry(
	struct rendezvous_table *table, const char *which, struct channel *channel);

/**
 * Enter the migration that it is for.
 *
 * An earlier rendezvous of the same peer for the same migration gives up its record, and what still
 * comes through it ends: its source has begun anew, or its daemon was killed.
 *
 * @errors  see migrations_begin()
 */
int rendezvous_table_enter(struct rendezvous_table *table, const char *token,
	struct migrations *migrations, const struct migration_plan *plan, struct error *err);

/** Of a rendezvous without a record nothing happens, and nothing is said, in these: */

/** Write the figures of its channels into the record */
void rendezvous_table_publish(struct rendezvous_table *table, const char *token);

/** The source knows the end. @running  at the destination: whether it runs */
void rendezvous_table_finish(
	struct rendezvous_table *table, const char *token, enum guest_place guest, bool running);

/** Whether it has a record that has not ended */
bool rendezvous_table_leads(struct rendezvous_table *table, const char *token);

/** Whether a later one has taken its record: it is of no more use */
bool rendezvous_table_used_up(struct rendezvous_table *table, const char *token);

#endif
