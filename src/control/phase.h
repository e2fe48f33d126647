/* How far a migration is and where its guest runs, by the names that the control protocol has for
 * both.
 *
 * Spec:    docs/CONTROL.md, "A migration".
 * Threads: any.
 */
#ifndef CULVERT_CONTROL_PHASE_H
#define CULVERT_CONTROL_PHASE_H

enum migration_phase {
	PHASE_PREPARING,
	PHASE_DISKS, /* they are copied, before memory */
	PHASE_PRECOPY,
	PHASE_POSTCOPY,
	PHASE_FINISHING, /* one QEMU has completed, the other not yet */
	PHASE_PAUSED,    /* post-copy interrupted */
	PHASE_COMPLETED, /* from here on it has ended */
	PHASE_FAILED,
	PHASE_CANCELLED,
	PHASE_LOST,
	PHASE_OTHER, /* a client only: of a newer daemon */
};

enum guest_place { GUEST_SOURCE, GUEST_DESTINATION, GUEST_UNKNOWN, GUEST_NOWHERE };

/** Not for PHASE_OTHER */
const char *phase_name(enum migration_phase phase);
const char *phase_guest_name(enum guest_place guest);

/** PHASE_OTHER, and GUEST_UNKNOWN, for a name that is not known */
enum migration_phase phase_find(const char *name);
enum guest_place phase_find_guest(const char *name);

#endif
