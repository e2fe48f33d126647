/* Domains of libvirt in the journal, and what is done first when a culvertd that is started takes
 * up the migration of one that was killed: libvirt's own call has outlived it, its streams have
 * not.
 *
 * Threads: the conversation's.
 */
#ifndef CULVERT_DAEMON_OUTGOING_LIBVIRT_RESTORE_H
#define CULVERT_DAEMON_OUTGOING_LIBVIRT_RESTORE_H

#include "daemon/outgoing_libvirt_end.h"

/** Write it into the journal. @errors  ERROR_LOCAL */
int outgoing_libvirt_note(struct outgoing_libvirt *outgoing, struct error *err);

/** @returns whether the libvirt of this host has the domain; else @err is set, see libvirt_open()
 */
bool outgoing_libvirt_reach(struct outgoing_libvirt *outgoing, struct error *err);

/** End what is left of the streams on the other host, and wait until libvirt has noticed here.
 * Afterwards the state of both hosts tells */
void outgoing_libvirt_take_up(struct outgoing_libvirt *outgoing);

/* Of outgoing_libvirt.c: */

/** A rendezvous in place of the last one, which is used up, with its streams */
int outgoing_libvirt_meet(struct outgoing_libvirt *outgoing, struct error *err);

void outgoing_libvirt_take_requests(struct outgoing_libvirt *outgoing);

#endif
