/* The source's side of a migration, from its first step until its QEMU was told to migrate. */
#ifndef CULVERT_DAEMON_OUTGOING_BEGIN_H
#define CULVERT_DAEMON_OUTGOING_BEGIN_H

#include "daemon/outgoing_end.h"

/** Prepare both hosts, lay the stream, copy disks, start. @errors  any: the guest runs as before */
int outgoing_begin(struct outgoing *outgoing, struct error *err);

/** So that a daemon that is started after this one was killed knows of it */
int outgoing_write_journal(struct outgoing *outgoing, struct error *err);

/** Whether the operator, or this daemon's end, has cancelled what has not begun yet.
 * @errors  ERROR_CANCELLED */
int outgoing_check_cancelled(struct outgoing *outgoing, struct error *err);

#endif
