/* The accepted channels of this host by their id, for peers that resume one.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_CHANNEL_TABLE_H
#define CULVERT_DAEMON_CHANNEL_TABLE_H

#include "wire/message.h"

struct channel_table;
struct channel;

struct channel_table *channel_table_new(void);
void channel_table_free(struct channel_table *table);

/**
 * Enter a channel, which is held until channel_table_remove().
 *
 * @returns 0, or -1: the id is taken, or there is no memory
 */
int channel_table_add(struct channel_table *table, const struct open_message *open,
	const char *peer, struct channel *channel);
void channel_table_remove(struct channel_table *table, struct channel *channel);

/** What @resume asks for, if @peer may have it; held for the caller. NULL: no such channel */
struct channel *channel_table_find(
	struct channel_table *table, const struct resume_message *resume, const char *peer);

#endif
