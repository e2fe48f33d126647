/* QEMU's migration capabilities and parameters: what a migration needs, and what was found. */
#ifndef CULVERT_HYPERVISOR_QEMU_SETTINGS_H
#define CULVERT_HYPERVISOR_QEMU_SETTINGS_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/figures.h"
#include "hypervisor/qemu.h"
#include "hypervisor/qmp.h"
#include "hypervisor/streams.h"

struct qemu_settings {
	json_t *found_capabilities; /* of those that were changed, as QMP wants them; or NULL */
	json_t *found_parameters;
	uint64_t downtime_limit_ms;
};

/**
 * Set what a migration in @mode with @streams needs, remembering in @settings what is changed by
 * that. All parameters but the number of streams are the sender's: a destination's stay as they
 * are.
 *
 * @settings  all zero, or as qemu_settings_restore() leaves it
 * @errors    ERROR_HYPERVISOR, with the remedy for post-copy; QEMU is then as it was
 */
int qemu_settings_apply(struct qemu_settings *settings, struct qmp *qmp, enum migration_role role,
	enum migration_mode mode, const struct streams *streams, struct error *err);

/** Set again what was found, as far as QEMU lets us, and forget it. */
void qemu_settings_restore(struct qemu_settings *settings, struct qmp *qmp);

/** What was found, as JSON, for the journal of a daemon that may be killed; a new reference */
json_t *qemu_settings_found(const struct qemu_settings *settings);

/** The other way round. @found  as qemu_settings_found() told it, or anything else: then nothing */
void qemu_settings_take_over(struct qemu_settings *settings, const json_t *found);

void qemu_settings_fini(struct qemu_settings *settings);

#endif
