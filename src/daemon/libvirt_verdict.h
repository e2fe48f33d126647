/* Whose a domain of libvirt is after a migration: from its state on both hosts, and nothing else.
 */
#ifndef CULVERT_DAEMON_LIBVIRT_VERDICT_H
#define CULVERT_DAEMON_LIBVIRT_VERDICT_H

#include <stdbool.h>

#include "hypervisor/libvirt.h"

enum libvirt_verdict {
	VERDICT_WAIT,          /* libvirt is not done with it, or cannot be asked */
	VERDICT_RESUME,        /* post-copy was interrupted, and can go on */
	VERDICT_SOURCE,        /* it stays here */
	VERDICT_SOURCE_PAUSED, /* ... whole, and paused by the migration that failed */
	VERDICT_DESTINATION,   /* it has gone over */
	VERDICT_TWICE,         /* it runs on both */
	VERDICT_LOST,          /* a part of its memory is gone with one of its QEMUs */
	VERDICT_ENDED,         /* it is on neither */
};

/**
 * @here     on the source
 * @there    on the destination
 * @settled  they have been the same for a while: libvirt does not change them any more by itself
 */
enum libvirt_verdict libvirt_verdict(enum libvirt_hold here, enum libvirt_hold there, bool settled);

#endif
