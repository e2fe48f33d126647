/* What a migration does, in the words and units every driver shares. */
#ifndef CULVERT_HYPERVISOR_FIGURES_H
#define CULVERT_HYPERVISOR_FIGURES_H

#include <stdint.h>

enum migration_mode { MODE_PRECOPY, MODE_POSTCOPY, MODE_HYBRID };

enum migration_state {
	MIGRATION_NONE,      /* not begun */
	MIGRATION_SETUP,     /* begun, no memory has moved */
	MIGRATION_PRECOPY,   /* the guest runs on the source; also QEMU's switchover states */
	MIGRATION_POSTCOPY,  /* the guest runs on the destination, memory is on both */
	MIGRATION_PAUSED,    /* post-copy interrupted: postcopy-paused, postcopy-recover* */
	MIGRATION_COMPLETED, /* this side has finished */
	MIGRATION_FAILED,
	MIGRATION_CANCELLED, /* cancelled, or on the way there (cancelling) */
	MIGRATION_OTHER,     /* a state this version does not know: wait for the next */
};

struct migration_figures {
	enum migration_state state;
	char status[32];     /* the hypervisor's own word for the state */
	char reason[256];    /* its error text, or empty */
	uint64_t pass_count; /* dirty-sync-count: 1 during the first full pass */
	uint64_t ram_total_bytes;
	uint64_t ram_remaining_bytes;
	uint64_t ram_transferred_bytes;
	uint64_t rate_bytes_per_s;
	uint64_t dirty_rate_bytes_per_s;
	uint64_t disk_total_bytes; /* to be copied, with what was written meanwhile; 0: none */
	uint64_t disk_copied_bytes;
	uint64_t page_requests; /* post-copy page requests that reached the source */
	uint64_t downtime_limit_ms;
	uint64_t expected_downtime_ms;
	uint64_t downtime_ms;
	uint64_t setup_ms;
	uint64_t total_ms;
};

#endif
