#include "hypervisor/libvirt_host.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "hypervisor/libvirt_connection.h"

struct libvirt_host {
	virConnectPtr connection;
};

bool libvirt_host_absent(void)
{
	static const char *const sockets[] = {
		"/run/libvirt/libvirt-sock",
		"/run/libvirt/virtqemud-sock",
	};

	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		if (access(sockets[i], F_OK) == 0)
			return false;
	}
	return true;
}

struct libvirt_host *libvirt_host_open(const char *uri, struct error *err)
{
	struct libvirt_host *host = calloc(1, sizeof(*host));

	if (!host) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	host->connection = libvirt_connection_open(uri, err);
	if (host->connection)
		return host;
	free(host);
	return NULL;
}

void libvirt_host_free(struct libvirt_host *host)
{
	if (!host)
		return;
	virConnectClose(host->connection);
	free(host);
}

static void write_version(unsigned long number, char text[32])
{
	snprintf(text, 32, "%lu.%lu.%lu", number / 1000000, number / 1000 % 1000, number % 1000);
}

void libvirt_host_versions(struct libvirt_host *host, char libvirt[32], char qemu[32])
{
	unsigned long number;

	*libvirt = *qemu = '\0';
	if (virConnectGetLibVersion(host->connection, &number) == 0)
		write_version(number, libvirt);
	if (virConnectGetVersion(host->connection, &number) == 0 && number > 0)
		write_version(number, qemu);
}

bool libvirt_host_uses_apparmor(struct libvirt_host *host)
{
	CLEANUP_FREE char *text = virConnectGetCapabilities(host->connection);

	return text && strstr(text, "<model>apparmor</model>");
}

/* The element <host><cpu>...</cpu> of libvirt's capabilities, cut out of @text; or NULL */
static char *host_cpu(char *text)
{
	char *begin = strstr(text, "<cpu>");
	char *end = begin ? strstr(begin, "</cpu>") : NULL;

	if (!end)
		return NULL;
	end[strlen("</cpu>")] = '\0';
	return begin;
}

int libvirt_host_compare_cpu(struct libvirt_host *source, struct libvirt_host *destination,
	bool *compatible, struct error *err)
{
	CLEANUP_FREE char *capabilities = virConnectGetCapabilities(source->connection);
	char *cpu = capabilities ? host_cpu(capabilities) : NULL;
	int result;

	if (!capabilities)
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "libvirt here");
	if (!cpu)
		return error_set(err, ERROR_HYPERVISOR,
			"libvirt here does not tell which processor this host has");
	result = virConnectCompareCPU(destination->connection, cpu, 0);
	if (result == VIR_CPU_COMPARE_ERROR)
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "libvirt there");
	*compatible = result != VIR_CPU_COMPARE_INCOMPATIBLE;
	return 0;
}

/* What @source makes of the machine type @alias: "pc-q35-7.2" of "q35". @returns false: nothing */
static bool resolve_machine(virConnectPtr source, const char *alias, char name[64])
{
	CLEANUP_FREE char *text =
		virConnectGetDomainCapabilities(source, NULL, NULL, alias, NULL, 0);
	char *begin = text ? strstr(text, "<machine>") : NULL;

	return begin && sscanf(begin, "<machine>%63[^<]", name) == 1;
}

int libvirt_host_compare_machines(struct libvirt_host *source, struct libvirt_host *destination,
	char missing[64], struct error *err)
{
	static const char *const aliases[] = {"pc", "q35", "virt"};
	unsigned known_count = 0;

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		CLEANUP_FREE char *theirs = NULL;

		if (!resolve_machine(source->connection, aliases[i], missing))
			continue;
		known_count++;
		theirs = virConnectGetDomainCapabilities(
			destination->connection, NULL, NULL, missing, NULL, 0);
		if (theirs)
			continue;
		if (virGetLastErrorCode() == VIR_ERR_INVALID_ARG)
			return 0;
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "libvirt there");
	}
	*missing = '\0';
	if (known_count == 0)
		return error_set(err, ERROR_HYPERVISOR,
			"libvirt here knows none of the usual machine types");
	return 0;
}
