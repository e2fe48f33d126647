/* The driver of a domain of libvirt.
 *
 * libvirt migrates by itself, from its daemon to that of the other host (peer-to-peer); this driver
 * tells it where to go, and follows. Calls block, libvirt_migrate() until the migration is over:
 * they belong on threads of the migration, never on a loop. libvirt_migrate() runs on one thread
 * while another one asks, each over a connection of its own. A connection that broke, since
 * libvirt's daemon was started again or was silent for some seconds, is made anew when it is
 * needed.
 *
 * Source: libvirt's libvirt-domain.h (9.0); what was measured of it is in docs/HYPERVISORS.md.
 */
#ifndef CULVERT_HYPERVISOR_LIBVIRT_H
#define CULVERT_HYPERVISOR_LIBVIRT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/figures.h"
#include "hypervisor/libvirt_options.h"

struct libvirt;

/**
 * Find a domain.
 *
 * @uri     of libvirt: "qemu:///system"
 * @domain  its name or UUID
 * @errors  ERROR_USAGE: no such domain; ERROR_LOCAL: this host's libvirt cannot be reached;
 *          ERROR_HYPERVISOR: libvirt's own
 */
struct libvirt *libvirt_open(const char *uri, const char *domain, struct error *err);
void libvirt_free(struct libvirt *libvirt);

/** Its name and UUID; owned by @libvirt */
const char *libvirt_name(const struct libvirt *libvirt);
const char *libvirt_uuid(const struct libvirt *libvirt);

/** The version of its QEMU: major * 1000000 + minor * 1000 + micro */
int libvirt_version(struct libvirt *libvirt, uint64_t *version, struct error *err);

/** The same of a libvirt by its @uri. @errors  ERROR_LOCAL: it cannot be reached */
int libvirt_version_at(const char *uri, uint64_t *version, struct error *err);

/* Where to, and how */
struct libvirt_route {
	const char *libvirt_uri; /* of the other host's libvirt */
	const char *migrate_uri; /* the stream */
	const char *disks_uri;
	enum migration_mode mode;
	bool resume; /* go on with a post-copy that was interrupted, over this route */
	const struct libvirt_options *options;
};

/** Migrate, and return when libvirt says that it is over, or its daemon has ended: one that hangs
 * is waited for, since it may go on. @errors  ERROR_HYPERVISOR: its words. Neither a success nor an
 * error tells where the guest is: ask libvirt_hold() of both hosts */
int libvirt_migrate(struct libvirt *libvirt, const struct libvirt_route *route, struct error *err);

/** How far it is; MIGRATION_SETUP while disks are copied. @figures  written whole on success; on
 * failure unchanged */
int libvirt_query(struct libvirt *libvirt, struct migration_figures *figures, struct error *err);

/** Figures of the migration that has completed, where libvirt still has them */
int libvirt_query_completed(
	struct libvirt *libvirt, struct migration_figures *figures, struct error *err);

int libvirt_switch_to_postcopy(struct libvirt *libvirt, struct error *err);

/** What is defined of a domain that does not run here any more: nothing then. Disks, and what else
 * lies beside the definition, stay */
int libvirt_undefine(struct libvirt *libvirt, struct error *err);

/** Before post-copy only */
int libvirt_cancel(struct libvirt *libvirt, struct error *err);

/** The memory that it may come to have, which its destination must find; 0: in huge pages, of which
 * there is no telling */
int libvirt_memory(struct libvirt *libvirt, uint64_t *bytes, struct error *err);

enum libvirt_hold {
	HOLD_NONE,     /* no such domain here, or it is shut off */
	HOLD_RUNNING,  /* it runs */
	HOLD_STOPPED,  /* it is here and stands still, by its operator or an error of its own */
	HOLD_ARRIVING, /* a pre-copy has stopped it: at its source, which has all of it, or where it
			* arrives */
	HOLD_LEAVING,  /* at its source, in post-copy */
	HOLD_BROKEN,   /* post-copy was interrupted */
	HOLD_UNKNOWN,  /* that libvirt cannot be asked */
};

/** Whose the guest is, as this libvirt tells */
int libvirt_hold(struct libvirt *libvirt, enum libvirt_hold *hold, struct error *err);

/** The same of a libvirt by its @uri; HOLD_NONE also where the domain is unknown */
int libvirt_hold_at(const char *uri, const char *uuid, enum libvirt_hold *hold, struct error *err);

#endif
