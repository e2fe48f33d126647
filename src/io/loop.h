/* A libuv loop with its thread, and the one way to reach it from other threads.
 *
 * Callbacks never block and never free their own object: closing a libuv handle is finished by its
 * close callback, and there objects are freed.
 */
#ifndef CULVERT_IO_LOOP_H
#define CULVERT_IO_LOOP_H

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

/** After loop_stop() (joins the thread): free @loop. Every handle on it must be closed already */
void loop_free(struct loop *loop);

/**
 * Run @task(@argument) on the loop's thread, in the order of posting; from any thread.
 *
 * A task posted after loop_stop() may never run: its owner must not depend on it.
 */
void loop_post(struct loop *loop, void (*task)(void *argument), void *argument);

uv_loop_t *loop_uv(struct loop *loop);

/** Steady milliseconds, as of this turn of the loop; on the loop's thread */
uint64_t loop_now_ms(struct loop *loop);

#endif
