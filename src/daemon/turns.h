/* Who has work in this turn of a worker's loop: each channel passes at most once in a turn, after
 * poll() has told what all of them may read and write, and in the order in which they asked.
 *
 * Threads: the loop's.
 */
#ifndef CULVERT_DAEMON_TURNS_H
#define CULVERT_DAEMON_TURNS_H

#include <uv.h>

#include "base/list.h"

struct turn {
	struct list place; /* in turns.due; empty: has not asked */
	void (*pass)(struct turn *turn);
};

struct turns {
	struct list due;       /* struct turn */
	uv_check_t after_poll; /* the passes */
	uv_idle_t hurry;       /* poll() does not wait while a turn is due */
};

/** Before the loop runs */
void turns_init(struct turns *turns, uv_loop_t *loop);

/** When nobody has a turn any more; the loop has to run once again to be rid of it */
void turns_fini(struct turns *turns);

void turn_init(struct turn *turn, void (*pass)(struct turn *turn));

/** @turn passes once after the next poll(); asked for within a pass, in the next turn of the loop
 */
void turns_ask(struct turns *turns, struct turn *turn);

/** It does not, if it has asked */
void turn_leave(struct turn *turn);

#endif
