/* What `culvert doctor` thinks of two hosts together: from what is given, each check a function
 * without effects. "Here" is the source, "there" the destination. */
#ifndef CULVERT_DAEMON_DOCTOR_PAIR_H
#define CULVERT_DAEMON_DOCTOR_PAIR_H

#include "daemon/facts.h"
#include "daemon/finding.h"

/** The peer answers. @address  where, and as whom */
struct finding doctor_pair_reached(const char *address, uint64_t round_trip_us);

/** It does not, or not as it should */
struct finding doctor_pair_unreached(const char *host, const struct error *why);

/** @ahead_ms  how far the peer's clock is ahead */
struct finding doctor_pair_clocks(const char *host, int64_t ahead_ms);

/** @libvirt  whether domains may be meant: this host has a libvirt */
struct finding doctor_pair_permission(const char *host, const struct facts *there, bool libvirt);

/** The line that is missing in the peer's culvert.conf */
void doctor_pair_permission_line(
	const char *host, const struct facts *there, char *text, size_t size);

struct finding doctor_pair_versions(const struct facts *here, const struct facts *there);
struct finding doctor_pair_qemu(const struct facts *here, const struct facts *there);
struct finding doctor_pair_libvirt(const struct facts *here, const struct facts *there);

/** The peer's libvirt, which it says it has and permits, cannot be reached through the tunnel */
struct finding doctor_pair_no_libvirt(const char *host, const char *why);

struct finding doctor_pair_tcp(
	const struct facts *here, const struct facts *there, uint64_t round_trip_us);
struct finding doctor_pair_memory(const char *host, const struct facts *there);

/** @failure  why they could not be compared, or NULL */
struct finding doctor_pair_cpu(const char *host, bool compatible, const char *failure);

/** @missing  a machine type of this host that the peer lacks; empty: none */
struct finding doctor_pair_machines(const char *host, const char *missing, const char *failure);

#endif
