/* What only libvirt can be asked for in a migration. No connection, no libvirt: texts and numbers.
 *
 * Threads: any.
 */
#ifndef CULVERT_HYPERVISOR_LIBVIRT_OPTIONS_H
#define CULVERT_HYPERVISOR_LIBVIRT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/figures.h"

#define LIBVIRT_URI "qemu:///system"

/* QEMU counts its streams in one byte. */
#define LIBVIRT_PARALLEL_MOST 255

/* Disks that the hosts do not share */
enum copy_storage {
	COPY_STORAGE_NONE,
	COPY_STORAGE_ALL, /* whole images */
	COPY_STORAGE_INC, /* the topmost image of each; what it is based on is there already */
};

struct libvirt_options {
	char uri[160];        /* of this host's libvirt; "": LIBVIRT_URI */
	bool persistent;      /* define the domain on the destination */
	bool undefine_source; /* ... and not here any more */
	enum copy_storage copy_storage;
	uint64_t parallel_count; /* streams of memory beside the main one; 0: none */
	bool compressed;
	bool auto_converge;
};

const char *libvirt_options_uri(const struct libvirt_options *options);

/**
 * Take the URI of a libvirt on this host.
 *
 * Whoever may use the control socket names it, and culvertd opens it with its own rights: so no
 * transport that starts a program or leaves this host.
 *
 * @errors  ERROR_USAGE: other than qemu:///PATH or qemu+unix:///PATH, or ?socket=/PATH behind it
 */
int libvirt_options_set_uri(struct libvirt_options *options, const char *uri, struct error *err);

/** "all", "inc" */
int libvirt_options_set_copy_storage(
	struct libvirt_options *options, const char *text, struct error *err);

/** The first of those that were given, as the control protocol names it; NULL: none */
const char *libvirt_options_given(const struct libvirt_options *options);

/**
 * Whether a QEMU survives them.
 *
 * @version  major * 1000000 + minor * 1000 + micro, as libvirt counts
 * @host     whose it is, for the message
 * @errors   ERROR_USAGE
 */
int libvirt_options_check(const struct libvirt_options *options, enum migration_mode mode,
	uint64_t version, const char *host, struct error *err);

#endif
