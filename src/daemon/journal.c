#include "daemon/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/parse.h"

#define LONGEST_BYTES 65536

static void path_of(
	const char *runtime_directory, const struct migration_plan *plan, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/migrations/%s-%s.json", runtime_directory, plan->id,
		plan->incoming ? "incoming" : "outgoing");
}

static json_t *encode(const struct journal_entry *entry)
{
	const struct migration_plan *plan = &entry->plan;

	return json_pack("{ss sb ss ss ss ss sb sb sb sb sI sb sO* sO*}", "id", plan->id,
		"incoming", plan->incoming, "vm", plan->vm, "destination_vm", plan->destination_vm,
		"host", plan->host, "mode", migration_mode_name(plan->mode), "quit_source",
		plan->quit_source, "started", entry->started, "halted", entry->halted, "kept",
		entry->kept, "bandwidth_bytes_per_s", (json_int_t)plan->bandwidth, "preempt",
		plan->streams.preempt, "found", entry->found, "libvirt", entry->libvirt);
}

/* Whole or not at all: a full disk leaves what was there before. */
static int replace(const char *path, const json_t *value, struct error *err)
{
	char fresh[PATH_MAX + 4];
	CLEANUP_FD int fd = -1;
	int result;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "cannot write %s", fresh);
	result = json_dumpfd(value, fd, JSON_INDENT(1));
	if (result == 0 && rename(fresh, path) == 0)
		return 0;
	error_errno(err, "cannot write %s", path);
	(void)unlink(fresh);
	return -1;
}

int journal_write(
	const char *runtime_directory, const struct journal_entry *entry, struct error *err)
{
	char path[PATH_MAX];
	json_t *value;
	int result;

	snprintf(path, sizeof(path), "%s/migrations", runtime_directory);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_errno(err, "cannot make %s", path);
	path_of(runtime_directory, &entry->plan, path);
	value = encode(entry);
	if (!value)
		return error_set(err, ERROR_LOCAL, "no memory");
	result = replace(path, value, err);
	json_decref(value);
	return result;
}

void journal_remove(const char *runtime_directory, const struct migration_plan *plan)
{
	char path[PATH_MAX];

	path_of(runtime_directory, plan, path);
	(void)unlink(path);
}

bool journal_has(const char *runtime_directory, const struct migration_plan *plan)
{
	char path[PATH_MAX];

	path_of(runtime_directory, plan, path);
	return access(path, F_OK) == 0;
}

static int copy_name(char place[64], const char *text, struct error *err)
{
	if (!parse_is_name(text))
		return error_set(err, ERROR_LOCAL, "'%.63s' is not a name", text);
	snprintf(place, 64, "%s", text);
	return 0;
}

/* entry->found and entry->libvirt are borrowed from @value. */
static int decode(json_t *value, struct journal_entry *entry, struct error *err)
{
	struct migration_plan *plan = &entry->plan;
	const char *id, *vm, *destination_vm, *host, *mode;
	int incoming, quit_source, started, halted, kept = false, preempt = false;
	json_int_t bandwidth = 0;
	json_error_t why;

	*entry = (struct journal_entry){0};
	if (json_unpack_ex(value, &why, 0, "{ss sb ss ss ss ss sb sb sb s?b s?I s?b s?o s?o}", "id",
		    &id, "incoming", &incoming, "vm", &vm, "destination_vm", &destination_vm,
		    "host", &host, "mode", &mode, "quit_source", &quit_source, "started", &started,
		    "halted", &halted, "kept", &kept, "bandwidth_bytes_per_s", &bandwidth,
		    "preempt", &preempt, "found", &entry->found, "libvirt", &entry->libvirt) < 0)
		return error_set(err, ERROR_LOCAL, "%s", why.text);
	if (!migration_is_id(id))
		return error_set(err, ERROR_LOCAL, "'id' is not 8 hex digits");
	memcpy(plan->id, id, sizeof(plan->id));
	plan->incoming = incoming;
	plan->quit_source = quit_source;
	plan->bandwidth = bandwidth > 0 ? (uint64_t)bandwidth : 0;
	entry->started = started;
	entry->halted = halted;
	plan->streams.preempt = preempt;
	entry->kept = kept;
	if (copy_name(plan->vm, vm, err) < 0 ||
		copy_name(plan->destination_vm, destination_vm, err) < 0 ||
		copy_name(plan->host, host, err) < 0)
		return -1;
	return migration_mode_parse(mode, &plan->mode, err);
}

static void read_one(
	const char *path, void (*take)(void *, const struct journal_entry *), void *argument)
{
	struct journal_entry entry;
	struct error err = {0};
	struct stat status;
	json_error_t why;
	json_t *value = NULL;

	if (stat(path, &status) < 0 || status.st_size > LONGEST_BYTES)
		error_set(&err, ERROR_LOCAL, "it is gone, or too long");
	else if (!(value = json_load_file(path, 0, &why)))
		error_set(&err, ERROR_LOCAL, "%s", why.text);
	else if (decode(value, &entry, &err) == 0)
		take(argument, &entry);
	if (err.code != ERROR_NONE)
		log_event(LOG_WARNING, "journal.unreadable", "path=%s reason=\"%s\"", path,
			err.message);
	json_decref(value);
}

void journal_read(const char *runtime_directory,
	void (*take)(void *argument, const struct journal_entry *entry), void *argument)
{
	char directory[PATH_MAX];
	char path[PATH_MAX + 260];
	const struct dirent *file;
	DIR *files;

	snprintf(directory, sizeof(directory), "%s/migrations", runtime_directory);
	files = opendir(directory);
	if (!files && errno != ENOENT)
		log_event(LOG_ERROR, "journal.unreadable", "path=%s reason=\"%s\"", directory,
			strerror(errno));
	while (files && (file = readdir(files))) {
		size_t length = strlen(file->d_name);

		/* Of a daemon that was killed while it wrote */
		if (length > 4 && strcmp(file->d_name + length - 4, ".new") == 0) {
			(void)unlinkat(dirfd(files), file->d_name, 0);
			continue;
		}
		if (length < 5 || strcmp(file->d_name + length - 5, ".json") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, file->d_name);
		read_one(path, take, argument);
	}
	if (files)
		closedir(files);
}
