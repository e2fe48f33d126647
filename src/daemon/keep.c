#include "daemon/keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/descriptor.h"

/* What was handed over at start, with its names; -1 and NULL once it is taken */
static struct {
	int count; /* -1: not looked at yet */
	int *fds;
	char **names;
} kept = {.count = -1};

static void look(void)
{
	if (kept.count >= 0)
		return;
	kept.count = sd_listen_fds_with_names(1, &kept.names);
	if (kept.count > 0)
		kept.fds = calloc((size_t)kept.count, sizeof(*kept.fds));
	if (kept.count < 0 || !kept.fds)
		kept.count = 0;
	for (int i = 0; i < kept.count; i++)
		kept.fds[i] = SD_LISTEN_FDS_START + i;
}

static void remove_by_name(const char *name)
{
	char state[160];

	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	(void)sd_notify(0, state);
}

void keep_put(const char *id, const char *what, int fd)
{
	char state[160];

	snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s-%s", id, what);
	(void)sd_pid_notify_with_fds(0, 0, state, &fd, 1);
}

void keep_drop(const char *id, const char *what)
{
	char name[80];

	snprintf(name, sizeof(name), "%s-%s", id, what);
	remove_by_name(name);
}

void keep_drop_all(const char *id)
{
	keep_drop(id, KEEP_QMP);
	keep_drop(id, KEEP_SPARE);
	keep_drop(id, KEEP_PEEK);
}

int keep_take(const char *id, const char *what)
{
	char name[80];

	look();
	snprintf(name, sizeof(name), "%s-%s", id, what);
	for (int i = 0; i < kept.count; i++) {
		int fd = kept.fds[i];

		if (fd < 0 || strcmp(kept.names[i], name) != 0)
			continue;
		kept.fds[i] = -1;
		return fd;
	}
	return -1;
}

void keep_leave(const char *id)
{
	size_t length = strlen(id);

	look();
	for (int i = 0; i < kept.count; i++) {
		if (kept.fds[i] >= 0 && strncmp(kept.names[i], id, length) == 0 &&
			kept.names[i][length] == '-')
			close(fd_take(&kept.fds[i]));
	}
}

void keep_start(void)
{
	look();
	for (int i = 0; i < kept.count; i++) {
		if (kept.fds[i] >= 0) {
			close(kept.fds[i]);
			remove_by_name(kept.names[i]);
		}
		free(kept.names[i]);
	}
	free(kept.names);
	free(kept.fds);
	kept.count = 0;
	(void)sd_notify(0, "READY=1");
}
