/* A client of QEMU's machine protocol: commands with their answers, events in between.
 *
 * Blocking, ten seconds at most for one answer.
 * Threads: one thread at a time.
 * Source: QEMU's docs/interop/qmp-spec.
 */
#ifndef CULVERT_HYPERVISOR_QMP_H
#define CULVERT_HYPERVISOR_QMP_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

struct qmp;

/**
 * Connect to a QMP socket, take the greeting and leave the negotiation mode.
 *
 * @errors  ERROR_LOCAL: cannot connect, see socket_connect_unix() for errno;
 *          ERROR_HYPERVISOR: no greeting within five seconds, or not QMP
 */
struct qmp *qmp_open(const char *path, struct error *err);

/** As qmp_open() on a connected socket, which is closed also on failure. @name for messages */
struct qmp *qmp_new(int fd, const char *name, int greeting_deadline_ms, struct error *err);

/** Take over a connection that another client has greeted, and left at any moment: its version is
 * not known. @fd  owned, also on failure */
struct qmp *qmp_take_over(int fd, const char *name, struct error *err);

/** Close the connection. QEMU goes on */
void qmp_free(struct qmp *qmp);

/** What QEMU said of itself in "QMP": {"version": ..., "capabilities": ...}; borrowed.
 * NULL after qmp_take_over() */
const json_t *qmp_greeting(const struct qmp *qmp);

/** For poll(); events already read are not visible to poll(): see qmp_ready() */
int qmp_descriptor(const struct qmp *qmp);

/** Whether qmp_next_event() may return one without reading */
bool qmp_ready(const struct qmp *qmp);

/** Whether QEMU closed the connection (its process ended), or broke the protocol. Final */
bool qmp_gone(const struct qmp *qmp);

/** Whether a command was sent and not answered in time: QEMU may execute it yet */
bool qmp_unanswered(const struct qmp *qmp);

/**
 * Execute one command and wait for its answer. Events that come before it are kept.
 *
 * @arguments  stolen, also on failure; may be NULL
 * @pass       a descriptor to pass along (getfd) or -1; stays the caller's
 * @value      what it returned (a new reference), or NULL for a caller that does not care
 * @errors     ERROR_HYPERVISOR: QEMU's own words, or QEMU ended, or did not answer in time; while
 * an earlier command is not answered, nothing is sent
 */
int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int pass, json_t **value,
	struct error *err);

/**
 * As qmp_execute(), of a command that QEMU executes out of band: at once, also while its main loop
 * is held up and another command waits. Before QEMU 2.12 in turn, like any other.
 */
int qmp_execute_now(struct qmp *qmp, const char *command, json_t *arguments, struct error *err);

/**
 * The next event, in the order of arrival. Of events that nobody takes the oldest are forgotten.
 *
 * @timeout_ms  0: only what is there; -1: for ever
 * @returns     1 and @event (a new reference); 0 when the time passed; -1 with @err set
 */
int qmp_next_event(struct qmp *qmp, int timeout_ms, json_t **event, struct error *err);

#endif
