/* The QMP socket of a QEMU: why it cannot be connected to, and whose process listens there. */
#ifndef CULVERT_HYPERVISOR_QEMU_SOCKET_H
#define CULVERT_HYPERVISOR_QEMU_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/** Words for a QMP socket that could not be connected to, by errno, which is left in @err
 * otherwise. */
void qemu_socket_explain(
	const char *directory, const char *vm, const char *path, struct error *err);

/** The error of a machine without one: which there are, and how to make it. @returns -1 */
int qemu_socket_missing(const char *directory, const char *vm, struct error *err);

/** Whether the process that listens at the other end of @fd is root's, or in @group; true also if
 * that cannot be found out */
bool qemu_socket_owner_in(int fd, gid_t group);

#endif
