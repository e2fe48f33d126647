/* The connections of one worker that carry no channel, not yet or not any more: whoever reaches the
 * port can make them. They are bounded in number, and the oldest of those with the least claim to
 * their place yields it to a newer one.
 *
 * Threads: the loop of the worker.
 */
#ifndef CULVERT_DAEMON_STRANGERS_H
#define CULVERT_DAEMON_STRANGERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

#define STRANGERS_MOST 256

enum claim {
	CLAIM_NONE,   /* it came to nothing, and has not closed yet */
	CLAIM_SILENT, /* it has not asked for anything; a peer asks within a few round trips */
	CLAIM_LAST,   /* it is this host's own, or has carried a channel, and says its last */
	CLAIM_FIRM,   /* it asked, or is this host's own, or is about to carry a channel */
};

struct stranger;

struct stranger_events {
	enum claim (*claim)(const struct stranger *stranger);
	/** Close; strangers_leave() follows within the call */
	void (*expel)(struct stranger *stranger, const char *why);
};

struct stranger {
	struct list place;
	const struct stranger_events *events;
};

struct strangers {
	struct list list; /* the oldest first */
	size_t count;
};

void strangers_init(struct strangers *strangers);
void stranger_init(struct stranger *stranger, const struct stranger_events *events);

/** Both have no effect when it is so already */
void strangers_enter(struct strangers *strangers, struct stranger *stranger);
void strangers_leave(struct strangers *strangers, struct stranger *stranger);

/** For one more: expel another if there are too many. @returns whether there is a place */
bool strangers_make_room(struct strangers *strangers);

void strangers_expel_all(struct strangers *strangers, const char *why);

#endif
