/* The libvirt of a host, apart from any domain: what it is, and whether another host's domains can
 * come to it. It is only asked; no domain is touched. Calls block. */
#ifndef CULVERT_HYPERVISOR_LIBVIRT_HOST_H
#define CULVERT_HYPERVISOR_LIBVIRT_HOST_H

#include <stdbool.h>

#include "base/error.h"

#define LIBVIRT_HOST_HERE "qemu:///system"

struct libvirt_host;

/** Whether this host has no libvirt, as far as its sockets tell */
bool libvirt_host_absent(void);

/** @errors  ERROR_LOCAL: it cannot be reached */
struct libvirt_host *libvirt_host_open(const char *uri, struct error *err);
void libvirt_host_free(struct libvirt_host *host);

/** "9.0.0", "7.2.22": of libvirt and of the QEMU it would start; empty where it does not tell */
void libvirt_host_versions(struct libvirt_host *host, char libvirt[32], char qemu[32]);

/** Whether AppArmor confines the QEMUs that it starts, as far as it tells */
bool libvirt_host_uses_apparmor(struct libvirt_host *host);

/** Whether the processor of @destination has all that of @source has */
int libvirt_host_compare_cpu(struct libvirt_host *source, struct libvirt_host *destination,
	bool *compatible, struct error *err);

/** Whether @destination knows the machine types that @source gives new domains. @missing  one that
 * it does not; empty: none */
int libvirt_host_compare_machines(struct libvirt_host *source, struct libvirt_host *destination,
	char missing[64], struct error *err);

#endif
