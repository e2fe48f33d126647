/* An incoming migration: what its conversation (incoming.c) knows of it, and how it ends. */
#ifndef CULVERT_DAEMON_INCOMING_END_H
#define CULVERT_DAEMON_INCOMING_END_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "daemon/daemon.h"
#include "daemon/incoming_table.h"
#include "hypervisor/qemu.h"
#include "hypervisor/qemu_disks.h"
#include "io/lines.h"

struct incoming {
	struct list open_place; /* among all conversations with peers */
	struct list place;      /* in the daemon's table, while there is a migration */
	struct handover given;  /* under the table's lock */
	atomic_bool superseded; /* its source begins anew */
	struct daemon *daemon;
	const struct config_peer *peer;
	struct lines *lines;         /* NULL: the source cannot be heard */
	struct qemu *qemu;           /* NULL: not reached yet, or left */
	uint64_t reach_ms;           /* when to try to reach it again */
	struct migration *migration; /* NULL before `prepare` and after the end */
	struct migration_plan plan;  /* its */
	bool restored;               /* from the journal of a daemon that was killed */
	json_t *found;               /* what that one had changed in QEMU */
	int kept_qmp_fd;             /* its connection to QEMU; -1: none */
	char token[OFFER_TOKEN_CHARACTERS + 1];
	char rendezvous[RENDEZVOUS_TOKEN_CHARACTERS + 1]; /* empty: it has asked for none */
	char stream_rendezvous[RENDEZVOUS_TOKEN_CHARACTERS +
		1];              /* where its migration takes place, of
				  * another conversation; or empty */
	struct qemu_disks disks; /* that are copied; none: count 0 */
	bool disks_exported;     /* QEMU serves them */
	bool examined;           /* it was asked about this host */
	bool attached;
	int spare_fd;      /* the tunnel's end of the stream that a recovery would use; -1: none */
	int spare_peek_fd; /* a duplicate of QEMU's end: readable once the source has sent */
	bool spare_used;
	atomic_bool started;
	uint64_t prepared_ms;
	bool postcopy; /* the source has announced the switch, or it has happened */
	bool begun;    /* post-copy has begun: the guest has left its source */
	bool arrived;  /* QEMU has all of the guest */
	bool let_run;  /* QEMU was told that the guest may run */
	bool stay;     /* the guest was stopped on its source, and is not to run here either */
	bool finished; /* the source cannot run the guest any more, and has said so */
	bool running;  /* at its end: whether the guest ran here */
	bool kept;     /* the source has kept the guest, and has said so */
	bool paused;   /* post-copy was interrupted, or QEMU does not answer */
	bool leaving;  /* the source knows that this daemon stops */
	char told[32]; /* the status that the source knows */
};

/** The end, in the log and for the operator; the migration is NULL then. Its journal goes */
void incoming_end(struct incoming *incoming, enum migration_phase phase, enum guest_place guest,
	const struct error *failure, const char *advice);

/** QEMU has all of the guest. Ends where nothing is left to wait for. @running  whether it runs */
void incoming_end_arrived(struct incoming *incoming, bool running);

/** QEMU has ended, or is about to. @reason  its words, or empty */
void incoming_end_without_qemu(struct incoming *incoming, const char *reason);

/** The QEMU that a daemon finds at its start is not the one that its predecessor knew, or had not
 * begun */
void incoming_end_forgotten(struct incoming *incoming);

/** Nothing has been started, and nothing will be: as if nothing had been */
void incoming_end_withdrawn(struct incoming *incoming);

/** The source cannot run the guest any more: here it may, unless it was stopped there before. Safe
 * to repeat */
int incoming_let_run(struct incoming *incoming, struct error *err);

/** This daemon cannot lead it, for want of @why; one that is started again may */
void incoming_end_unled(struct incoming *incoming, const struct error *why);

/** This daemon stops where only the source, or a recovery, could go on; the next one picks it up */
void incoming_end_left(struct incoming *incoming);

#endif
