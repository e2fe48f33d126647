#include "hypervisor/qemu_check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "hypervisor/qemu_figures.h"

/* The newer side must receive: QEMU's streams are readable upwards only. */
int qemu_check_version(
	enum migration_role role, const char *own, const char *other, struct error *err)
{
	const char *source = role == ROLE_SOURCE ? own : other;
	const char *destination = role == ROLE_SOURCE ? other : own;
	int source_major, source_minor, major, minor;

	if (sscanf(source, "%4d.%4d", &source_major, &source_minor) != 2 ||
		sscanf(destination, "%4d.%4d", &major, &minor) != 2)
		return error_set(
			err, ERROR_PEER, "the other host does not tell its QEMU's version");
	if (major > source_major || (major == source_major && minor >= source_minor))
		return 0;
	return error_set(err, ERROR_HYPERVISOR,
		"the destination's QEMU is older (%d.%d) than the source's (%d.%d): install the "
		"same version or a newer one there",
		major, minor, source_major, source_minor);
}

/* What a person can do about a source whose guest is in @status. */
static const char *remedy(const char *status)
{
	static const struct {
		const char *status;
		const char *remedy;
	} remedies[] = {
		{"paused", "resume it first (QMP command cont)"},
		{"prelaunch", "start it first (QMP command cont)"},
		{"suspended", "wake it first (QMP command system_wakeup)"},
		{"inmigrate", "it waits for a migration itself; migrate to it, not from it"},
		{"postmigrate", "its guest has already moved to another QEMU"},
		{"shutdown", "the guest has shut down"},
		{"io-error", "mend its disk and resume it (QMP command cont)"},
	};

	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
		if (strcmp(remedies[i].status, status) == 0)
			return remedies[i].remedy;
	}
	return "only a running guest is migrated";
}

static bool under_way(const struct migration_figures *figures)
{
	switch (figures->state) {
	case MIGRATION_NONE:
	case MIGRATION_COMPLETED:
	case MIGRATION_FAILED:
		return false;
	case MIGRATION_CANCELLED:
		return qemu_figures_cancelling(figures);
	case MIGRATION_SETUP:
	case MIGRATION_PRECOPY:
	case MIGRATION_POSTCOPY:
	case MIGRATION_PAUSED:
	case MIGRATION_OTHER:
		break;
	}
	return true;
}

static int check_source(const char *vm, const struct migration_figures *figures, const char *status,
	bool running, struct error *err)
{
	if (under_way(figures))
		return error_set(err, ERROR_HYPERVISOR,
			"'%s' is already migrating (QEMU says '%s'): wait for its end, or cancel "
			"that migration",
			vm, figures->status);
	if (!running)
		return error_set(err, ERROR_HYPERVISOR,
			"the guest of '%s' is not running (QEMU says '%s'): %s", vm, status,
			remedy(status));
	return 0;
}

/* @listens  QEMU already has a socket of its own for the migration */
static int check_destination(const char *vm, const struct migration_figures *figures,
	const char *status, bool listens, struct error *err)
{
	if (strcmp(status, "inmigrate") != 0)
		return error_set(err, ERROR_HYPERVISOR,
			"'%s' is not waiting for a migration (QEMU says '%s'): start it with "
			"-incoming defer",
			vm, status);
	if (listens)
		return error_set(err, ERROR_HYPERVISOR,
			"'%s' already listens on a socket of its own for a migration: start it "
			"anew with -incoming defer",
			vm);
	if (figures->state != MIGRATION_NONE)
		return error_set(err, ERROR_HYPERVISOR,
			"'%s' is already in a migration (QEMU says '%s'): start it anew with "
			"-incoming defer",
			vm, figures->status);
	return 0;
}

int qemu_check_state(struct qmp *qmp, const char *vm, enum migration_role role, struct error *err)
{
	struct migration_figures figures;
	json_t *migration;
	json_t *guest;
	const char *status;
	int result;

	if (qmp_execute(qmp, "query-migrate", NULL, -1, &migration, err) < 0)
		return -1;
	if (qmp_execute(qmp, "query-status", NULL, -1, &guest, err) < 0) {
		json_decref(migration);
		return -1;
	}
	qemu_figures_read(migration, 0, &figures);
	status = json_string_value(json_object_get(guest, "status"));
	status = status ? status : "";
	if (role == ROLE_SOURCE)
		result = check_source(
			vm, &figures, status, json_is_true(json_object_get(guest, "running")), err);
	else
		result = check_destination(vm, &figures, status,
			json_object_get(migration, "socket-address") != NULL, err);
	json_decref(migration);
	json_decref(guest);
	return result;
}
