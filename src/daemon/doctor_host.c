#include "daemon/doctor_host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define EXPIRES_SOON_S ((int64_t)30 * 24 * 3600)
/* Linux' own default for sending: less was set by somebody */
#define BUFFER_LEAST_BYTES ((uint64_t)4 << 20)
/* What every test runs with, and the first libvirt that goes on with an interrupted post-copy */
#define QEMU_LEAST    "7.2"
#define LIBVIRT_LEAST "8.5"

struct finding doctor_host_userfaultfd(const struct userfaultfd *userfaultfd)
{
	static const char check[] = "userfaultfd";
	struct finding finding;

	if (userfaultfd->missing) {
		finding = finding_make(check, FINDING_BAD, "this kernel has no userfaultfd");
		finding_remedy(&finding,
			"use a kernel with CONFIG_USERFAULTFD, or migrate here with --mode "
			"precopy only");
		return finding;
	}
	if (userfaultfd->unprivileged)
		return finding_make(check, FINDING_GOOD,
			"any QEMU may receive post-copy (vm.unprivileged_userfaultfd = 1)");
	if (strcmp(userfaultfd->user, "root") == 0)
		return finding_make(
			check, FINDING_GOOD, "QEMU runs as root and may receive post-copy");
	if (*userfaultfd->user && userfaultfd->device)
		return finding_make(check, FINDING_GOOD,
			"QEMU, as '%s', may receive post-copy (/dev/userfaultfd)",
			userfaultfd->user);
	if (*userfaultfd->user)
		finding = finding_make(check, FINDING_BAD,
			"QEMU runs as '%s' and cannot receive post-copy "
			"(vm.unprivileged_userfaultfd = 0)",
			userfaultfd->user);
	else
		finding = finding_make(check, FINDING_WARNING,
			"only a QEMU that runs as root can receive post-copy "
			"(vm.unprivileged_userfaultfd = 0)");
	finding_remedy(&finding,
		"sysctl vm.unprivileged_userfaultfd=1, and the same line in /etc/sysctl.d/; or "
		"migrate here with --mode precopy");
	return finding;
}

/* @mode  that it should have, with nobody else writing. @returns whether @finding is written */
static bool is_wrong(
	const struct directory *directory, mode_t wanted, uid_t self, struct finding *finding)
{
	if (directory->failure) {
		*finding = finding_make("directories", FINDING_BAD, "%s: %s", directory->path,
			strerror(directory->failure));
		finding_remedy(finding, "start culvertd again: it makes its directories");
		return true;
	}
	if (S_ISDIR(directory->mode) && directory->owner == self && (directory->mode & 0022) == 0 &&
		(directory->mode & wanted) == wanted)
		return false;
	*finding = finding_make("directories", FINDING_BAD,
		"%s has mode %04o and belongs to user %u", directory->path,
		(unsigned)(directory->mode & 07777), (unsigned)directory->owner);
	finding_remedy(finding,
		"it must belong to the user of culvertd (%u), with mode %04o: chown, chmod",
		(unsigned)self, (unsigned)(0700 | wanted));
	return true;
}

struct finding doctor_host_directories(const struct directory *runtime,
	const struct directory *migrations, const struct directory *peers, uid_t self)
{
	struct finding finding;

	if (is_wrong(runtime, 0711, self, &finding) || is_wrong(peers, 0711, self, &finding))
		return finding;
	if (migrations->failure == ENOENT)
		return finding_make("directories", FINDING_GOOD,
			"%s and peers/ in it are as they should be; m/ is made when it is needed",
			runtime->path);
	if (is_wrong(migrations, 0711, self, &finding))
		return finding;
	return finding_make("directories", FINDING_GOOD,
		"%s, and m/ and peers/ in it, are as they should be", runtime->path);
}

struct finding doctor_host_group(const char *user, const char *group, bool member)
{
	struct finding finding;

	if (member)
		return finding_make("hypervisor-group", FINDING_GOOD,
			"QEMU, as '%s', may enter the directories of migrations", user);
	finding = finding_make("hypervisor-group", FINDING_BAD,
		"QEMU runs as '%s', which is not in the group '%s'", user, group);
	finding_remedy(&finding,
		"in culvert.conf, [host]: hypervisor_group = a group of '%s', and start culvertd "
		"again",
		user);
	return finding;
}

/* "major.minor" */
static bool is_older(const char *version, const char *than)
{
	int major, minor, least_major, least_minor;

	if (sscanf(version, "%4d.%4d", &major, &minor) != 2 ||
		sscanf(than, "%4d.%4d", &least_major, &least_minor) != 2)
		return false;
	return major < least_major || (major == least_major && minor < least_minor);
}

struct finding doctor_host_libvirt(
	enum libvirt_presence presence, const char *version, const char *reason)
{
	struct finding finding;

	switch (presence) {
	case LIBVIRT_ABSENT:
		return finding_make("libvirt", FINDING_GOOD,
			"there is none: bare QEMU works without it, domains need it");
	case LIBVIRT_UNREACHABLE:
		finding = finding_make("libvirt", FINDING_WARNING, "%s", reason);
		finding_remedy(&finding,
			"systemctl start libvirtd (or virtqemud), unless only bare QEMU is moved");
		return finding;
	case LIBVIRT_THERE:
		break;
	}
	if (!is_older(version, LIBVIRT_LEAST))
		return finding_make("libvirt", FINDING_GOOD, "libvirt %s answers", version);
	finding = finding_make("libvirt", FINDING_WARNING,
		"libvirt %s cannot go on with a post-copy that was interrupted", version);
	finding_remedy(&finding, "install libvirt " LIBVIRT_LEAST " or newer");
	return finding;
}

struct finding doctor_host_qemu(const char *version)
{
	struct finding finding;

	if (!*version) {
		finding = finding_make("qemu", FINDING_WARNING,
			"no QEMU was found, or it does not tell its version");
		finding_remedy(&finding, "install qemu-system for this host's processor");
		return finding;
	}
	if (!is_older(version, QEMU_LEAST))
		return finding_make(
			"qemu", FINDING_GOOD, "QEMU %s: pre-copy, post-copy and hybrid", version);
	finding = finding_make("qemu", FINDING_WARNING,
		"QEMU %s is older than any that Culvert was tried with", version);
	finding_remedy(&finding, "install QEMU " QEMU_LEAST " or newer");
	return finding;
}

/* Whether a rule, not a comment, begins with the directory of migrations; also as AppArmor's own
 * files write it */
static bool permits(const char *include, const char *runtime_directory)
{
	char plain[512], either[512];

	snprintf(plain, sizeof(plain), "%s/m/", runtime_directory);
	snprintf(either, sizeof(either), "/{,var/}run/%s/m/",
		strncmp(runtime_directory, "/run/", 5) == 0 ? runtime_directory + 5 : "?");
	for (const char *line = include; line; line = strchr(line, '\n')) {
		line += strspn(line, " \t\n\"");
		if (strncmp(line, "owner ", 6) == 0)
			line += 6;
		if (strncmp(line, plain, strlen(plain)) == 0 ||
			strncmp(line, either, strlen(either)) == 0)
			return true;
	}
	return false;
}

struct finding doctor_host_apparmor(
	bool confines, const char *include, const char *runtime_directory)
{
	struct finding finding;

	if (!confines)
		return finding_make(
			"apparmor", FINDING_GOOD, "AppArmor does not confine libvirt's QEMUs here");
	if (include && permits(include, runtime_directory))
		return finding_make("apparmor", FINDING_GOOD, "AppArmor lets QEMU use %s/m/",
			runtime_directory);
	finding = finding_make("apparmor", FINDING_BAD, "AppArmor keeps libvirt's QEMUs from %s/m/",
		runtime_directory);
	finding_remedy(&finding,
		"append apparmor-libvirt-qemu (beside Culvert's documentation) to "
		"/etc/apparmor.d/local/abstractions/libvirt-qemu (see LIBVIRT.md)");
	return finding;
}

struct finding doctor_host_selinux(bool enforces)
{
	struct finding finding;

	if (!enforces)
		return finding_make("selinux", FINDING_GOOD, "SELinux does not enforce here");
	finding = finding_make("selinux", FINDING_WARNING,
		"SELinux enforces here, and Culvert has no rules of its own for it");
	finding_remedy(&finding,
		"try a migration: 'ausearch -m avc -ts recent' tells what was denied, and "
		"'audit2allow' makes a module of it");
	return finding;
}

static void date_text(int64_t when_s, char text[32])
{
	time_t seconds = (time_t)when_s;
	struct tm parts;

	if (!gmtime_r(&seconds, &parts) || strftime(text, 32, "%Y-%m-%d", &parts) == 0)
		snprintf(text, 32, "an unknown day");
}

static bool is_alike(const struct identity_expiry *a, const struct identity_expiry *b)
{
	return a->own_s == b->own_s && a->authority_s == b->authority_s;
}

struct finding doctor_host_certificate(const char *failure, const struct identity_expiry *loaded,
	const struct identity_expiry *files, int64_t now_s)
{
	static const char check[] = "certificate";
	bool own = loaded->own_s <= loaded->authority_s;
	int64_t end_s = own ? loaded->own_s : loaded->authority_s;
	struct finding finding;
	char date[32];

	date_text(end_s, date);
	if (failure) {
		finding = finding_make(check, FINDING_BAD, "%s", failure);
		finding_remedy(
			&finding, "put the files right: culvertd --check tells when they are");
		return finding;
	}
	if (end_s - now_s > EXPIRES_SOON_S)
		return finding_make(
			check, FINDING_GOOD, "certificate, key and CA are good until %s", date);
	finding = finding_make(check, end_s > now_s ? FINDING_WARNING : FINDING_BAD,
		"the certificate of %s %s on %s", own ? "this host" : "the CA",
		end_s > now_s ? "expires" : "has expired", date);
	if (is_alike(loaded, files))
		finding_remedy(&finding, "renew it, and start culvertd again");
	else
		finding_remedy(&finding,
			"it was renewed, but culvertd still uses the old one: start it again");
	return finding;
}

struct finding doctor_host_tcp(uint64_t receive_bytes, uint64_t send_bytes)
{
	bool receive = receive_bytes < send_bytes;
	uint64_t least = receive ? receive_bytes : send_bytes;
	struct finding finding;

	if (least == 0)
		return finding_make(
			"tcp-buffers", FINDING_GOOD, "the kernel does not tell its limits");
	if (least >= BUFFER_LEAST_BYTES)
		return finding_make("tcp-buffers", FINDING_GOOD,
			"TCP may hold %llu MiB to receive, %llu MiB to send",
			(unsigned long long)(receive_bytes >> 20),
			(unsigned long long)(send_bytes >> 20));
	finding = finding_make("tcp-buffers", FINDING_WARNING,
		"TCP may hold only %llu KiB of what it %s", (unsigned long long)(least >> 10),
		receive ? "receives" : "sends");
	finding_remedy(&finding, "sysctl net.ipv4.%s=\"4096 131072 33554432\"",
		receive ? "tcp_rmem" : "tcp_wmem");
	return finding;
}
