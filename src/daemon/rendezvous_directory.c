#include "daemon/rendezvous_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define PATH_BYTES 512
/* More than a hypervisor makes in a directory of its migration; the rest is left, and told */
#define ENTRIES_MOST 1024

const char *rendezvous_socket_name(enum rendezvous_socket which)
{
	static const char *const names[] = {"migrate", "disks"};

	return names[which];
}

bool rendezvous_is_token(const char *text)
{
	return strlen(text) == RENDEZVOUS_TOKEN_CHARACTERS &&
		strspn(text, "0123456789abcdef") == RENDEZVOUS_TOKEN_CHARACTERS;
}

void rendezvous_socket_path(const struct config *config, const char *token,
	enum rendezvous_socket which, char path[CONFIG_SOCKET_BYTES])
{
	/* config_load() has seen to it that it is short enough. */
	snprintf(path, CONFIG_SOCKET_BYTES, "%s/m/%.*s/%s.sock", config->runtime_directory,
		RENDEZVOUS_TOKEN_CHARACTERS, token, rendezvous_socket_name(which));
}

static void all_path(const struct config *config, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/m", config->runtime_directory);
}

static void token_path(const struct config *config, const char *token, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/m/%.*s", config->runtime_directory,
		RENDEZVOUS_TOKEN_CHARACTERS, token);
}

int rendezvous_directory_make(const struct config *config, const char *token,
	enum rendezvous_side side, struct error *err)
{
	/* Who may write could put something else where culvertd is about to listen. */
	mode_t mode = side == RENDEZVOUS_SOURCE ? 0750 : 02770;
	char path[PATH_BYTES];

	/* Who is in the group may go through, and learns no other's token. */
	all_path(config, path);
	if (mkdir(path, 0711) < 0 && errno != EEXIST)
		return error_errno(err, "cannot make %s", path);
	token_path(config, token, path);
	if (mkdir(path, 0700) < 0)
		return error_errno(err, "cannot make %s", path);
	/* The group first: only then may it enter. */
	if (chown(path, (uid_t)-1, config->hypervisor_group) == 0 && chmod(path, mode) == 0)
		return 0;
	error_errno(err, "cannot give %s to hypervisor_group", path);
	(void)rmdir(path);
	return -1;
}

void rendezvous_directory_remove(const struct config *config, const char *token)
{
	char path[PATH_BYTES];
	struct dirent *entry;
	DIR *directory;

	token_path(config, token, path);
	/* Nobody adds to it while it is emptied. */
	(void)chmod(path, 0700);
	directory = opendir(path);
	for (int i = 0; directory && i < ENTRIES_MOST && (entry = readdir(directory)); i++) {
		if (unlinkat(dirfd(directory), entry->d_name, 0) < 0)
			(void)unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
	}
	if (directory)
		closedir(directory);
	if (rmdir(path) < 0 && errno != ENOENT)
		log_event_limited(LOG_WARNING, "rendezvous.left", "path=%s reason=\"%s\"", path,
			strerror(errno));
}

void rendezvous_directories_sweep(const struct config *config)
{
	char path[PATH_BYTES];
	struct dirent *entry;
	DIR *directory;

	all_path(config, path);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		if (rendezvous_is_token(entry->d_name))
			rendezvous_directory_remove(config, entry->d_name);
	}
	if (directory)
		closedir(directory);
}
