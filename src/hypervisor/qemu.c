#include "hypervisor/qemu.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/parse.h"
#include "hypervisor/qemu_check.h"
#include "hypervisor/qemu_figures.h"
#include "hypervisor/qemu_settings.h"
#include "hypervisor/qmp.h"
#include "io/socket.h"

/* One name for ever: QEMU closes what a daemon that was killed has left under it. */
#define STREAM_NAME "culvert-main"
/* What a paused post-copy would go on with, handed over beforehand: a QEMU whose main loop waits
 * for a page takes commands out of band, but no descriptors. */
#define SPARE_NAME "culvert-spare"

enum { QUIT_DEADLINE_MS = 10000 };

struct qemu {
	struct qmp *qmp;
	struct qemu_settings settings;
	enum migration_role role;
	bool attached;
	bool spare;
	bool started;
	bool switched;
	char version[32];
	char name[64];
};

/* The names of some sockets in @directory, for a person who mistyped one. */
static void list_sockets(const char *directory, char *text, size_t size_bytes)
{
	DIR *entries = opendir(directory);
	struct dirent *entry;
	size_t used_bytes = 0;

	snprintf(text, size_bytes, "none");
	while (entries && (entry = readdir(entries)) && used_bytes + 80 < size_bytes) {
		size_t length = strlen(entry->d_name);

		if (length < 6 || length > 68 || strcmp(entry->d_name + length - 5, ".sock") != 0)
			continue;
		used_bytes += (size_t)snprintf(text + used_bytes, size_bytes - used_bytes, "%s%.*s",
			used_bytes ? ", " : "", (int)length - 5, entry->d_name);
	}
	if (entries)
		closedir(entries);
}

int qemu_fail_missing(const char *qmp_directory, const char *vm, struct error *err)
{
	char names[200];

	list_sockets(qmp_directory, names, sizeof(names));
	return error_set(err, ERROR_LOCAL,
		"no virtual machine '%s': %s/%s.sock does not exist (there are: %s); start QEMU "
		"with -qmp unix:%s/%s.sock,server=on,wait=off",
		vm, qmp_directory, vm, names, qmp_directory, vm);
}

/* Words for a QMP socket that could not be connected to, by errno. */
static void explain(const char *directory, const char *vm, const char *path, struct error *err)
{
	switch (errno) {
	case ENOENT:
		(void)qemu_fail_missing(directory, vm, err);
		break;
	case ECONNREFUSED:
		error_set(err, ERROR_LOCAL,
			"virtual machine '%s' is not running: nobody listens on %s", vm, path);
		break;
	case EACCES:
		error_set(err, ERROR_LOCAL,
			"no permission to open %s: let culvertd's user read and write it", path);
		break;
	case EAGAIN:
		error_set(err, ERROR_HYPERVISOR,
			"the QMP socket of '%s' is busy: QMP serves one client at a time; give "
			"Culvert one of its own: start QEMU with one more "
			"-qmp unix:PATH,server=on,wait=off",
			vm);
		break;
	default:
		break;
	}
}

static int read_version(struct qemu *qemu, struct error *err)
{
	const json_t *version =
		json_object_get(json_object_get(qmp_greeting(qemu->qmp), "version"), "qemu");
	int major;
	int minor;
	int micro;

	if (json_unpack((json_t *)(uintptr_t)version, "{s:i, s:i, s:i}", "major", &major, "minor",
		    &minor, "micro", &micro) < 0)
		return error_set(err, ERROR_HYPERVISOR, "QEMU of '%s' does not tell its version",
			qemu->name);
	snprintf(qemu->version, sizeof(qemu->version), "%d.%d.%d", major, minor, micro);
	return 0;
}

struct qemu *qemu_open(const char *qmp_directory, const char *vm, struct error *err)
{
	char path[PATH_MAX];
	struct qemu *qemu;

	if (!parse_is_name(vm)) {
		error_set(err, ERROR_USAGE,
			"'%.63s' is not the name of a virtual machine: use letters, digits, '.', "
			"'_' and '-'",
			vm);
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/%s.sock", qmp_directory, vm);
	qemu = calloc(1, sizeof(*qemu));
	if (!qemu) {
		error_set(err, ERROR_LOCAL, "out of memory");
		return NULL;
	}
	snprintf(qemu->name, sizeof(qemu->name), "%s", vm);
	errno = 0;
	qemu->qmp = qmp_open(path, err);
	if (!qemu->qmp && err->code == ERROR_LOCAL)
		explain(qmp_directory, vm, path, err);
	if (!qemu->qmp || read_version(qemu, err) < 0) {
		qemu_free(qemu);
		return NULL;
	}
	return qemu;
}

struct qemu *qemu_open_kept(int fd, const char *vm, struct error *err)
{
	struct qemu *qemu = calloc(1, sizeof(*qemu));

	if (!qemu) {
		close(fd);
		error_set(err, ERROR_LOCAL, "out of memory");
		return NULL;
	}
	snprintf(qemu->name, sizeof(qemu->name), "%s", vm);
	qemu->qmp = qmp_take_over(fd, vm, err);
	if (!qemu->qmp) {
		free(qemu);
		return NULL;
	}
	return qemu;
}

bool qemu_exists(const char *qmp_directory, const char *vm)
{
	CLEANUP_FD int fd = -1;
	struct error ignored;
	char path[PATH_MAX];

	if (!parse_is_name(vm))
		return false;
	snprintf(path, sizeof(path), "%s/%s.sock", qmp_directory, vm);
	errno = 0;
	fd = socket_connect_unix(path, &ignored);
	return fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED);
}

bool qemu_has_socket(const char *qmp_directory, const char *vm)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s.sock", qmp_directory, vm);
	return access(path, F_OK) == 0;
}

void qemu_free(struct qemu *qemu)
{
	if (!qemu)
		return;
	qemu_settings_fini(&qemu->settings);
	qmp_free(qemu->qmp);
	free(qemu);
}

const char *qemu_version(const struct qemu *qemu)
{
	return qemu->version;
}

int qemu_descriptor(const struct qemu *qemu)
{
	return qmp_descriptor(qemu->qmp);
}

bool qemu_ready(const struct qemu *qemu)
{
	return qmp_ready(qemu->qmp);
}

bool qemu_gone(const struct qemu *qemu)
{
	return qmp_gone(qemu->qmp);
}

int qemu_prepare(struct qemu *qemu, enum migration_role role, enum migration_mode mode,
	const char *other_version, struct error *err)
{
	if (other_version && qemu_check_version(role, qemu->version, other_version, err) < 0)
		return -1;
	if (qemu_check_state(qemu->qmp, qemu->name, role, err) < 0)
		return -1;
	qemu->role = role;
	qemu_settings_restore(&qemu->settings, qemu->qmp);
	if (qemu_settings_apply(&qemu->settings, qemu->qmp, role, mode, err) < 0)
		return error_prefix(err, "'%s'", qemu->name);
	return 0;
}

json_t *qemu_found(const struct qemu *qemu)
{
	return qemu_settings_found(&qemu->settings);
}

void qemu_take_over(struct qemu *qemu, enum migration_role role, bool started, const json_t *found)
{
	qemu->role = role;
	qemu->attached = true;
	qemu->started = started;
	qemu_settings_take_over(&qemu->settings, found);
}

static int hand_over(struct qemu *qemu, const char *name, int fd, struct error *err)
{
	return qmp_execute(qemu->qmp, "getfd", json_pack("{s:s}", "fdname", name), fd, NULL, err);
}

static void take_back(struct qemu *qemu, const char *name)
{
	struct error ignored;

	if (!qmp_gone(qemu->qmp))
		qmp_execute(qemu->qmp, "closefd", json_pack("{s:s}", "fdname", name), -1, NULL,
			&ignored);
}

int qemu_attach(struct qemu *qemu, int fd, struct error *err)
{
	if (hand_over(qemu, STREAM_NAME, fd, err) < 0)
		return -1;
	qemu->attached = true;
	return 0;
}

int qemu_attach_spare(struct qemu *qemu, int fd, struct error *err)
{
	if (hand_over(qemu, SPARE_NAME, fd, err) < 0)
		return -1;
	qemu->spare = true;
	return 0;
}

void qemu_keep_spare(struct qemu *qemu)
{
	qemu->spare = true;
}

void qemu_drop_spare(struct qemu *qemu)
{
	if (qemu->spare)
		take_back(qemu, SPARE_NAME);
	qemu->spare = false;
}

int qemu_recover(struct qemu *qemu, struct error *err)
{
	if (qmp_execute_now(qemu->qmp, "migrate-recover",
		    json_pack("{s:s}", "uri", "fd:" SPARE_NAME), err) < 0)
		return -1;
	qemu->spare = false; /* QEMU has taken it out of its list */
	return 0;
}

int qemu_resume(struct qemu *qemu, struct error *err)
{
	return qmp_execute(qemu->qmp, "migrate",
		json_pack("{s:s, s:b}", "uri", "fd:" STREAM_NAME, "resume", 1), -1, NULL, err);
}

int qemu_interrupt(struct qemu *qemu, struct error *err)
{
	return qmp_execute_now(qemu->qmp, "migrate-pause", NULL, err);
}

int qemu_abandon(struct qemu *qemu, struct error *err)
{
	return qmp_execute_now(
		qemu->qmp, "yank", json_pack("{s:[{s:s}]}", "instances", "type", "migration"), err);
}

int qemu_hold_guest(struct qemu *qemu, struct error *err)
{
	/* In run state inmigrate this only clears QEMU's autostart, and `cont` sets it. */
	return qmp_execute(qemu->qmp, "stop", NULL, -1, NULL, err);
}

int qemu_run_guest(struct qemu *qemu, struct error *err)
{
	return qmp_execute(qemu->qmp, "cont", NULL, -1, NULL, err);
}

int qemu_start(struct qemu *qemu, struct error *err)
{
	const char *command = qemu->role == ROLE_SOURCE ? "migrate" : "migrate-incoming";

	if (qmp_execute(qemu->qmp, command, json_pack("{s:s}", "uri", "fd:" STREAM_NAME), -1, NULL,
		    err) == 0) {
		qemu->started = true;
		return 0;
	}
	/* It may begin yet: what has begun is not undone as if it had not. */
	qemu->started = qmp_unanswered(qemu->qmp);
	/* Not every -incoming shows in query-migrate before this. */
	if (strstr(err->message, "already been started"))
		return error_set(err, ERROR_HYPERVISOR,
			"'%s' already waits for a migration by another way: start it anew with "
			"-incoming defer",
			qemu->name);
	return -1;
}

int qemu_switch_to_postcopy(struct qemu *qemu, struct error *err)
{
	if (qemu->switched)
		return 0;
	if (qmp_execute(qemu->qmp, "migrate-start-postcopy", NULL, -1, NULL, err) < 0 &&
		(qmp_gone(qemu->qmp) || !qmp_unanswered(qemu->qmp)))
		return -1;
	qemu->switched = true;
	return 0;
}

/* Whether the next query-migrate, or query-status, may answer something new. */
static bool is_news(const json_t *event)
{
	static const char *const names[] = {"MIGRATION", "MIGRATION_PASS", "STOP", "RESUME"};
	const char *name = json_string_value(json_object_get(event, "event"));

	for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* Every event that is there is taken, so that one answer covers them all. */
static int wait_for_news(struct qemu *qemu, int timeout_ms, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(timeout_ms);
	bool news = false;

	for (;;) {
		json_t *event;
		int result = qmp_next_event(
			qemu->qmp, news ? 0 : clock_left_ms(deadline_ms), &event, err);

		if (result <= 0)
			return result;
		news = news || is_news(event);
		json_decref(event);
	}
}

int qemu_query(
	struct qemu *qemu, int timeout_ms, struct migration_figures *figures, struct error *err)
{
	json_t *answer;

	if (wait_for_news(qemu, timeout_ms, err) < 0 ||
		qmp_execute(qemu->qmp, "query-migrate", NULL, -1, &answer, err) < 0)
		return -1;
	qemu_figures_read(answer, qemu->settings.downtime_limit_ms, figures);
	json_decref(answer);
	return 0;
}

int qemu_guest_running(struct qemu *qemu, bool *running, struct error *err)
{
	json_t *answer;

	if (qmp_execute(qemu->qmp, "query-status", NULL, -1, &answer, err) < 0)
		return -1;
	*running = json_is_true(json_object_get(answer, "running"));
	json_decref(answer);
	return 0;
}

int qemu_guest_halted(struct qemu *qemu, bool *halted, struct error *err)
{
	const char *status;
	json_t *answer;

	if (qmp_execute(qemu->qmp, "query-status", NULL, -1, &answer, err) < 0)
		return -1;
	status = json_string_value(json_object_get(answer, "status"));
	/* The migration's own stop says nothing of what was before it. */
	if (status && strcmp(status, "finish-migrate") != 0 && strcmp(status, "postmigrate") != 0)
		*halted = strcmp(status, "running") != 0;
	json_decref(answer);
	return 0;
}

int qemu_guest_hold(struct qemu *qemu, enum guest_hold *hold, struct error *err)
{
	const char *status;
	json_t *answer;

	if (qmp_execute(qemu->qmp, "query-status", NULL, -1, &answer, err) < 0)
		return -1;
	status = json_string_value(json_object_get(answer, "status"));
	status = status ? status : "";
	if (strcmp(status, "inmigrate") == 0)
		*hold = GUEST_AWAITED;
	else if (strcmp(status, "finish-migrate") == 0 || strcmp(status, "postmigrate") == 0)
		*hold = GUEST_HANDED_OVER;
	else
		*hold = GUEST_HELD;
	json_decref(answer);
	return 0;
}

int qemu_cancel(struct qemu *qemu, struct error *err)
{
	struct migration_figures figures;

	if (qemu_query(qemu, 0, &figures, err) < 0)
		return -1;
	/* migrate_cancel on a paused post-copy wedges QEMU, and the guest cannot go back. */
	if (qemu->switched || figures.state == MIGRATION_POSTCOPY ||
		figures.state == MIGRATION_PAUSED)
		return error_set(err, ERROR_HYPERVISOR,
			"'%s' can no longer be cancelled: post-copy has begun, and its memory is "
			"on both hosts; let it complete",
			qemu->name);
	return qmp_execute(qemu->qmp, "migrate_cancel", NULL, -1, NULL, err);
}

static bool is_ended(const struct migration_figures *figures)
{
	return figures->state == MIGRATION_FAILED ||
		(figures->state == MIGRATION_CANCELLED && !qemu_figures_cancelling(figures));
}

/* Whether QEMU has nothing left of a migration that failed or was cancelled. It says 'failed'
 * before it has cleaned up, and a capability that changes in between can crash it; its yank
 * instance goes last. */
static bool is_cleaned_up(struct qemu *qemu)
{
	struct migration_figures figures;
	struct error ignored;
	json_t *instances;
	json_t *instance;
	bool found = false;
	size_t i;

	if (qemu_query(qemu, 0, &figures, &ignored) < 0 || !is_ended(&figures) ||
		qmp_execute(qemu->qmp, "query-yank", NULL, -1, &instances, &ignored) < 0)
		return false;
	json_array_foreach(instances, i, instance)
	{
		const char *type = json_string_value(json_object_get(instance, "type"));

		found = found || (type && strcmp(type, "migration") == 0);
	}
	json_decref(instances);
	return !found;
}

bool qemu_release(struct qemu *qemu)
{
	if (qemu->started && !is_cleaned_up(qemu))
		return false;
	if (qemu->attached && !qemu->started)
		take_back(qemu, STREAM_NAME);
	qemu_drop_spare(qemu);
	qemu->attached = false;
	qemu->started = false;
	qemu->switched = false;
	qemu_settings_restore(&qemu->settings, qemu->qmp);
	return true;
}

int qemu_quit(struct qemu *qemu, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(QUIT_DEADLINE_MS);

	if (qmp_execute(qemu->qmp, "quit", NULL, -1, NULL, err) < 0 && !qmp_gone(qemu->qmp))
		return -1;
	while (!qmp_gone(qemu->qmp)) {
		json_t *event;
		int result = qmp_next_event(qemu->qmp, clock_left_ms(deadline_ms), &event, err);

		if (result > 0)
			json_decref(event);
		else if (result == 0)
			return error_set(err, ERROR_HYPERVISOR,
				"QEMU of '%s' was asked to quit and has not ended for %d seconds",
				qemu->name, QUIT_DEADLINE_MS / 1000);
		else if (!qmp_gone(qemu->qmp))
			return -1;
	}
	return 0;
}
