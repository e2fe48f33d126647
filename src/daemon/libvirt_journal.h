/* What the journal says of a domain of libvirt beside what it says of any migration: which domain,
 * where, and with which options.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_LIBVIRT_JOURNAL_H
#define CULVERT_DAEMON_LIBVIRT_JOURNAL_H

#include <jansson.h>

#include "hypervisor/libvirt_options.h"

#define LIBVIRT_UUID_CHARACTERS 36

/** A new reference, or NULL: no memory */
json_t *libvirt_journal_encode(const char *uuid, const struct libvirt_options *options);

/** @errors  ERROR_LOCAL: it was not written by libvirt_journal_encode() */
int libvirt_journal_decode(const json_t *value, char uuid[LIBVIRT_UUID_CHARACTERS + 1],
	struct libvirt_options *options, struct error *err);

#endif
