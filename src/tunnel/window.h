/* How far the peer may send ahead of what the local program has taken.
 *
 * A small window is every channel's own. Beyond it, memory is borrowed for as much as the local
 * program takes in two round trips and a little time that a busy host may need; in more time, as
 * long as there are few channels. What was promised to the peer cannot be taken back: a window
 * shrinks only as the peer uses it.
 *
 * Floor: tunnel (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Streams".
 * Threads: owned by one session, on its loop's thread.
 */
#ifndef CULVERT_TUNNEL_WINDOW_H
#define CULVERT_TUNNEL_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/budget.h"

struct window_settings {
	uint64_t least_bytes; /* every channel's own; also the first limit */
	uint64_t ample_bytes; /* what need not be grudged: all channels together, in equal parts */
	uint64_t most_bytes;
};

struct window {
	struct window_settings settings;
	struct budget *budget; /* NULL: the settings alone bound it */
	size_t borrowed;       /* chunks, from the budget */
	uint64_t bytes;        /* promised to the peer at most: its own, and what is borrowed */
	uint64_t wanted_bytes;
	uint64_t round_ms;  /* the shortest round trip on this link; UINT64_MAX: none was seen */
	uint64_t period_ms; /* since when period_bytes are counted; UINT64_MAX: not yet */
	uint64_t period_bytes;
};

/** @budget  outlives it, and knows of the session; or NULL */
void window_init(
	struct window *window, const struct window_settings *settings, struct budget *budget);
void window_fini(struct window *window);

/** A new link: its round trip is another */
void window_forget_round(struct window *window);

/** A round trip took so long */
void window_see_round(struct window *window, uint64_t round_ms);

/** The local program took @length bytes */
void window_use(struct window *window, uint64_t length, uint64_t now_ms);

/**
 * Make the window as large as it should be now, and may be.
 *
 * @promised_bytes  what the peer may send already, beyond what the local program has taken
 * @returns         what it may be promised: at least @promised_bytes
 */
uint64_t window_settle(struct window *window, uint64_t promised_bytes);

/** So many bytes taken are worth telling the peer: several times in a window, but not each chunk */
uint64_t window_worth_telling(const struct window *window);

#endif
