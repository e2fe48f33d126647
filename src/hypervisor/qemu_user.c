#include "hypervisor/qemu_user.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define GROUPS_MOST 64

struct account {
	uid_t user;
	gid_t group;
};

static bool find_account(const char *name, struct account *account)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char text[4096];

	if (getpwnam_r(name, &entry, text, sizeof(text), &found) != 0 || !found)
		return false;
	*account = (struct account){entry.pw_uid, entry.pw_gid};
	return true;
}

static void name_of(uid_t user, char name[64])
{
	struct passwd entry;
	struct passwd *found = NULL;
	char text[4096];

	if (getpwuid_r(user, &entry, text, sizeof(text), &found) == 0 && found)
		snprintf(name, 64, "%s", entry.pw_name);
	else
		snprintf(name, 64, "%u", (unsigned)user);
}

/* @returns whether a line says user = "NAME" */
static bool read_setting(const char *settings, char name[64])
{
	FILE *file = fopen(settings, "re");
	char line[512];
	bool found = false;

	/* The last one counts; "+0" and "0" are numbers. */
	while (file && fgets(line, sizeof(line), file))
		found |= sscanf(line, " user = \"%63[^\"]\"", name) == 1;
	if (file)
		fclose(file);
	if (found) {
		unsigned number;

		if (sscanf(name, *name == '+' ? "+%u" : "%u", &number) == 1)
			name_of((uid_t)number, name);
	}
	return found;
}

bool qemu_user_of_libvirt(const char *settings, char name[64])
{
	static const char *const usual[] = {"libvirt-qemu", "qemu"};
	struct account account;

	if (read_setting(settings, name))
		return true;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		if (find_account(usual[i], &account)) {
			snprintf(name, 64, "%s", usual[i]);
			return true;
		}
	}
	return false;
}

bool qemu_user_of_sockets(const char *qmp_directory, char name[64])
{
	DIR *directory = opendir(qmp_directory);
	struct dirent *entry;
	struct stat about;
	bool found = false;
	uid_t user = 0;

	while (directory && user == 0 && (entry = readdir(directory))) {
		if (fstatat(dirfd(directory), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISSOCK(about.st_mode))
			continue;
		found = true;
		user = about.st_uid;
	}
	if (directory)
		closedir(directory);
	if (found)
		name_of(user, name);
	return found;
}

static bool is_member(const char *name, const struct account *account, gid_t group)
{
	gid_t groups[GROUPS_MOST];
	int count = GROUPS_MOST;

	if (getgrouplist(name, account->group, groups, &count) < 0)
		count = GROUPS_MOST;
	for (int i = 0; i < count; i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

bool qemu_user_in_group(const char *name, gid_t group)
{
	struct account account;

	if (!find_account(name, &account))
		return false;
	return account.user == 0 || is_member(name, &account, group);
}

bool qemu_user_may_open(const char *name, const char *path)
{
	struct account account;
	struct stat about;
	mode_t wanted;

	if (!find_account(name, &account) || stat(path, &about) < 0)
		return false;
	if (account.user == 0)
		return true;
	if (about.st_uid == account.user)
		wanted = S_IRUSR | S_IWUSR;
	else if (is_member(name, &account, about.st_gid))
		wanted = S_IRGRP | S_IWGRP;
	else
		wanted = S_IROTH | S_IWOTH;
	return (about.st_mode & wanted) == wanted;
}
