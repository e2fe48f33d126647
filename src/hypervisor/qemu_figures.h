/* QEMU's answer to query-migrate, in the words and units every driver shares. */
#ifndef CULVERT_HYPERVISOR_QEMU_FIGURES_H
#define CULVERT_HYPERVISOR_QEMU_FIGURES_H

#include <jansson.h>
#include <stdbool.h>

#include "hypervisor/figures.h"

/** Whether MIGRATION_CANCELLED is still on the way there */
bool qemu_figures_cancelling(const struct migration_figures *figures);

/**
 * Every field of @figures from @answer; what the answer lacks is 0 or empty (`ram` is absent in
 * failed and cancelled, `status` before anything has begun).
 */
void qemu_figures_read(
	const json_t *answer, uint64_t downtime_limit_ms, struct migration_figures *figures);

#endif
