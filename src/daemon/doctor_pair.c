#include "daemon/doctor_pair.h"

#include <stdio.h>
#include <string.h>

#include "hypervisor/qemu_check.h"

/* Certificates, and logs that are compared, want clocks closer than that. */
#define AHEAD_MOST_MS 2000
/* What one channel should be able to carry: 1 Gbit/s */
#define WANTED_BYTES_PER_MS 125000u
/* Less than the smallest guest worth moving */
#define MEMORY_LEAST_BYTES ((uint64_t)512 << 20)

struct finding doctor_pair_reached(const char *address, uint64_t round_trip_us)
{
	return finding_make("peer", FINDING_GOOD, "%s answers in %.2f ms", address,
		(double)round_trip_us / 1000);
}

static const char *remedy_unreached(enum error_code code)
{
	switch (code) {
	case ERROR_LINK:
		return "is culvertd running there, does 'listen' there match 'address' here, and "
		       "does "
		       "a firewall let the port pass?";
	case ERROR_IDENTITY:
		return "both hosts need certificates of the same CA, and 'identity' of each [peer] "
		       "section must be a name in the other's certificate; if it refused: services "
		       "= "
		       "migrate, there";
	case ERROR_PEER:
		return "give this host a [peer] section in culvert.conf there, with services = "
		       "migrate";
	case ERROR_USAGE:
		return "give [peer] an 'address' in culvert.conf here, or run the doctor there";
	case ERROR_NONE:
	case ERROR_LOCAL:
	case ERROR_HYPERVISOR:
	case ERROR_CANCELLED:
	case ERROR_GUEST:
		break;
	}
	return "see the logs of culvertd on both hosts";
}

struct finding doctor_pair_unreached(const char *host, const struct error *why)
{
	struct finding finding =
		finding_make("peer", FINDING_BAD, "no contact with %s: %s", host, why->message);

	finding_remedy(&finding, "%s", remedy_unreached(why->code));
	return finding;
}

struct finding doctor_pair_clocks(const char *host, int64_t ahead_ms)
{
	int64_t apart_ms = ahead_ms < 0 ? -ahead_ms : ahead_ms;
	struct finding finding;

	if (apart_ms <= AHEAD_MOST_MS)
		return finding_make("clocks", FINDING_GOOD, "both clocks agree within %.1f s",
			(double)AHEAD_MOST_MS / 1000);
	finding = finding_make("clocks", FINDING_WARNING, "the clock of %s is %.1f s %s", host,
		(double)apart_ms / 1000, ahead_ms < 0 ? "behind" : "ahead");
	finding_remedy(&finding, "set both by NTP (timedatectl set-ntp true)");
	return finding;
}

void doctor_pair_permission_line(
	const char *host, const struct facts *there, char *text, size_t size)
{
	snprintf(text, size,
		"in culvert.conf of %s, section [peer %s]: services = migrate, libvirt", host,
		there->name_there);
}

struct finding doctor_pair_permission(const char *host, const struct facts *there, bool libvirt)
{
	struct finding finding;
	char line[256];

	if (there->may_libvirt)
		return finding_make("permission", FINDING_GOOD,
			"%s permits this host migrate and libvirt", host);
	if (!libvirt)
		return finding_make("permission", FINDING_GOOD,
			"%s permits this host migrate; libvirt only where domains are moved", host);
	finding = finding_make("permission", FINDING_BAD,
		"%s permits this host migrate, but not libvirt: no domain can move there", host);
	doctor_pair_permission_line(host, there, line, sizeof(line));
	finding_remedy(&finding, "%s, and start culvertd there again", line);
	return finding;
}

struct finding doctor_pair_versions(const struct facts *here, const struct facts *there)
{
	struct finding finding;

	if (strcmp(here->version, there->version) == 0)
		return finding_make(
			"culvert-versions", FINDING_GOOD, "both run Culvert %s", here->version);
	finding = finding_make("culvert-versions", FINDING_WARNING, "Culvert %s here, %s there",
		here->version, there->version);
	finding_remedy(&finding, "install the same version on both hosts");
	return finding;
}

struct finding doctor_pair_qemu(const struct facts *here, const struct facts *there)
{
	struct finding finding;
	struct error err;

	if (!*here->qemu || !*there->qemu) {
		finding = finding_make("qemu-versions", FINDING_WARNING,
			"they cannot be compared: the version is not known %s",
			*here->qemu ? "there" : "here");
		finding_remedy(&finding, "install QEMU on both hosts");
		return finding;
	}
	if (qemu_check_version(ROLE_SOURCE, here->qemu, there->qemu, &err) == 0)
		return finding_make("qemu-versions", FINDING_GOOD, "QEMU %s here, %s there",
			here->qemu, there->qemu);
	finding = finding_make("qemu-versions", FINDING_BAD, "QEMU %s here, %s there: too old",
		here->qemu, there->qemu);
	finding_remedy(&finding, "%s", err.message);
	return finding;
}

struct finding doctor_pair_libvirt(const struct facts *here, const struct facts *there)
{
	struct finding finding;

	if (!*here->libvirt && !*there->libvirt)
		return finding_make("libvirt-versions", FINDING_GOOD, "no libvirt on either host");
	if (!*here->libvirt || !*there->libvirt) {
		finding = finding_make("libvirt-versions", FINDING_WARNING,
			"libvirt answers only %s: only bare QEMU can move",
			*here->libvirt ? "here" : "there");
		finding_remedy(&finding, "start libvirt on the other host, too, to move domains");
		return finding;
	}
	/* As of QEMU, what a newer one writes an older one may not read. */
	if (strverscmp(there->libvirt, here->libvirt) >= 0)
		return finding_make("libvirt-versions", FINDING_GOOD, "libvirt %s here, %s there",
			here->libvirt, there->libvirt);
	finding = finding_make("libvirt-versions", FINDING_WARNING,
		"libvirt %s here, %s there: older", here->libvirt, there->libvirt);
	finding_remedy(&finding, "install the same version or a newer one there");
	return finding;
}

struct finding doctor_pair_no_libvirt(const char *host, const char *why)
{
	struct finding finding = finding_make("libvirt-there", FINDING_BAD,
		"the libvirt of %s cannot be reached through the tunnel: %s", host, why);

	finding_remedy(&finding,
		"compare [service libvirt] in culvert.conf there with where its libvirt listens");
	return finding;
}

struct finding doctor_pair_tcp(
	const struct facts *here, const struct facts *there, uint64_t round_trip_us)
{
	const struct {
		uint64_t bytes;
		const char *name;
		const char *where;
	} all[] = {
		{here->send_bytes, "tcp_wmem", "here"},
		{here->receive_bytes, "tcp_rmem", "here"},
		{there->send_bytes, "tcp_wmem", "there"},
		{there->receive_bytes, "tcp_rmem", "there"},
	};
	uint64_t wanted = round_trip_us < 60000000 ? round_trip_us * WANTED_BYTES_PER_MS / 1000 : 0;
	struct finding finding;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		/* 0: not told */
		if (all[i].bytes == 0 || all[i].bytes >= wanted)
			continue;
		finding = finding_make("tcp-round-trip", FINDING_WARNING,
			"%s (%llu KiB) %s is too small for 1 Gbit/s over %.1f ms", all[i].name,
			(unsigned long long)(all[i].bytes >> 10), all[i].where,
			(double)round_trip_us / 1000);
		finding_remedy(&finding,
			"on both hosts, the third number of net.ipv4.tcp_rmem and tcp_wmem: %llu "
			"or more (sysctl)",
			(unsigned long long)(2 * wanted));
		return finding;
	}
	return finding_make("tcp-round-trip", FINDING_GOOD,
		"TCP's buffers are large enough for 1 Gbit/s over %.2f ms",
		(double)round_trip_us / 1000);
}

struct finding doctor_pair_memory(const char *host, const struct facts *there)
{
	struct finding finding;

	if (there->memory_bytes == 0)
		return finding_make(
			"memory", FINDING_GOOD, "%s does not tell how much is free", host);
	if (there->memory_bytes >= MEMORY_LEAST_BYTES)
		return finding_make("memory", FINDING_GOOD, "%llu MiB are free on %s",
			(unsigned long long)(there->memory_bytes >> 20), host);
	finding = finding_make("memory", FINDING_WARNING, "only %llu MiB are free on %s",
		(unsigned long long)(there->memory_bytes >> 20), host);
	finding_remedy(&finding, "make room there before a guest of that size or more comes");
	return finding;
}

struct finding doctor_pair_cpu(const char *host, bool compatible, const char *failure)
{
	struct finding finding;

	if (failure) {
		finding = finding_make("cpu", FINDING_WARNING, "not compared: %s", failure);
		finding_remedy(&finding, "see the libvirt of both hosts: virsh capabilities");
		return finding;
	}
	if (compatible)
		return finding_make(
			"cpu", FINDING_GOOD, "%s has all that this host's processor has", host);
	finding = finding_make(
		"cpu", FINDING_WARNING, "%s lacks features of this host's processor", host);
	finding_remedy(&finding,
		"give domains a CPU model that both have (virsh hypervisor-cpu-baseline), not "
		"host-model or host-passthrough");
	return finding;
}

struct finding doctor_pair_machines(const char *host, const char *missing, const char *failure)
{
	struct finding finding;

	if (failure) {
		finding =
			finding_make("machine-types", FINDING_WARNING, "not compared: %s", failure);
		finding_remedy(&finding, "see the libvirt of both hosts: virsh domcapabilities");
		return finding;
	}
	if (!*missing)
		return finding_make("machine-types", FINDING_GOOD,
			"%s knows the machine types that domains get here", host);
	finding = finding_make("machine-types", FINDING_BAD, "%s does not know the machine type %s",
		host, missing);
	finding_remedy(&finding,
		"install the same version of QEMU there, or give domains an older machine type");
	return finding;
}
