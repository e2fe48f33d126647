/* Who QEMU runs as on this host. Looks at files only. */
#ifndef CULVERT_HYPERVISOR_QEMU_USER_H
#define CULVERT_HYPERVISOR_QEMU_USER_H

#include <stdbool.h>
#include <sys/types.h>

#define QEMU_USER_LIBVIRT_SETTINGS "/etc/libvirt/qemu.conf"

/** Under libvirt: what @settings say, or else the user that distributions make for it, or root.
 * @returns false: it has no such user */
bool qemu_user_of_libvirt(const char *settings, char name[64]);

/** Of bare QEMUs, by the owners of their QMP sockets: one that is not root, if there is any.
 * @returns false: there are no sockets */
bool qemu_user_of_sockets(const char *qmp_directory, char name[64]);

/** Whether @name is in @group, or needs not be: root */
bool qemu_user_in_group(const char *name, gid_t group);

/** Whether @name may read and write the file @path, by owner, group and others */
bool qemu_user_may_open(const char *name, const char *path);

#endif
