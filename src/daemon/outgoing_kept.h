/* The migration has ended, and the source has kept the guest: its destination must hear that, for
 * what it has of the guest is an older state as soon as the guest goes on. */
#ifndef CULVERT_DAEMON_OUTGOING_KEPT_H
#define CULVERT_DAEMON_OUTGOING_KEPT_H

#include "daemon/outgoing_end.h"

/** Say it at once, if it is heard within moments. Else outgoing->untold, and the journal knows */
void outgoing_kept_begin(struct outgoing *outgoing);

/** After the migration's end, until it was heard, or nothing of the guest is there; or until
 * culvertd stops: the next one goes on */
void outgoing_kept_tell(struct outgoing *outgoing);

#endif
