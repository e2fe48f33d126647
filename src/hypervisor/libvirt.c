#include "hypervisor/libvirt.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/libvirt_connection.h"

struct libvirt {
	virConnectPtr connection;
	virDomainPtr domain;
	char uuid[VIR_UUID_STRING_BUFLEN];
	char *uri;
};

/* A UUID first: a domain may be named like the UUID of another. @returns NULL: there is none, says
 * VIR_ERR_NO_DOMAIN */
static virDomainPtr find(virConnectPtr connection, const char *domain)
{
	virDomainPtr found = virDomainLookupByUUIDString(connection, domain);

	if (found ||
		(virGetLastErrorCode() != VIR_ERR_NO_DOMAIN &&
			virGetLastErrorCode() != VIR_ERR_INVALID_ARG))
		return found;
	return virDomainLookupByName(connection, domain);
}

static struct libvirt *open_with(virConnectPtr (*open)(const char *uri, struct error *err),
	const char *uri, const char *domain, struct error *err)
{
	struct libvirt *libvirt = calloc(1, sizeof(*libvirt));

	if (!libvirt) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	libvirt->uri = strdup(uri);
	libvirt->connection = libvirt->uri ? open(uri, err) : NULL;
	if (!libvirt->connection) {
		if (!libvirt->uri)
			error_set(err, ERROR_LOCAL, "no memory");
		free(libvirt->uri);
		free(libvirt);
		return NULL;
	}
	libvirt->domain = find(libvirt->connection, domain);
	if (libvirt->domain && virDomainGetUUIDString(libvirt->domain, libvirt->uuid) == 0)
		return libvirt;
	if (virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
		error_set(err, ERROR_USAGE, "libvirt (%s) has no domain '%s'", uri, domain);
	else
		libvirt_connection_fail(err, ERROR_HYPERVISOR, "cannot find the domain");
	libvirt_free(libvirt);
	return NULL;
}

struct libvirt *libvirt_open(const char *uri, const char *domain, struct error *err)
{
	return open_with(libvirt_connection_open, uri, domain, err);
}

/* libvirt's daemon may have been started again since. @errors  as libvirt_open() */
static int revive(struct libvirt *libvirt, struct error *err)
{
	struct libvirt old = *libvirt;
	struct libvirt *fresh;

	if (virConnectIsAlive(libvirt->connection) == 1)
		return 0;
	fresh = libvirt_open(libvirt->uri, libvirt->uuid, err);
	if (!fresh)
		return -1;
	libvirt->connection = fresh->connection;
	libvirt->domain = fresh->domain;
	fresh->connection = old.connection;
	fresh->domain = old.domain;
	libvirt_free(fresh);
	return 0;
}

void libvirt_free(struct libvirt *libvirt)
{
	if (!libvirt)
		return;
	if (libvirt->domain)
		virDomainFree(libvirt->domain);
	virConnectClose(libvirt->connection);
	free(libvirt->uri);
	free(libvirt);
}

const char *libvirt_name(const struct libvirt *libvirt)
{
	return virDomainGetName(libvirt->domain);
}

const char *libvirt_uuid(const struct libvirt *libvirt)
{
	return libvirt->uuid;
}

static int read_version(virConnectPtr connection, uint64_t *version, struct error *err)
{
	unsigned long found;

	if (virConnectGetVersion(connection, &found) < 0)
		return libvirt_connection_fail(
			err, ERROR_HYPERVISOR, "cannot find out the version of QEMU");
	*version = found;
	return 0;
}

int libvirt_version(struct libvirt *libvirt, uint64_t *version, struct error *err)
{
	return read_version(libvirt->connection, version, err);
}

int libvirt_version_at(const char *uri, uint64_t *version, struct error *err)
{
	virConnectPtr connection = libvirt_connection_open(uri, err);
	int result;

	if (!connection)
		return -1;
	result = read_version(connection, version, err);
	virConnectClose(connection);
	return result;
}

/* What is settled once post-copy has begun, and not asked for again when it goes on */
static unsigned flags_of_begin(const struct libvirt_options *options)
{
	unsigned flags = 0;

	if (options->copy_storage == COPY_STORAGE_ALL)
		flags |= VIR_MIGRATE_NON_SHARED_DISK;
	if (options->copy_storage == COPY_STORAGE_INC)
		flags |= VIR_MIGRATE_NON_SHARED_INC;
	if (options->parallel_count > 0)
		flags |= VIR_MIGRATE_PARALLEL;
	if (options->compressed)
		flags |= VIR_MIGRATE_COMPRESSED;
	if (options->auto_converge)
		flags |= VIR_MIGRATE_AUTO_CONVERGE;
	return flags;
}

/* Peer-to-peer: without the client, this daemon, in between */
static unsigned flags_of(const struct libvirt_route *route)
{
	unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER;

	flags |= route->resume ? VIR_MIGRATE_POSTCOPY_RESUME : flags_of_begin(route->options);

	if (route->mode != MODE_PRECOPY)
		flags |= VIR_MIGRATE_POSTCOPY;
	if (route->options->persistent)
		flags |= VIR_MIGRATE_PERSIST_DEST;
	if (route->options->undefine_source)
		flags |= VIR_MIGRATE_UNDEFINE_SOURCE;
	return flags;
}

static int add_parameters(
	virTypedParameterPtr *parameters, int *count, const struct libvirt_route *route)
{
	uint64_t parallel_count = route->options->parallel_count;
	int most = 0;

	/* With one of these URIs missing it would go over plain TCP, without a word. */
	if (virTypedParamsAddString(
		    parameters, count, &most, VIR_MIGRATE_PARAM_URI, route->migrate_uri) < 0 ||
		virTypedParamsAddString(parameters, count, &most, VIR_MIGRATE_PARAM_DISKS_URI,
			route->disks_uri) < 0)
		return -1;
	if (parallel_count == 0 || route->resume)
		return 0;
	return virTypedParamsAddInt(parameters, count, &most,
		VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, (int)parallel_count);
}

int libvirt_migrate(struct libvirt *libvirt, const struct libvirt_route *route, struct error *err)
{
	/* A connection of its own: on one that two threads use, libvirt 9.0 loses the wakeup of the
	 * second, which then waits for the call of the first, this one, to return. */
	struct libvirt *caller =
		open_with(libvirt_connection_open_patient, libvirt->uri, libvirt->uuid, err);
	virTypedParameterPtr parameters = NULL;
	int count = 0;
	int result;

	if (!caller)
		return -1;
	if (add_parameters(&parameters, &count, route) < 0) {
		libvirt_connection_fail(err, ERROR_LOCAL, "cannot migrate");
		virTypedParamsFree(parameters, count);
		libvirt_free(caller);
		return -1;
	}
	result = virDomainMigrateToURI3(
		caller->domain, route->libvirt_uri, parameters, (unsigned)count, flags_of(route));
	if (result < 0)
		libvirt_connection_fail(err, ERROR_HYPERVISOR, "libvirt");
	virTypedParamsFree(parameters, count);
	libvirt_free(caller);
	return result < 0 ? -1 : 0;
}

static void read_number(
	virTypedParameterPtr parameters, int count, const char *name, uint64_t *number)
{
	unsigned long long value;

	if (virTypedParamsGetULLong(parameters, count, name, &value) == 1)
		*number = value;
}

static void read_statistics(
	virTypedParameterPtr parameters, int count, struct migration_figures *figures)
{
	const struct {
		const char *name;
		uint64_t *number;
	} table[] = {
		{VIR_DOMAIN_JOB_MEMORY_ITERATION, &figures->pass_count},
		{VIR_DOMAIN_JOB_MEMORY_TOTAL, &figures->ram_total_bytes},
		{VIR_DOMAIN_JOB_MEMORY_REMAINING, &figures->ram_remaining_bytes},
		{VIR_DOMAIN_JOB_MEMORY_PROCESSED, &figures->ram_transferred_bytes},
		{VIR_DOMAIN_JOB_MEMORY_BPS, &figures->rate_bytes_per_s},
		{VIR_DOMAIN_JOB_DISK_TOTAL, &figures->disk_total_bytes},
		{VIR_DOMAIN_JOB_DISK_PROCESSED, &figures->disk_copied_bytes},
		{VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS, &figures->page_requests},
		{VIR_DOMAIN_JOB_DOWNTIME, &figures->downtime_ms},
		{VIR_DOMAIN_JOB_SETUP_TIME, &figures->setup_ms},
		{VIR_DOMAIN_JOB_TIME_ELAPSED, &figures->total_ms},
	};
	uint64_t dirty_pages_per_s = 0;
	uint64_t page_bytes = 4096;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		read_number(parameters, count, table[i].name, table[i].number);
	read_number(parameters, count, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, &dirty_pages_per_s);
	read_number(parameters, count, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, &page_bytes);
	figures->dirty_rate_bytes_per_s = dirty_pages_per_s * page_bytes;
}

/* @memory_known  whether QEMU counts memory already: before, it copies disks */
static enum migration_state state_of(struct libvirt *libvirt, int job, bool memory_known)
{
	int state;
	int reason;

	if (virDomainGetState(libvirt->domain, &state, &reason, 0) == 0 &&
		state == VIR_DOMAIN_PAUSED) {
		if (reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
			return MIGRATION_PAUSED;
		if (reason == VIR_DOMAIN_PAUSED_POSTCOPY)
			return MIGRATION_POSTCOPY;
	}
	if (job == VIR_DOMAIN_JOB_NONE)
		return MIGRATION_NONE;
	return memory_known ? MIGRATION_PRECOPY : MIGRATION_SETUP;
}

static int query(struct libvirt *libvirt, unsigned flags, struct migration_figures *figures,
	struct error *err)
{
	struct migration_figures now = {0};
	virTypedParameterPtr parameters = NULL;
	int count = 0;
	int job;
	unsigned long long limit_ms;

	if (revive(libvirt, err) < 0)
		return -1;
	if (virDomainGetJobStats(libvirt->domain, &job, &parameters, &count, flags) < 0)
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "libvirt");
	read_statistics(parameters, count, &now);
	virTypedParamsFree(parameters, count);
	now.state = state_of(libvirt, job, now.ram_total_bytes > 0);
	if (virDomainMigrateGetMaxDowntime(libvirt->domain, &limit_ms, 0) == 0)
		now.downtime_limit_ms = limit_ms;
	*figures = now;
	return 0;
}

int libvirt_query(struct libvirt *libvirt, struct migration_figures *figures, struct error *err)
{
	return query(libvirt, 0, figures, err);
}

int libvirt_query_completed(
	struct libvirt *libvirt, struct migration_figures *figures, struct error *err)
{
	return query(libvirt, VIR_DOMAIN_JOB_STATS_COMPLETED, figures, err);
}

int libvirt_switch_to_postcopy(struct libvirt *libvirt, struct error *err)
{
	if (revive(libvirt, err) < 0)
		return -1;
	if (virDomainMigrateStartPostCopy(libvirt->domain, 0) < 0)
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "cannot switch to post-copy");
	return 0;
}

int libvirt_cancel(struct libvirt *libvirt, struct error *err)
{
	if (revive(libvirt, err) < 0)
		return -1;
	if (virDomainAbortJob(libvirt->domain) < 0)
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "cannot cancel");
	return 0;
}

int libvirt_undefine(struct libvirt *libvirt, struct error *err)
{
	int persistent;

	if (revive(libvirt, err) < 0)
		return err->code == ERROR_USAGE ? 0 : -1;
	persistent = virDomainIsPersistent(libvirt->domain);
	if (persistent == 0 || (persistent < 0 && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN))
		return 0;
	/* As libvirt does it itself: what lies beside the definition stays. */
	if (persistent < 0 ||
		virDomainUndefineFlags(libvirt->domain,
			VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM) < 0)
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "cannot undefine it here");
	return 0;
}

static enum libvirt_hold hold_of(int state, int reason)
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
		/* Where it arrives in post-copy and was interrupted, it may still run a while. */
		return reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED ? HOLD_BROKEN : HOLD_RUNNING;
	case VIR_DOMAIN_PAUSED:
		if (reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
			return HOLD_BROKEN;
		if (reason == VIR_DOMAIN_PAUSED_POSTCOPY)
			return HOLD_LEAVING;
		return reason == VIR_DOMAIN_PAUSED_MIGRATION ||
				reason == VIR_DOMAIN_PAUSED_STARTING_UP
			? HOLD_ARRIVING
			: HOLD_STOPPED;
	case VIR_DOMAIN_SHUTOFF:
		return HOLD_NONE;
	default:
		return HOLD_STOPPED;
	}
}

int libvirt_hold(struct libvirt *libvirt, enum libvirt_hold *hold, struct error *err)
{
	int state;
	int reason;

	if (revive(libvirt, err) < 0) {
		*hold = err->code == ERROR_USAGE ? HOLD_NONE : HOLD_UNKNOWN;
		return err->code == ERROR_USAGE ? 0 : -1;
	}
	if (virDomainGetState(libvirt->domain, &state, &reason, 0) == 0) {
		*hold = hold_of(state, reason);
		return 0;
	}
	if (virGetLastErrorCode() != VIR_ERR_NO_DOMAIN) {
		*hold = HOLD_UNKNOWN;
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "libvirt");
	}
	*hold = HOLD_NONE;
	return 0;
}

int libvirt_hold_at(const char *uri, const char *uuid, enum libvirt_hold *hold, struct error *err)
{
	struct error why;
	struct libvirt *libvirt = libvirt_open(uri, uuid, &why);
	int result;

	if (!libvirt && why.code == ERROR_USAGE) {
		*hold = HOLD_NONE;
		return 0;
	}
	if (!libvirt) {
		*hold = HOLD_UNKNOWN;
		*err = why;
		return -1;
	}
	result = libvirt_hold(libvirt, hold, err);
	libvirt_free(libvirt);
	return result;
}

int libvirt_memory(struct libvirt *libvirt, uint64_t *bytes, struct error *err)
{
	unsigned long kib = virDomainGetMaxMemory(libvirt->domain);
	char *description = virDomainGetXMLDesc(libvirt->domain, 0);

	if (kib == 0 || !description) {
		free(description);
		return libvirt_connection_fail(err, ERROR_HYPERVISOR, "cannot ask for its memory");
	}
	/* Huge pages were set aside: what else is free says nothing about them. */
	*bytes = strstr(description, "<hugepages") ? 0 : (uint64_t)kib * 1024;
	free(description);
	return 0;
}
