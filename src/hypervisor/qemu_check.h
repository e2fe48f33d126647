/* Whether a QEMU can play its part in a migration, told before anything is changed. */
#ifndef CULVERT_HYPERVISOR_QEMU_CHECK_H
#define CULVERT_HYPERVISOR_QEMU_CHECK_H

#include "base/error.h"
#include "hypervisor/qemu.h"
#include "hypervisor/qmp.h"

/**
 * Compare major.minor of both QEMUs.
 *
 * @role    the part that @own plays
 * @errors  ERROR_HYPERVISOR: the destination is older; ERROR_PEER: @other is not a version
 */
int qemu_check_version(
	enum migration_role role, const char *own, const char *other, struct error *err);

/**
 * Source: its guest runs and does not migrate. Destination: it waits with `-incoming defer`.
 *
 * @vm      its name, for messages
 * @errors  ERROR_HYPERVISOR with the remedy
 */
int qemu_check_state(struct qmp *qmp, const char *vm, enum migration_role role, struct error *err);

#endif
