/* The disks of a QEMU that go with its guest: exported by NBD on the destination, mirrored there by
 * the source, and let go when the source has stopped the guest.
 *
 * A disk has the same name on both hosts: the id of its drive, or the name of its node if it has
 * none (-blockdev). What this makes in QEMU has names that begin with QEMU_DISKS_PREFIX, so that
 * another daemon finds it.
 *
 * Threads: as qmp.h.
 * Source:  QEMU's qapi/block-core.json, block-export.json and job.json (7.2).
 */
#ifndef CULVERT_HYPERVISOR_QEMU_DISKS_H
#define CULVERT_HYPERVISOR_QEMU_DISKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/qmp.h"

#define QEMU_DISKS_MOST   64
#define QEMU_DISKS_PREFIX "culvert-disk-"

struct qemu_disk {
	char name[64];
	char node[64]; /* in this QEMU */
	uint64_t bytes;
};

struct qemu_disks {
	size_t count;
	struct qemu_disk list[QEMU_DISKS_MOST];
};

/** Those that the guest may write to. @errors  ERROR_HYPERVISOR: none, too many, one without a name
 */
int qemu_disks_find(struct qmp *qmp, struct qemu_disks *disks, struct error *err);

/** For the other host; a new reference */
json_t *qemu_disks_encode(const struct qemu_disks *disks);

/** Their names and sizes. @value  of a peer. @errors  ERROR_USAGE */
int qemu_disks_decode(const json_t *value, struct qemu_disks *disks, struct error *err);

/** Destination: whether each of @theirs is here, writable and of the same size; the nodes are
 * written into @theirs. @errors  ERROR_HYPERVISOR */
int qemu_disks_match(struct qmp *qmp, struct qemu_disks *theirs, struct error *err);

/** Destination: serve them on a unix socket that QEMU makes at @path. @errors  ERROR_HYPERVISOR:
 * nothing is served */
int qemu_disks_export(
	struct qmp *qmp, const struct qemu_disks *disks, const char *path, struct error *err);

/** Destination: serve them no more */
int qemu_disks_withdraw(struct qmp *qmp, struct error *err);

/** Source: begin to copy them over the unix socket at @path. @errors  ERROR_HYPERVISOR: call
 * qemu_disks_abandon() */
int qemu_disks_copy(
	struct qmp *qmp, const struct qemu_disks *disks, const char *path, struct error *err);

struct qemu_disks_progress {
	uint64_t total_bytes;
	uint64_t copied_bytes;
	bool ready; /* each copy follows what the guest writes */
};

/** Source. @errors  ERROR_HYPERVISOR: one of @count copies has failed, and says why */
int qemu_disks_progress(
	struct qmp *qmp, size_t count, struct qemu_disks_progress *progress, struct error *err);

/** Source, ready, its guest stopped: have the copies written to the end, and let go of them.
 * @returns  1: all are complete, and nothing is left of them here; 0: not yet, ask again
 * @errors   ERROR_HYPERVISOR: one is not complete */
int qemu_disks_complete(struct qmp *qmp, size_t count, struct error *err);

/** Either host, whatever is there of it: as before. @returns whether no copy is under way any more
 */
bool qemu_disks_abandon(struct qmp *qmp);

#endif
