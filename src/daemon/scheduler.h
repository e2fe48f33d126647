/* Urgent before bulk, fair shares, and limits, over all channels of this daemon: every turn it
 * looks at what passes, and tells each channel what it may send and ask for.
 *
 * It works only while something needs it: a limit, or a migration in post-copy. Else every channel
 * is as fast as may be, and pays nothing.
 *
 * Threads: turns run on the loop it was given; everything else from any thread.
 */
#ifndef CULVERT_DAEMON_SCHEDULER_H
#define CULVERT_DAEMON_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/allotment.h"
#include "io/loop.h"

struct scheduler;

/** @limit  bytes/s in each direction; or RATE_UNLIMITED. @returns NULL without memory */
struct scheduler *scheduler_new(struct loop *loop, uint64_t limit);

/** After its loop's end, and after every channel has left */
void scheduler_free(struct scheduler *scheduler);

void scheduler_set_limit(struct scheduler *scheduler, uint64_t limit);
uint64_t scheduler_limit(struct scheduler *scheduler);

/** Terms have changed: a turn comes soon. @scheduler  NULL: nothing happens */
void scheduler_wake(struct scheduler *scheduler);

/** From now until scheduler_leave(). @scheduler  NULL: nothing happens */
void scheduler_join(struct scheduler *scheduler, struct allotment *allotment);
void scheduler_leave(struct allotment *allotment);

/** One turn. @returns whether another is needed. For the loop, and for tests */
bool scheduler_turn(struct scheduler *scheduler, uint64_t now_ms);

#endif
