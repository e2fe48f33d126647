/* What `culvert doctor` thinks of one host: from what is given, each check a function without
 * effects. Who gathers: doctor.c. */
#ifndef CULVERT_DAEMON_DOCTOR_HOST_H
#define CULVERT_DAEMON_DOCTOR_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/finding.h"
#include "io/identity.h"

struct userfaultfd {
	bool missing;      /* the kernel has none */
	bool unprivileged; /* vm.unprivileged_userfaultfd */
	bool device;       /* QEMU's user may open /dev/userfaultfd, and this QEMU (8.0) does */
	char user[64];     /* that QEMU runs as, not root if any is not; empty: not known */
};

struct finding doctor_host_userfaultfd(const struct userfaultfd *userfaultfd);

/* A directory as it is */
struct directory {
	const char *path;
	int failure; /* an errno: it cannot be looked at */
	mode_t mode; /* with its type */
	uid_t owner;
};

/** @runtime, @peers must be there; @migrations is made when needed. @self  who culvertd runs as */
struct finding doctor_host_directories(const struct directory *runtime,
	const struct directory *migrations, const struct directory *peers, uid_t self);

/** Whether QEMU may enter the directories of migrations. @user  of QEMU under libvirt */
struct finding doctor_host_group(const char *user, const char *group, bool member);

enum libvirt_presence { LIBVIRT_ABSENT, LIBVIRT_UNREACHABLE, LIBVIRT_THERE };

/** @version  of libvirt. @reason  why it cannot be reached */
struct finding doctor_host_libvirt(
	enum libvirt_presence presence, const char *version, const char *reason);

/** @version  empty: no QEMU was found */
struct finding doctor_host_qemu(const char *version);

/** @confines  AppArmor is on, with libvirt's profiles. @include  the text of the local additions to
 * what QEMU may, or NULL. @runtime_directory  of the configuration */
struct finding doctor_host_apparmor(
	bool confines, const char *include, const char *runtime_directory);

/** @enforces  as the kernel says */
struct finding doctor_host_selinux(bool enforces);

/** @failure  why the files are no good, or NULL. @now_s  since 1970. @loaded  what culvertd uses,
 * @files  what it would use if it were started now */
struct finding doctor_host_certificate(const char *failure, const struct identity_expiry *loaded,
	const struct identity_expiry *files, int64_t now_s);

/** 0: not known */
struct finding doctor_host_tcp(uint64_t receive_bytes, uint64_t send_bytes);

#endif
