/* The driver of a bare QEMU, known by its QMP socket.
 *
 * Calls block (up to ten seconds where QEMU does not answer): they belong on the thread of the
 * migration, never on a loop. One thread at a time. The verbs are those of every driver: open,
 * prepare, attach, start, switch_to_postcopy, query, cancel, recover, resume, release.
 *
 * Source: QEMU's docs/interop/qmp-spec and qapi/migration.json (7.2); what was measured of it is in
 * docs/HYPERVISORS.md.
 */
#ifndef CULVERT_HYPERVISOR_QEMU_H
#define CULVERT_HYPERVISOR_QEMU_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/figures.h"

enum migration_role { ROLE_SOURCE, ROLE_DESTINATION };

struct qemu;

/**
 * Connect to the QMP socket of a virtual machine and read version and state.
 *
 * @qmp_directory  where sockets are; the socket is <qmp_directory>/<vm>.sock
 * @vm             a name: letters, digits, '.', '_', '-'; not starting with '.'
 * @returns        the driver, or NULL with @err set
 * @errors         ERROR_USAGE: not a name; ERROR_LOCAL: no such socket (the message lists the
 *                 directory and the remedy), no permission; ERROR_HYPERVISOR: no greeting in time
 *                 (QMP serves one client at a time, and another may hold it)
 */
struct qemu *qemu_open(const char *qmp_directory, const char *vm, struct error *err);

/** The same over the connection of an earlier driver, of qemu_descriptor(). @fd  owned, also on
 * failure. The version is not known then */
struct qemu *qemu_open_kept(int fd, const char *vm, struct error *err);

/** Whether a process listens on that QMP socket, or may: false means that there is no such QEMU */
bool qemu_exists(const char *qmp_directory, const char *vm);

/** Whether there is a QMP socket of that name, without a connection to it: QMP serves one client at
 * a time */
bool qemu_has_socket(const char *qmp_directory, const char *vm);

/** The error of a machine without one: which there are, and how to make it. @returns -1 */
int qemu_fail_missing(const char *qmp_directory, const char *vm, struct error *err);

/** Close the QMP connection. Changes nothing in QEMU */
void qemu_free(struct qemu *qemu);

/** "7.2.22"; owned by @qemu */
const char *qemu_version(const struct qemu *qemu);

/** For poll(): readable when qemu_query() has news (an event, or the end of the process). Events
 * already read are not visible to poll(): see qemu_ready() */
int qemu_descriptor(const struct qemu *qemu);

/** Whether an event has been read that no qemu_query() has taken yet */
bool qemu_ready(const struct qemu *qemu);

/**
 * Check that this QEMU can play its part, then set capabilities and parameters.
 *
 * Source: the guest runs, no migration is active. Destination: it waits (`-incoming defer`).
 * Sets events, return-path, postcopy-ram (not for MODE_PRECOPY) on, multifd, postcopy-preempt and
 * the like off; on the source lifts max-bandwidth and sets max-postcopy-bandwidth to 0 (no limit).
 *
 * @other_version  the other host's QEMU version, or NULL to skip the comparison; a destination
 *                 older (major.minor) than the source is refused
 * @errors         ERROR_HYPERVISOR with the remedy: not running, not waiting, already migrating,
 *                 capability missing, post-copy refused by the kernel (userfaultfd). On failure
 *                 capabilities are as they were
 */
int qemu_prepare(struct qemu *qemu, enum migration_role role, enum migration_mode mode,
	const char *other_version, struct error *err);

/** What qemu_prepare() has found and changed, for qemu_take_over(); a new reference. No secrets */
json_t *qemu_found(const struct qemu *qemu);

/**
 * Instead of qemu_prepare(): this QEMU was prepared, and perhaps started, by a culvertd that was
 * killed. @started  whether it may have been; @found  of qemu_found() then
 */
void qemu_take_over(struct qemu *qemu, enum migration_role role, bool started, const json_t *found);

/**
 * Hand QEMU its end of the main stream (`getfd`).
 *
 * @fd  stays the caller's: QEMU gets a duplicate
 */
int qemu_attach(struct qemu *qemu, int fd, struct error *err);

/**
 * Destination, before qemu_start(): the guest is not to run when it has arrived, until
 * qemu_run_guest(). In pre-copy QEMU would run it before its source knows, and a source that never
 * learns runs it, too.
 */
int qemu_hold_guest(struct qemu *qemu, struct error *err);

/** Destination: the guest may run now, or as soon as it has arrived. Safe to repeat */
int qemu_run_guest(struct qemu *qemu, struct error *err);

/** `migrate` or `migrate-incoming` on the descriptor of qemu_attach(); returns once QEMU has begun
 */
int qemu_start(struct qemu *qemu, struct error *err);

/**
 * `migrate-start-postcopy` (source). Safe to repeat; no error when already switched, nor when QEMU
 * has not answered in time: it will switch when it comes to it, and is not cancelled any more
 */
int qemu_switch_to_postcopy(struct qemu *qemu, struct error *err);

/**
 * Destination: hand QEMU its end of a stream that qemu_recover() will use. Beforehand, because a
 * QEMU that waits for a page may take no descriptor any more. @fd  stays the caller's
 */
int qemu_attach_spare(struct qemu *qemu, int fd, struct error *err);

/** Destination, after qemu_open_kept(): it has one */
void qemu_keep_spare(struct qemu *qemu);

/** Destination: take it back, if it was not used */
void qemu_drop_spare(struct qemu *qemu);

/**
 * Destination, paused in post-copy: go on over the spare stream, from its first byte on
 * (`migrate-recover`, out of band). QEMU 7.2 crashes when that stream ends before it is active
 * again.
 */
int qemu_recover(struct qemu *qemu, struct error *err);

/**
 * Source, paused in post-copy: go on over the stream of a new qemu_attach(), which the destination
 * waits on already. QEMU 7.2 never gets over the loss of that stream before it is active again.
 */
int qemu_resume(struct qemu *qemu, struct error *err);

/** Break the stream in post-copy (`migrate-pause`, out of band): the QEMU pauses */
int qemu_interrupt(struct qemu *qemu, struct error *err);

/** Break the stream in pre-copy (`yank`, out of band): the destination's QEMU ends */
int qemu_abandon(struct qemu *qemu, struct error *err);

/**
 * What the migration does now. Waits for news first.
 *
 * @timeout_ms  how long to wait for an event before asking QEMU; 0: ask at once. Returns at once
 *              after an event of the migration (state change, end of a pass)
 * @figures     written whole on success; on failure unchanged
 * @errors      ERROR_HYPERVISOR: QEMU ended (qemu_gone() is then true) or does not answer
 */
int qemu_query(
	struct qemu *qemu, int timeout_ms, struct migration_figures *figures, struct error *err);

/** Whether the QMP connection ended: the process is gone */
bool qemu_gone(const struct qemu *qemu);

/** `query-status`: whether the guest runs in this QEMU now */
int qemu_guest_running(struct qemu *qemu, bool *running, struct error *err);

/**
 * Whether something but the migration has stopped it: its operator, an error of its disk. @halted
 * is left as it is once the migration itself has stopped it.
 */
int qemu_guest_halted(struct qemu *qemu, bool *halted, struct error *err);

/* Whose the guest is, as its run state tells */
enum guest_hold {
	GUEST_HELD,        /* it runs or stands still in this QEMU */
	GUEST_HANDED_OVER, /* a migration has taken it away */
	GUEST_AWAITED,     /* none has come yet */
};

/** For a QEMU that is known by its name only. It says that a migration has `completed` also when
 * that one had brought the guest here */
int qemu_guest_hold(struct qemu *qemu, enum guest_hold *hold, struct error *err);

/** `migrate_cancel` (source, before post-copy only); the state follows by qemu_query() */
int qemu_cancel(struct qemu *qemu, struct error *err);

/**
 * Undo prepare and attach where nothing was started, or the migration failed or was cancelled and
 * QEMU has cleaned up after it: closefd, capabilities and parameters as found. Otherwise nothing
 * is changed. The driver may prepare again afterwards.
 *
 * @returns whether it is undone; false: not yet, or never after completion
 */
bool qemu_release(struct qemu *qemu);

/** `quit` (the paused source after completion). Returns when the process has closed QMP */
int qemu_quit(struct qemu *qemu, struct error *err);

#endif
