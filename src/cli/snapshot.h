/* What culvertd said of a migration at one moment, checked, with its text made safe to print.
 *
 * Spec: docs/CONTROL.md, "A migration".
 */
#ifndef CULVERT_CLI_SNAPSHOT_H
#define CULVERT_CLI_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "control/phase.h"

struct snapshot {
	char id[32];
	char vm[128];
	char destination_vm[128];
	char host[256]; /* the other host */
	char mode[16];
	char phase_name[32];
	enum migration_phase phase;
	enum guest_place guest;
	bool incoming;
	bool ended;
	uint64_t pass;
	uint64_t ram_total_bytes;
	uint64_t ram_remaining_bytes;
	uint64_t ram_transferred_bytes;
	uint64_t rate_bytes_per_s;
	uint64_t dirty_rate_bytes_per_s;
	uint64_t disk_total_bytes; /* 0: none are copied */
	uint64_t disk_copied_bytes;
	uint64_t page_requests;
	uint64_t expected_downtime_ms;
	uint64_t downtime_ms;
	uint64_t setup_ms;
	uint64_t total_ms;
	uint64_t elapsed_ms;
	uint64_t tunnel_to_peer_bytes;
	uint64_t tunnel_to_local_bytes;
	uint64_t links_lost;
	uint64_t replayed_bytes; /* sent a second time because of that */
	uint64_t linkless_ms;    /* 0: the tunnel has a connection */
	uint64_t linkless_total_ms;
	uint64_t resume_deadline_ms; /* 0: none */
	char waiting[1024];          /* what it waits for, or "" */
	struct error failure;        /* code ERROR_NONE: none */
	char advice[1024];           /* or "" */
};

/**
 * @errors  ERROR_LOCAL: id, vm, host, phase or ended is missing. Keys that are not known are
 *          ignored, and figures that are missing are 0: the daemon may be newer or older
 */
int snapshot_read(const json_t *object, struct snapshot *snapshot, struct error *err);

/** Whether its disks are copied just now, and no memory yet */
bool snapshot_copies_disks(const struct snapshot *snapshot);

/** How much of the guest's memory - or disks, while these are copied - is where it should be, 0 to
 * 100 */
unsigned snapshot_percent(const struct snapshot *snapshot);

/** "preparing", "pre-copy, pass 2", "post-copy", ...: for people */
void snapshot_phase_text(const struct snapshot *snapshot, char *text, size_t size);

/** The name of the host where the guest runs, or NULL. @here  this host's name */
const char *snapshot_guest_host(const struct snapshot *snapshot, const char *here);

/**
 * What an ended migration means for the exit code.
 *
 * @returns  0: the guest runs where it was asked to; -1 with @err set. ERROR_GUEST where it is
 *           lost or cannot be found, whatever the cause was
 */
int snapshot_outcome(const struct snapshot *snapshot, struct error *err);

#endif
