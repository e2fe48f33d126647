/* The rendezvous that peers have asked for at this host, which is the destination: who may connect
 * to which.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_RENDEZVOUS_TABLE_H
#define CULVERT_DAEMON_RENDEZVOUS_TABLE_H

#include "daemon/rendezvous_directory.h"
#include "daemon/terms.h"

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

/** Remove it, with its directory */
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

#endif
