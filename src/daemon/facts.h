/* What one host tells another of itself, for `culvert doctor` and before a migration.
 *
 * Spec: docs/PROTOCOL.md, "Control channel", `doctor`.
 */
#ifndef CULVERT_DAEMON_FACTS_H
#define CULVERT_DAEMON_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"

struct facts {
	char version[32];       /* of Culvert */
	char qemu[32];          /* "7.2.22"; empty: not known */
	char libvirt[32];       /* empty: not reached */
	uint64_t clock_ms;      /* since 1970, when it was told */
	uint64_t memory_bytes;  /* that programs can still get */
	uint64_t receive_bytes; /* the most that TCP may hold of one connection (tcp_rmem) */
	uint64_t send_bytes;    /* ... (tcp_wmem) */
	bool may_libvirt;       /* the asking host may use the libvirt there */
	char name_there[64];    /* of the asking host: its [peer] section */
};

/** What the system tells: version, clock, memory, TCP */
void facts_gather(struct facts *facts);

/** ... and about @peer, who asks */
void facts_about(struct facts *facts, const struct config *config, const struct config_peer *peer);

json_t *facts_encode(const struct facts *facts);

/** Keys that are not known are left alone. @errors  ERROR_PEER: not such facts */
int facts_decode(const json_t *object, struct facts *facts, struct error *err);

/** Milliseconds since 1970 */
uint64_t facts_clock_ms(void);

#endif
