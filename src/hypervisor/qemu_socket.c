#include "hypervisor/qemu_socket.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

int qemu_socket_missing(const char *directory, const char *vm, struct error *err)
{
	char names[200];

	list_sockets(directory, names, sizeof(names));
	return error_set(err, ERROR_LOCAL,
		"no virtual machine '%s': %s/%s.sock does not exist (there are: %s); start QEMU "
		"with -qmp unix:%s/%s.sock,server=on,wait=off",
		vm, directory, vm, names, directory, vm);
}

void qemu_socket_explain(const char *directory, const char *vm, const char *path, struct error *err)
{
	switch (errno) {
	case ENOENT:
		(void)qemu_socket_missing(directory, vm, err);
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

/* Whether a line of /proc/PID/status names @wanted; of "Uid:" the effective one is the second. */
static bool line_has(const char *line, const char *key, unsigned long wanted)
{
	size_t length = strlen(key);
	const char *place = line + length;
	char *end;

	if (strncmp(line, key, length) != 0)
		return false;
	for (;;) {
		unsigned long value = strtoul(place, &end, 10);

		if (end == place)
			return false;
		if (value == wanted)
			return true;
		place = end;
	}
}

bool qemu_socket_owner_in(int fd, gid_t group)
{
	struct ucred owner;
	socklen_t size = sizeof(owner);
	char path[64];
	char line[1024];
	bool found = false;
	FILE *file;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &size) < 0 || owner.pid <= 0)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)owner.pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	while (!found && fgets(line, sizeof(line), file))
		found = line_has(line, "Uid:", 0) || line_has(line, "Gid:", group) ||
			line_has(line, "Groups:", group);
	fclose(file);
	return found;
}
