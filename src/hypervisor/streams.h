/* What a migration of QEMU uses beside its main stream, and what versions of QEMU survive it.
 *
 * Threads: any.
 */
#ifndef CULVERT_HYPERVISOR_STREAMS_H
#define CULVERT_HYPERVISOR_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/figures.h"

/* QEMU counts its streams in one byte. */
#define STREAMS_PARALLEL_MOST 255

struct streams {
	uint64_t parallel_count; /* of memory (multifd); 0: none but the main one */
	bool preempt;            /* one for the pages that a guest in post-copy waits for */
	bool disks;              /* a copy of each disk, by NBD */
};

/** Whether a descriptor that QEMU is given is not enough: it makes more connections than one */
bool streams_need_path(const struct streams *streams);

/** "7.2.22" as libvirt counts: 7002022; 0: it is none */
uint64_t streams_version(const char *text);

/**
 * Whether a QEMU survives them.
 *
 * @version  as of streams_version()
 * @host     whose it is, for the message
 * @errors   ERROR_USAGE
 */
int streams_check(const struct streams *streams, enum migration_mode mode, uint64_t version,
	const char *host, struct error *err);

#endif
