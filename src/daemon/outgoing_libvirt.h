/* The source's side of the migration of a domain of libvirt: both hosts' libvirt do it, over a
 * rendezvous; this follows, and brings a post-copy that was interrupted to go on over another one.
 */
#ifndef CULVERT_DAEMON_OUTGOING_LIBVIRT_H
#define CULVERT_DAEMON_OUTGOING_LIBVIRT_H

#include "daemon/daemon.h"
#include "daemon/journal.h"

/** Whether this host's libvirt has a domain of that name or UUID; @err says why it cannot tell */
bool outgoing_libvirt_knows(const char *domain, struct error *err);

/**
 * Begin a migration in a thread of its own.
 *
 * @plan    as for outgoing_start(); vm may be a UUID, and becomes the domain's name
 * @errors  ERROR_USAGE: unknown host, or the domain is being migrated already
 */
int outgoing_libvirt_start(struct daemon *daemon, struct migration_plan *plan, struct error *err);

/** Lead on what a killed culvertd had under way. @entry  of the journal, with a domain of libvirt
 */
int outgoing_libvirt_restore(struct daemon *daemon, const struct config_peer *peer,
	const struct journal_entry *entry, struct error *err);

#endif
