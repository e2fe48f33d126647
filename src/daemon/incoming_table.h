/* The incoming migrations of this host that have not ended, so that their sources may come back to
 * them: with a new control channel where the first was lost, or to begin anew.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_INCOMING_TABLE_H
#define CULVERT_DAEMON_INCOMING_TABLE_H

#include <jansson.h>
#include <stdbool.h>

struct incoming;
struct lines;

/* A control channel on its way to another conversation */
struct handover {
	struct lines *lines; /* NULL: none */
	json_t *command_id;  /* of the `rejoin` that is to be answered on it; or NULL */
};

struct incoming_table *incoming_table_new(void);
void incoming_table_free(struct incoming_table *table);

void incoming_table_add(struct incoming_table *table, struct incoming *incoming);

/** Safe to repeat. A handover that was not taken is closed: its source tries again */
void incoming_table_remove(struct incoming_table *table, struct incoming *incoming);

/** Give @handover to the migration @id of @peer. @returns 0, or -1: there is none, it stays the
 * caller's */
int incoming_table_give(struct incoming_table *table, const char *id, const char *peer,
	const struct handover *handover);

/** What was given to @incoming since the last call; the caller's then */
struct handover incoming_table_take(struct incoming_table *table, struct incoming *incoming);

/** What @peer has prepared for @vm here and not started is withdrawn: it begins anew, so that it
 * knows no more of the first. Waits for it a little */
void incoming_table_supersede(struct incoming_table *table, const char *vm, const char *peer);

#endif
