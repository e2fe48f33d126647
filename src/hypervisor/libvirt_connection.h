/* Connections to libvirt, and its words for what went wrong: for the other files of this floor that
 * call it. A libvirt that hangs is no reason to hang: whoever asks has its answer, or an error,
 * within some 10 s. */
#ifndef CULVERT_HYPERVISOR_LIBVIRT_CONNECTION_H
#define CULVERT_HYPERVISOR_LIBVIRT_CONNECTION_H

#include <libvirt/libvirt.h>

#include "base/error.h"

/** To be closed by virConnectClose(); or NULL. Calls on it fail, and it is dead, when libvirt's
 * daemon has been silent for some seconds. A daemon that lives, and waits itself, is waited for.
 * @errors  ERROR_LOCAL */
virConnectPtr libvirt_connection_open(const char *uri, struct error *err);

/** The same for a call that has to last as long as that daemon, even if it hangs a while */
virConnectPtr libvirt_connection_open_patient(const char *uri, struct error *err);

/** What libvirt says of its last call on this thread. @returns -1 */
int libvirt_connection_fail(struct error *err, enum error_code code, const char *what);

#endif
