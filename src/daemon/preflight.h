/* What can be known before a domain of libvirt moves, asked before anything is changed. */
#ifndef CULVERT_DAEMON_PREFLIGHT_H
#define CULVERT_DAEMON_PREFLIGHT_H

#include "daemon/daemon.h"
#include "hypervisor/libvirt.h"

/**
 * Whether the peer permits it, its libvirt answers, it has the memory, and its QEMU may receive
 * post-copy, if @mode may come to that. Changes nothing.
 *
 * @their_uri  of the peer's libvirt
 * @errors     ERROR_PEER: not permitted (with the line that is missing), no libvirt, no memory,
 *             no userfaultfd; or see contact_new()
 */
int preflight_libvirt(struct daemon *daemon, const struct config_peer *peer,
	struct libvirt *libvirt, enum migration_mode mode, const char *their_uri,
	struct error *err);

#endif
