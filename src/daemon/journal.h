/* What a culvertd that is started again must know of the migrations of one that was killed: a file
 * for each in <runtime_directory>/migrations/, from before memory moves until the end is known. The
 * rest is asked of the hypervisors.
 *
 * Threads: any; one migration's file has one writer.
 */
#ifndef CULVERT_DAEMON_JOURNAL_H
#define CULVERT_DAEMON_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "daemon/migration.h"

struct journal_entry {
	struct migration_plan plan;
	bool started;  /* memory may have moved */
	bool halted;   /* something but the migration had stopped the guest before */
	bool kept;     /* it has ended, the source has kept the guest, and the destination has still
			  to be told */
	json_t *found; /* what was changed in the hypervisor, as its driver tells; a reference, or
			  NULL */
	json_t *libvirt; /* which of libvirt's domains (libvirt_journal.h); a reference, or NULL:
			    a bare QEMU */
};

/**
 * Write an entry, in place of an older one of the same migration.
 *
 * @errors  ERROR_LOCAL: no space, no permission; the older one is still there
 */
int journal_write(
	const char *runtime_directory, const struct journal_entry *entry, struct error *err);

void journal_remove(const char *runtime_directory, const struct migration_plan *plan);

/** Whether there is an entry of @plan's migration, readable or not */
bool journal_has(const char *runtime_directory, const struct migration_plan *plan);

/** Call @take for each entry; what cannot be read is named in the log and left alone. @entry is
 * freed afterwards */
void journal_read(const char *runtime_directory,
	void (*take)(void *argument, const struct journal_entry *entry), void *argument);

#endif
