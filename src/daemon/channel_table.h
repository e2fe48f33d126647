/* The accepted channels of this host by their id, for peers that resume one.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_CHANNEL_TABLE_H
#define CULVERT_DAEMON_CHANNEL_TABLE_H

#include <stdbool.h>

#include "wire/message.h"

struct channel_table;
struct channel;

/* Of one peer: far more than migrations and forwards come to, and fewer than all descriptors */
#define CHANNELS_OF_PEER_MOST 4096

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

/** Whether its peer has opened another one since in another run of its daemon: then nobody is left
 * there who could resume it (docs/PROTOCOL.md, "Opening") */
bool channel_table_is_orphan(struct channel_table *table, const struct channel *channel);

/** Whether @peer may have another. Of workers that ask at the same time each may add one */
bool channel_table_has_room(struct channel_table *table, const char *peer);

/** What @resume asks for, if @peer may have it; held for the caller. NULL: no such channel */
struct channel *channel_table_find(
	struct channel_table *table, const struct resume_message *resume, const char *peer);

#endif
