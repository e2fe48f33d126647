/* A libuv loop with its thread, and the one way to reach it from other threads.
 *
 * Callbacks never block and never free their own object: closing a libuv handle is finished by its
 * close callback, and there objects are freed.
 */
#ifndef CULVERT_IO_LOOP_H
#define CULVERT_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct loop;

struct loop *loop_new(struct error *err);

/** Run @loop in a thread of its own until loop_stop() */
int loop_start(struct loop *loop, struct error *err);

/** Run @loop in this thread until loop_stop() */
void loop_run(struct loop *loop);

/** Ask @loop to return once it has run what was posted before; from any thread */
void loop_stop(struct loop *loop);

/** After loop_stop(): wait for its thread. From here on its tasks run in the caller's */
void loop_join(struct loop *loop);

/**
 * After loop_join(): run what was posted, and finish what is being closed, as far as that goes now.
 * Loops that post to each other are freed when none of them has anything left.
 *
 * @returns whether there was anything
 */
bool loop_settle(struct loop *loop);

/** After loop_stop(): join and settle @loop, then end it. Every handle on it must be closed, or
 * closing. What others hold of it only refuses to run their tasks */
void loop_free(struct loop *loop);

/** For whoever may post to the loop after its end */
void loop_hold(struct loop *loop);
void loop_put(struct loop *loop);

/**
 * Run @task(@argument) on the loop's thread, in the order of posting; from any thread.
 *
 * @returns whether it will run, or has: not after loop_free()
 */
bool loop_post(struct loop *loop, void (*task)(void *argument), void *argument);

uv_loop_t *loop_uv(struct loop *loop);

/** Steady milliseconds, as of this turn of the loop; on the loop's thread */
uint64_t loop_now_ms(struct loop *loop);

#endif
