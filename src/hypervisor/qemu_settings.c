#include "hypervisor/qemu_settings.h"

#include <stdbool.h>
#include <string.h>

enum wish {
	ON,          /* needed: an error where QEMU has no such capability */
	ON_POSTCOPY, /* needed in the modes that can switch to post-copy, off in the other */
	ON_PARALLEL, /* needed where it is asked for, else off */
	ON_PREEMPT,
	ON_DISKS, /* the same, of the source only */
	OFF,      /* off where it exists; the rest of QEMU's capabilities are the operator's */
};

/* qapi/migration.json, MigrationCapability. */
static const struct {
	const char *name;
	enum wish wish;
} capabilities[] = {
	{"events", ON},
	{"return-path", ON},
	{"postcopy-ram", ON_POSTCOPY},
	/* More connections than the one descriptor can be. */
	{"multifd", ON_PARALLEL},
	{"postcopy-preempt", ON_PREEMPT},
	{"zero-copy-send", OFF},
	{"rdma-pin-all", OFF},
	/* Waits for a migrate-continue, which nobody would send but after disks. */
	{"pause-before-switchover", ON_DISKS},
	/* Gives back the source's memory, which a recovery has to send again. */
	{"release-ram", OFF},
	/* QEMU refuses them with post-copy, or they mean something else than moving a guest. */
	{"compress", OFF},
	{"background-snapshot", OFF},
	{"x-colo", OFF},
	{"x-ignore-shared", OFF},
	{"mapped-ram", OFF},
	/* Disks do not travel in the main stream. */
	{"block", OFF},
};

/* What libvirt sets for "no limit": the most whole MiB that fit 63 bits. */
static const json_int_t unlimited_bytes_per_s = (INT64_MAX >> 20) << 20;

/* In the form of migrate-set-capabilities. */
static void add_capability(json_t *list, const char *name, bool on)
{
	json_array_append_new(list, json_pack("{s:s, s:b}", "capability", name, "state", on));
}

static const json_t *find_capability(const json_t *all, const char *name)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(all, i, entry)
	{
		const char *found = json_string_value(json_object_get(entry, "capability"));

		if (found && strcmp(found, name) == 0)
			return entry;
	}
	return NULL;
}

struct need {
	enum migration_role role;
	enum migration_mode mode;
	const struct streams *streams;
};

static bool is_needed(enum wish wish, const struct need *need)
{
	switch (wish) {
	case ON:
		return true;
	case ON_POSTCOPY:
		return need->mode != MODE_PRECOPY;
	case ON_PARALLEL:
		return need->streams->parallel_count > 0;
	case ON_PREEMPT:
		return need->streams->preempt;
	case ON_DISKS:
		return need->streams->disks && need->role == ROLE_SOURCE;
	case OFF:
		break;
	}
	return false;
}

/* What of @all has to change into @wanted, and what it was into @found. */
static int compare_capabilities(const json_t *all, const struct need *need, json_t *wanted,
	json_t *found, struct error *err)
{
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		const char *name = capabilities[i].name;
		const json_t *entry = find_capability(all, name);
		bool on = is_needed(capabilities[i].wish, need);
		bool is_on = json_is_true(json_object_get(entry, "state"));

		if (on && !entry)
			return error_set(err, ERROR_HYPERVISOR,
				"this QEMU has no migration capability '%s': install a newer one",
				name);
		if (on == is_on)
			continue;
		add_capability(wanted, name, on);
		add_capability(found, name, is_on);
	}
	return 0;
}

/* The same words come for every reason; QEMU tells the reason on its stderr only. */
static void add_remedy(struct error *err)
{
	if (strstr(err->message, "Postcopy is not supported"))
		error_set(err, ERROR_HYPERVISOR,
			"this QEMU cannot do post-copy here (Postcopy is not supported), most "
			"often because the kernel refuses it userfaultfd: on its host run `sysctl "
			"vm.unprivileged_userfaultfd=1` or QEMU as root, or use --mode precopy "
			"(its stderr has the reason)");
}

static int apply_capabilities(
	struct qemu_settings *settings, struct qmp *qmp, const struct need *need, struct error *err)
{
	json_t *all;
	json_t *wanted;
	json_t *found;
	int result;

	if (qmp_execute(qmp, "query-migrate-capabilities", NULL, -1, &all, err) < 0)
		return -1;
	wanted = json_array();
	found = json_array();
	result = compare_capabilities(all, need, wanted, found, err);
	json_decref(all);
	if (result == 0 && json_array_size(wanted) > 0) {
		settings->found_capabilities = json_incref(found);
		result = qmp_execute(qmp, "migrate-set-capabilities",
			json_pack("{s:O}", "capabilities", wanted), -1, NULL, err);
		if (result < 0)
			add_remedy(err);
	}
	json_decref(wanted);
	json_decref(found);
	return result;
}

/* Into @wanted and @found where a parameter exists and differs. */
static void compare_parameter(
	const json_t *all, const char *name, json_int_t value, json_t *wanted, json_t *found)
{
	json_t *is = json_object_get(all, name);

	if (!is || json_integer_value(is) == value)
		return;
	json_object_set_new(wanted, name, json_integer(value));
	json_object_set(found, name, is);
}

static void compare_source_parameters(
	const json_t *all, struct qemu_settings *settings, json_t *wanted)
{
	json_int_t limit_ms = json_integer_value(json_object_get(all, "downtime-limit"));

	compare_parameter(
		all, "max-bandwidth", unlimited_bytes_per_s, wanted, settings->found_parameters);
	/* A limit here stalls every page fault for up to 100 ms. */
	compare_parameter(all, "max-postcopy-bandwidth", 0, wanted, settings->found_parameters);
	settings->downtime_limit_ms = limit_ms > 0 ? (uint64_t)limit_ms : 0;
}

static int apply_parameters(
	struct qemu_settings *settings, struct qmp *qmp, const struct need *need, struct error *err)
{
	uint64_t parallel_count = need->streams->parallel_count;
	json_t *all;
	json_t *wanted;
	int result = 0;

	if (need->role == ROLE_DESTINATION && parallel_count == 0)
		return 0;
	if (qmp_execute(qmp, "query-migrate-parameters", NULL, -1, &all, err) < 0)
		return -1;
	wanted = json_object();
	settings->found_parameters = json_object();
	if (need->role == ROLE_SOURCE)
		compare_source_parameters(all, settings, wanted);
	if (parallel_count > 0)
		compare_parameter(all, "multifd-channels", (json_int_t)parallel_count, wanted,
			settings->found_parameters);
	json_decref(all);
	if (json_object_size(wanted) > 0)
		result = qmp_execute(
			qmp, "migrate-set-parameters", json_incref(wanted), -1, NULL, err);
	json_decref(wanted);
	return result;
}

int qemu_settings_apply(struct qemu_settings *settings, struct qmp *qmp, enum migration_role role,
	enum migration_mode mode, const struct streams *streams, struct error *err)
{
	struct need need = {role, mode, streams};

	if (apply_capabilities(settings, qmp, &need, err) == 0 &&
		apply_parameters(settings, qmp, &need, err) == 0)
		return 0;
	qemu_settings_restore(settings, qmp);
	return -1;
}

void qemu_settings_restore(struct qemu_settings *settings, struct qmp *qmp)
{
	struct error ignored;

	if (!qmp_gone(qmp) && json_array_size(settings->found_capabilities) > 0)
		qmp_execute(qmp, "migrate-set-capabilities",
			json_pack("{s:O}", "capabilities", settings->found_capabilities), -1, NULL,
			&ignored);
	if (!qmp_gone(qmp) && json_object_size(settings->found_parameters) > 0)
		qmp_execute(qmp, "migrate-set-parameters", json_incref(settings->found_parameters),
			-1, NULL, &ignored);
	qemu_settings_fini(settings);
}

void qemu_settings_fini(struct qemu_settings *settings)
{
	json_decref(settings->found_capabilities);
	json_decref(settings->found_parameters);
	settings->found_capabilities = NULL;
	settings->found_parameters = NULL;
}

json_t *qemu_settings_found(const struct qemu_settings *settings)
{
	return json_pack("{sO* sO*}", "capabilities", settings->found_capabilities, "parameters",
		settings->found_parameters);
}

void qemu_settings_take_over(struct qemu_settings *settings, const json_t *found)
{
	json_t *list = json_object_get(found, "capabilities");
	json_t *parameters = json_object_get(found, "parameters");

	qemu_settings_fini(settings);
	if (json_is_array(list))
		settings->found_capabilities = json_incref(list);
	if (json_is_object(parameters))
		settings->found_parameters = json_incref(parameters);
}
