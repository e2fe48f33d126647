/* JSON values as lines over a connected socket: QMP, the local control socket, the control channel
 * between daemons.
 *
 * Blocking with deadlines, for threads that lead a conversation; never used on a loop.
 * Threads: one thread at a time.
 */
#ifndef CULVERT_IO_LINES_H
#define CULVERT_IO_LINES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct lines;

/**
 * @fd             a connected stream socket; owned (and closed) by the result, also on failure
 * @longest_bytes  the longest line that is taken from the other side; longer is an error
 */
struct lines *lines_new(int fd, size_t longest_bytes);
void lines_free(struct lines *lines);

/** For poll(); stays owned by @lines. Lines already read are not visible to poll(): see
 * lines_ready() */
int lines_descriptor(const struct lines *lines);

/** Whether lines_get() would return a whole line without reading */
bool lines_ready(const struct lines *lines);

/**
 * The next value.
 *
 * @timeout_ms  how long to wait for a whole line; 0: only what is there; -1: for ever
 * @returns     1 and @value (a new reference, never NULL); 0 when the time passed; -1 with @err set
 * @errors      ERROR_LINK: the connection was closed or lost;
 *              ERROR_PEER: not JSON, too long, or nested deeper than jansson allows
 */
int lines_get(struct lines *lines, int timeout_ms, json_t **value, struct error *err);

/** Descriptors that the other side passes along are kept, the newest only; without this they are
 * closed */
void lines_accept_descriptor(struct lines *lines);

/** The one that has come, the caller's then; -1: none. It may have come before the line that it
 * belongs to was whole */
int lines_take_descriptor(struct lines *lines);

/**
 * Send one value as one line.
 *
 * @value   stolen (its reference is dropped), also on failure; NULL is an out-of-memory error
 * @pass    a descriptor to pass along (SCM_RIGHTS) or -1; stays the caller's
 * @errors  ERROR_LINK: closed, or not taken within ten seconds; ERROR_LOCAL: no memory
 */
int lines_put(struct lines *lines, json_t *value, int pass, struct error *err);

#endif
