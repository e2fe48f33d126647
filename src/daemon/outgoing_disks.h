/* The disks that go with a guest, from the source's side: copied before its memory, let go in the
 * moment of the switchover, in which QEMU waits for it. */
#ifndef CULVERT_DAEMON_OUTGOING_DISKS_H
#define CULVERT_DAEMON_OUTGOING_DISKS_H

#include "daemon/outgoing_end.h"

/** Copy them until each copy follows what the guest writes. @errors  any: the guest runs as before
 */
int outgoing_disks_copy(struct outgoing *outgoing, struct error *err);

/**
 * At each turn: take up how far the copies are, and in QEMU_PRE_SWITCHOVER complete them and let
 * QEMU go on.
 *
 * @errors  any: one is not complete, and the migration is to be cancelled
 */
int outgoing_disks_turn(struct outgoing *outgoing, struct error *err);

/** No copy goes on, whatever becomes of the guest; before QEMU is put back */
void outgoing_disks_end(struct outgoing *outgoing);

#endif
