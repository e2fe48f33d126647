/* The migration of a domain of libvirt: what its source knows of it, and how it ends, which nothing
 * tells but the domain's state on both hosts.
 *
 * Threads: the conversation's.
 */
#ifndef CULVERT_DAEMON_OUTGOING_LIBVIRT_END_H
#define CULVERT_DAEMON_OUTGOING_LIBVIRT_END_H

#include <pthread.h>

#include "daemon/daemon.h"
#include "daemon/libvirt_journal.h"
#include "daemon/libvirt_verdict.h"
#include "daemon/rendezvous.h"
#include "daemon/switchover.h"
#include "hypervisor/libvirt.h"

struct outgoing_libvirt {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct migration *migration;
	struct migration_plan plan;
	char uuid[LIBVIRT_UUID_CHARACTERS + 1];
	struct libvirt *libvirt;       /* NULL: of a killed culvertd's, and not reached yet */
	struct rendezvous *rendezvous; /* the last one; or NULL */
	struct tunnel_figures before;  /* of those before it */
	char their_uri[CONFIG_SOCKET_BYTES + 64];
	struct migration_figures figures;
	struct switchover switchover;
	bool switch_requested;
	bool cancel_requested;
	bool switched;
	bool waits;             /* the operator is told for what */
	bool restored;          /* from the journal of a culvertd that was killed */
	bool left;              /* to the next culvertd */
	enum libvirt_hold here; /* as both were asked last, and how often that was the same */
	enum libvirt_hold there;
	unsigned same_count;
	/* libvirt's own call, which has a thread to wait for it */
	bool resume;
	pthread_t thread;
	atomic_bool returned;
	int result;
	struct error failure;
};

/** Whose the guest is, by both hosts. @why  what one of them that cannot be asked says */
enum libvirt_verdict outgoing_libvirt_ask(struct outgoing_libvirt *outgoing, struct error *why);

/** @returns whether it has ended; then @outcome is set */
bool outgoing_libvirt_end_by(struct outgoing_libvirt *outgoing, enum libvirt_verdict verdict,
	struct migration_outcome *outcome);

/** This daemon stops before there is a verdict; the next one takes it up */
void outgoing_libvirt_end_left(
	struct outgoing_libvirt *outgoing, struct migration_outcome *outcome);

/** This daemon cannot lead it; one that is started again may */
void outgoing_libvirt_end_unled(struct migration_outcome *outcome);

#endif
