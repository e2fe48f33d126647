/* Connections to libvirt, and its words for what went wrong: for the other files of this floor that
 * call it. */
#ifndef CULVERT_HYPERVISOR_LIBVIRT_CONNECTION_H
#define CULVERT_HYPERVISOR_LIBVIRT_CONNECTION_H

#include <libvirt/libvirt.h>

#include "base/error.h"

/** To be closed by virConnectClose(); or NULL. @errors  ERROR_LOCAL */
virConnectPtr libvirt_connection_open(const char *uri, struct error *err);

/** What libvirt says of its last call on this thread. @returns -1 */
int libvirt_connection_fail(struct error *err, enum error_code code, const char *what);

#endif
