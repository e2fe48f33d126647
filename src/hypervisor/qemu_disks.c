#include "hypervisor/qemu_disks.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"

/* A job that is cancelled ends with the requests that are under way. */
#define ABANDON_TURNS   50
#define ABANDON_TURN_NS 100000000L

#define ID_BYTES 32

static void id_of(size_t index, char id[ID_BYTES])
{
	snprintf(id, ID_BYTES, QEMU_DISKS_PREFIX "%zu", index);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_ours(const char *id)
{
	return strncmp(id, QEMU_DISKS_PREFIX, strlen(QEMU_DISKS_PREFIX)) == 0;
}

/* @entry  of query-block. @returns 1: into @disk, 0: nothing that a guest writes to, -1 */
static int read_disk(const json_t *entry, struct qemu_disk *disk, struct error *err)
{
	const json_t *inserted = json_object_get(entry, "inserted");
	const json_t *bytes = json_object_get(json_object_get(inserted, "image"), "virtual-size");
	const char *node = text_of(inserted, "node-name");
	const char *name = text_of(entry, "device");

	if (!inserted || json_is_true(json_object_get(inserted, "ro")))
		return 0;
	if (!*name)
		name = node;
	if (!parse_is_name(name))
		return error_set(err, ERROR_HYPERVISOR,
			"a disk (%.200s) has no name of letters, digits, '.', '_' and '-' by which "
			"the other host could know it: give it one (-drive id=NAME, or -blockdev "
			"node-name=NAME)",
			text_of(inserted, "file"));
	if (strlen(node) >= sizeof(disk->node) || json_integer_value(bytes) < 0)
		return error_set(err, ERROR_HYPERVISOR, "QEMU describes disk '%s' oddly", name);
	snprintf(disk->name, sizeof(disk->name), "%s", name);
	snprintf(disk->node, sizeof(disk->node), "%s", node);
	disk->bytes = (uint64_t)json_integer_value(bytes);
	return 1;
}

static int read_disks(const json_t *answer, struct qemu_disks *disks, struct error *err)
{
	const json_t *entry;
	size_t i;

	disks->count = 0;
	json_array_foreach(answer, i, entry)
	{
		struct qemu_disk disk;
		int found = read_disk(entry, &disk, err);

		if (found < 0)
			return -1;
		if (found == 0)
			continue;
		if (disks->count == QEMU_DISKS_MOST)
			return error_set(err, ERROR_HYPERVISOR,
				"there are more than %d disks, too many to copy", QEMU_DISKS_MOST);
		disks->list[disks->count++] = disk;
	}
	return 0;
}

static int find_all(struct qmp *qmp, struct qemu_disks *disks, struct error *err)
{
	json_t *answer;
	int result;

	if (qmp_execute(qmp, "query-block", NULL, -1, &answer, err) < 0)
		return -1;
	result = read_disks(answer, disks, err);
	json_decref(answer);
	return result;
}

int qemu_disks_find(struct qmp *qmp, struct qemu_disks *disks, struct error *err)
{
	if (find_all(qmp, disks, err) < 0)
		return -1;
	if (disks->count == 0)
		return error_set(err, ERROR_HYPERVISOR,
			"it has no disk that could be copied: migrate it without --disks");
	return 0;
}

json_t *qemu_disks_encode(const struct qemu_disks *disks)
{
	json_t *list = json_array();

	for (size_t i = 0; i < disks->count; i++)
		json_array_append_new(list,
			json_pack("{ss sI}", "name", disks->list[i].name, "bytes",
				(json_int_t)disks->list[i].bytes));
	return list;
}

int qemu_disks_decode(const json_t *value, struct qemu_disks *disks, struct error *err)
{
	const json_t *entry;
	size_t i;

	disks->count = 0;
	if (!json_is_array(value) || json_array_size(value) > QEMU_DISKS_MOST)
		return error_set(
			err, ERROR_USAGE, "'disks' is a list of at most %d disks", QEMU_DISKS_MOST);
	json_array_foreach(value, i, entry)
	{
		struct qemu_disk *disk = &disks->list[disks->count];
		const json_t *bytes = json_object_get(entry, "bytes");
		const char *name = text_of(entry, "name");

		if (!parse_is_name(name) || !json_is_integer(bytes) ||
			json_integer_value(bytes) < 0)
			return error_set(
				err, ERROR_USAGE, "a disk has a 'name' and a size in 'bytes'");
		snprintf(disk->name, sizeof(disk->name), "%s", name);
		*disk->node = '\0';
		disk->bytes = (uint64_t)json_integer_value(bytes);
		disks->count++;
	}
	return 0;
}

static int match(const struct qemu_disks *here, struct qemu_disk *disk, struct error *err)
{
	for (size_t i = 0; i < here->count; i++) {
		const struct qemu_disk *found = &here->list[i];

		if (strcmp(found->name, disk->name) != 0)
			continue;
		if (found->bytes != disk->bytes)
			return error_set(err, ERROR_HYPERVISOR,
				"disk '%s' has %llu bytes there, and %llu on the source: make its "
				"image anew there, of the same size (qemu-img create)",
				disk->name, (unsigned long long)found->bytes,
				(unsigned long long)disk->bytes);
		snprintf(disk->node, sizeof(disk->node), "%s", found->node);
		return 0;
	}
	return error_set(err, ERROR_HYPERVISOR,
		"the QEMU there has no disk '%s' that can be written to: start it with the same "
		"disks as the source, by the same ids, each with an image of the same size",
		disk->name);
}

int qemu_disks_match(struct qmp *qmp, struct qemu_disks *theirs, struct error *err)
{
	struct qemu_disks here;

	if (find_all(qmp, &here, err) < 0)
		return -1;
	for (size_t i = 0; i < theirs->count; i++) {
		if (match(&here, &theirs->list[i], err) < 0)
			return -1;
	}
	return 0;
}

int qemu_disks_export(
	struct qmp *qmp, const struct qemu_disks *disks, const char *path, struct error *err)
{
	struct error ignored;
	char id[ID_BYTES];

	if (qmp_execute(qmp, "nbd-server-start",
		    json_pack("{s:{s:s, s:{s:s}}}", "addr", "type", "unix", "data", "path", path),
		    -1, NULL, err) < 0)
		return error_prefix(err, "cannot serve the disks there");
	for (size_t i = 0; i < disks->count; i++) {
		const struct qemu_disk *disk = &disks->list[i];

		id_of(i, id);
		if (qmp_execute(qmp, "block-export-add",
			    json_pack("{s:s, s:s, s:s, s:s, s:b}", "type", "nbd", "id", id,
				    "node-name", disk->node, "name", disk->name, "writable", 1),
			    -1, NULL, err) == 0)
			continue;
		(void)qemu_disks_withdraw(qmp, &ignored);
		return error_prefix(err, "cannot serve disk '%s' there", disk->name);
	}
	return 0;
}

int qemu_disks_withdraw(struct qmp *qmp, struct error *err)
{
	return qmp_execute(qmp, "nbd-server-stop", NULL, -1, NULL, err);
}

static int copy(struct qmp *qmp, const struct qemu_disk *disk, const char *id, const char *path,
	struct error *err)
{
	if (qmp_execute(qmp, "blockdev-add",
		    json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s}", "driver", "nbd", "node-name",
			    id, "server", "type", "unix", "path", path, "export", disk->name,
			    "discard", "unmap"),
		    -1, NULL, err) < 0)
		return -1;
	/* What has ended is kept, with its error, until it is dismissed. */
	return qmp_execute(qmp, "blockdev-mirror",
		json_pack("{s:s, s:s, s:s, s:s, s:b}", "job-id", id, "device", disk->node, "target",
			id, "sync", "full", "auto-dismiss", 0),
		-1, NULL, err);
}

int qemu_disks_copy(
	struct qmp *qmp, const struct qemu_disks *disks, const char *path, struct error *err)
{
	char id[ID_BYTES];

	for (size_t i = 0; i < disks->count; i++) {
		id_of(i, id);
		if (copy(qmp, &disks->list[i], id, path, err) < 0)
			return error_prefix(err, "cannot copy disk '%s'", disks->list[i].name);
	}
	return 0;
}

/* Of query-jobs; NULL: there is none of that id */
static const json_t *find_job(const json_t *jobs, const char *id)
{
	const json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job)
	{
		if (strcmp(text_of(job, "id"), id) == 0)
			return job;
	}
	return NULL;
}

static bool has_status(const json_t *job, const char *status)
{
	return strcmp(text_of(job, "status"), status) == 0;
}

/* @complete  whether it may have ended, having done all */
static int check_job(const json_t *job, bool complete, struct error *err)
{
	const char *why = text_of(job, "error");

	if (job && !*why && !has_status(job, "aborting") &&
		(complete || !has_status(job, "concluded")))
		return 0;
	return error_set(err, ERROR_HYPERVISOR, "the copy of a disk failed: %.300s",
		*why ? why : "it was ended");
}

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

int qemu_disks_progress(
	struct qmp *qmp, size_t count, struct qemu_disks_progress *progress, struct error *err)
{
	char id[ID_BYTES];
	json_t *jobs;
	int result = 0;

	*progress = (struct qemu_disks_progress){.ready = true};
	if (qmp_execute(qmp, "query-jobs", NULL, -1, &jobs, err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++) {
		const json_t *job;

		id_of(i, id);
		job = find_job(jobs, id);
		result = check_job(job, false, err);
		progress->total_bytes += number(job, "total-progress");
		progress->copied_bytes += number(job, "current-progress");
		progress->ready &= has_status(job, "ready");
	}
	json_decref(jobs);
	return result;
}

/* Of a copy that is complete: what cannot be removed does no harm, and qemu_disks_abandon() finds
 * it. */
static void forget(struct qmp *qmp, const char *id)
{
	struct error ignored;

	(void)qmp_execute(qmp, "job-dismiss", json_pack("{s:s}", "id", id), -1, NULL, &ignored);
	(void)qmp_execute(
		qmp, "blockdev-del", json_pack("{s:s}", "node-name", id), -1, NULL, &ignored);
}

/* @returns 1: it is complete, 0: not yet, -1 */
static int complete(struct qmp *qmp, const json_t *job, const char *id, struct error *err)
{
	struct error ignored;

	if (check_job(job, true, err) < 0)
		return -1;
	if (has_status(job, "concluded"))
		return 1;
	/* Of a mirror that is ready this is its good end: the source keeps its own disk. It may
	 * have come to it since it was asked; the next look tells. */
	if (has_status(job, "ready"))
		(void)qmp_execute(qmp, "block-job-cancel", json_pack("{s:s}", "device", id), -1,
			NULL, &ignored);
	return 0;
}

int qemu_disks_complete(struct qmp *qmp, size_t count, struct error *err)
{
	char id[ID_BYTES];
	size_t complete_count = 0;
	json_t *jobs;

	if (qmp_execute(qmp, "query-jobs", NULL, -1, &jobs, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		int done;

		id_of(i, id);
		done = complete(qmp, find_job(jobs, id), id, err);
		if (done < 0) {
			json_decref(jobs);
			return -1;
		}
		complete_count += (size_t)done;
	}
	json_decref(jobs);
	if (complete_count < count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		id_of(i, id);
		forget(qmp, id);
	}
	return 1;
}

static void remove_nodes(struct qmp *qmp)
{
	struct error ignored;
	json_t *nodes;
	const json_t *node;
	size_t i;

	if (qmp_execute(qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), -1, &nodes,
		    &ignored) < 0)
		return;
	json_array_foreach(nodes, i, node)
	{
		const char *id = text_of(node, "node-name");

		if (is_ours(id))
			(void)qmp_execute(qmp, "blockdev-del", json_pack("{s:s}", "node-name", id),
				-1, NULL, &ignored);
	}
	json_decref(nodes);
}

static void remove_exports(struct qmp *qmp)
{
	struct error ignored;
	json_t *exports;
	const json_t *entry;
	bool exported = false;
	size_t i;

	if (qmp_execute(qmp, "query-block-exports", NULL, -1, &exports, &ignored) < 0)
		return;
	json_array_foreach(exports, i, entry)
	{
		exported |= is_ours(text_of(entry, "id"));
	}
	json_decref(exports);
	if (exported)
		(void)qemu_disks_withdraw(qmp, &ignored);
}

static bool no_jobs(struct qmp *qmp)
{
	struct error ignored;
	size_t count = 0;
	json_t *jobs;
	const json_t *job;
	size_t i;

	if (qmp_execute(qmp, "query-jobs", NULL, -1, &jobs, &ignored) < 0)
		return qmp_gone(qmp);
	json_array_foreach(jobs, i, job)
	{
		const char *id = text_of(job, "id");

		if (!is_ours(id))
			continue;
		count++;
		if (has_status(job, "concluded"))
			(void)qmp_execute(qmp, "job-dismiss", json_pack("{s:s}", "id", id), -1,
				NULL, &ignored);
		else
			(void)qmp_execute(qmp, "block-job-cancel",
				json_pack("{s:s, s:b}", "device", id, "force", 1), -1, NULL,
				&ignored);
	}
	json_decref(jobs);
	return count == 0;
}

bool qemu_disks_abandon(struct qmp *qmp)
{
	struct timespec turn = {.tv_nsec = ABANDON_TURN_NS};
	bool ended = no_jobs(qmp);

	for (int turns = 0; !ended && turns < ABANDON_TURNS; turns++) {
		nanosleep(&turn, NULL);
		ended = no_jobs(qmp);
	}
	remove_nodes(qmp);
	remove_exports(qmp);
	return ended;
}
