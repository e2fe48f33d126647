/* How an outgoing migration ended: derived from both hypervisors, with where the guest is and what
 * the operator does next. */
#ifndef CULVERT_DAEMON_OUTGOING_END_H
#define CULVERT_DAEMON_OUTGOING_END_H

#include "daemon/channel.h"
#include "daemon/contact.h"
#include "daemon/daemon.h"
#include "daemon/rendezvous.h"
#include "hypervisor/qemu.h"
#include "hypervisor/qemu_disks.h"

/* A migration that this host leads; written by outgoing.c, judged here */
struct outgoing {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct migration *migration;   /* NULL after its end */
	struct migration_plan plan;    /* its */
	struct qemu *qemu;             /* NULL: not reached */
	struct contact *contact;       /* NULL: not reached */
	struct channel *stream;        /* NULL: not laid, or over the rendezvous */
	struct rendezvous *rendezvous; /* where QEMU makes more connections than one; or NULL */
	struct qemu_disks disks;       /* that are copied; none: count 0 */
	uint64_t disk_total_bytes;
	uint64_t disk_copied_bytes;
	bool disks_complete; /* nothing is copied any more */
	json_t *found;       /* restored: what the daemon before had changed in QEMU */
	bool restored;       /* from the journal of a daemon that was killed */
	bool started;        /* memory may have moved */
	struct migration_figures figures;
	struct tunnel_figures before; /* of the streams before this one */
	struct contact_news news;
	bool contact_lost;
	struct error contact_failure; /* why */
	bool switch_requested;
	bool cancel_requested;
	bool cancel_taken; /* QEMU has the cancel of cancel_why */
	bool switched;     /* the source's QEMU was told to switch */
	bool postcopy;     /* the guest has left the source */
	unsigned attempts; /* to reach the destination, since it was reached last */
	bool stuck;        /* QEMU does not get over the loss of a stream during a recovery */
	bool left;         /* culvertd stops, and the next one takes it up */
	bool halted;       /* something but the migration has stopped the guest on the source */
	bool halted_noted; /* what the journal says of that */
	bool untold;       /* the source has kept the guest, and the destination does not know */
	bool untold_noted; /* ... and the journal says so */
	struct error cancel_why;
	bool cancelled_at_switch; /* QEMU had stopped the guest, and may leave it so */
};

/** Whether the source's QEMU is there */
bool outgoing_has_source(const struct outgoing *outgoing);

/** Whether the destination has said how it ended, or that nobody leads the migration there any more
 */
bool outgoing_destination_decided(const struct outgoing *outgoing);

/** Whether it has said that nothing of the guest is there, or that it knows nothing of the
 * migration */
bool outgoing_destination_has_none(const struct outgoing *outgoing);

/** Nothing was started: the guest was not touched. @why  what went wrong */
void outgoing_end_before_start(
	struct outgoing *outgoing, const struct error *why, struct migration_outcome *outcome);

/** The source's QEMU is done, paused or gone. Waits for the destination's word where it matters */
void outgoing_end(struct outgoing *outgoing, struct migration_outcome *outcome);

#endif
