/* What a culvertd that was killed had under way, taken up by the one that was started after it. */
#ifndef CULVERT_DAEMON_RESTORE_H
#define CULVERT_DAEMON_RESTORE_H

#include "daemon/daemon.h"

/** Lead every migration of the journal on, each in a thread of its own; what cannot be is in the
 * log and stays in the journal */
void restore_migrations(struct daemon *daemon);

#endif
