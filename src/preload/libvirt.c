/* libculvert-libvirt.so: preloaded into an unmodified client of libvirt (virsh, nova-compute), it
 * takes migrations that ask for libvirt's own tunnel (VIR_MIGRATE_TUNNELLED) through Culvert's,
 * which also carries post-copy, disks and parallel streams.
 *
 * Such a call gets a rendezvous of culvertd, held until it returns, and goes on without the flag
 * and with the rendezvous' URIs; every other parameter stays. Calls that do not ask for the tunnel,
 * or for a host that is no peer of this one, are left alone. docs/LIBVIRT.md names its limits.
 */
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/meeting.h"

#define EXPORTED __attribute__((visibility("default")))

#define TUNNEL ((unsigned long)VIR_MIGRATE_TUNNELLED | (unsigned long)VIR_MIGRATE_PEER2PEER)

/* What these functions are in libvirt itself */
union original {
	void *object; /* POSIX gives functions and objects the same pointers. */
	int (*to_uri)(virDomainPtr domain, const char *uri, unsigned long flags, const char *name,
		unsigned long bandwidth);
	int (*to_uri2)(virDomainPtr domain, const char *uri, const char *migrate_uri,
		const char *description, unsigned long flags, const char *name,
		unsigned long bandwidth);
	int (*to_uri3)(virDomainPtr domain, const char *uri, virTypedParameterPtr list,
		unsigned count, unsigned flags);
	virDomainPtr (*migrate)(virDomainPtr domain, virConnectPtr destination, unsigned long flags,
		const char *name, const char *uri, unsigned long bandwidth);
	virDomainPtr (*migrate2)(virDomainPtr domain, virConnectPtr destination,
		const char *description, unsigned long flags, const char *name, const char *uri,
		unsigned long bandwidth);
};

/* Parameters of one call, copied */
struct parameters {
	virTypedParameterPtr list;
	int count;
	int most;
};

static union original original(const char *name)
{
	return (union original){.object = dlsym(RTLD_NEXT, name)};
}

static void warn(const char *why)
{
	fprintf(stderr, "libculvert-libvirt: not through Culvert: %s\n", why);
}

/* All but the URIs, which are ours to give. @returns 0, or -1: no memory */
static int copy(struct parameters *copied, virTypedParameterPtr list, unsigned count)
{
	*copied = (struct parameters){0};
	copied->list = calloc(count + 1, sizeof(*list));
	if (!copied->list)
		return -1;
	copied->most = (int)count + 1;
	for (unsigned i = 0; i < count; i++) {
		virTypedParameterPtr to = &copied->list[copied->count];

		if (strcmp(list[i].field, VIR_MIGRATE_PARAM_URI) == 0 ||
			strcmp(list[i].field, VIR_MIGRATE_PARAM_DISKS_URI) == 0)
			continue;
		*to = list[i];
		copied->count++;
		if (to->type == VIR_TYPED_PARAM_STRING && to->value.s) {
			to->value.s = strdup(to->value.s);
			if (!to->value.s)
				return -1;
		}
	}
	return 0;
}

static int add(struct parameters *copied, const char *key, const char *value)
{
	return value
		? virTypedParamsAddString(&copied->list, &copied->count, &copied->most, key, value)
		: -1;
}

static const char *uri_of(const json_t *uris, const char *key)
{
	return json_string_value(json_object_get(uris, key));
}

/* With the URIs of a rendezvous. @returns what libvirt returned */
static int migrate_there(virDomainPtr domain, const json_t *uris, virTypedParameterPtr list,
	unsigned count, unsigned flags)
{
	struct parameters copied;
	int result = -1;

	if (copy(&copied, list, count) == 0 &&
		add(&copied, VIR_MIGRATE_PARAM_URI, uri_of(uris, "migrate_uri")) == 0 &&
		add(&copied, VIR_MIGRATE_PARAM_DISKS_URI, uri_of(uris, "disks_uri")) == 0)
		result = original("virDomainMigrateToURI3")
				 .to_uri3(domain, uri_of(uris, "libvirt_uri"), copied.list,
					 (unsigned)copied.count,
					 flags & ~(unsigned)VIR_MIGRATE_TUNNELLED);
	else
		warn("no memory, or an answer of culvertd's without an address");
	virTypedParamsFree(copied.list, copied.count);
	return result;
}

/* @taken    whether it was taken over: else nothing has happened
 * @returns  what libvirt returned */
static int migrate(virDomainPtr domain, const struct meeting_hosts *hosts,
	virTypedParameterPtr list, unsigned count, unsigned long flags, bool *taken)
{
	struct client *client;
	struct error err;
	json_t *uris = meeting_begin(hosts, &client, &err);
	int result;

	*taken = uris != NULL;
	if (!uris) {
		warn(err.message);
		return -1;
	}
	result = migrate_there(domain, uris, list, count, (unsigned)flags);
	json_decref(uris);
	client_free(client);
	return result;
}

/* What the older functions have as arguments. @returns 0, or -1: no memory, or out of range */
static int gather(struct parameters *gathered, const char *description, const char *name,
	unsigned long bandwidth)
{
	*gathered = (struct parameters){0};
	if ((description && add(gathered, VIR_MIGRATE_PARAM_DEST_XML, description) < 0) ||
		(name && add(gathered, VIR_MIGRATE_PARAM_DEST_NAME, name) < 0))
		return -1;
	return bandwidth > 0 ? virTypedParamsAddULLong(&gathered->list, &gathered->count,
				       &gathered->most, VIR_MIGRATE_PARAM_BANDWIDTH, bandwidth)
			     : 0;
}

static int migrate_old(virDomainPtr domain, const struct meeting_hosts *hosts,
	const char *description, const char *name, unsigned long bandwidth, unsigned long flags,
	bool *taken)
{
	struct parameters gathered;
	int result = -1;

	*taken = false;
	if (gather(&gathered, description, name, bandwidth) == 0)
		result = migrate(
			domain, hosts, gathered.list, (unsigned)gathered.count, flags, taken);
	else
		warn("no memory, or an argument that is none");
	virTypedParamsFree(gathered.list, gathered.count);
	return result;
}

/* @returns whether a call asks for the tunnel, to a host that its URI names */
static bool is_meant(unsigned long flags, const char *uri, struct meeting_hosts *hosts)
{
	*hosts = (struct meeting_hosts){0};
	return (flags & TUNNEL) == TUNNEL && meeting_host(uri, hosts->names[0], MEETING_HOST_BYTES);
}

/* ... or a connection to it. What its URI calls it goes before what it calls itself: behind a unix
 * socket there is no other. */
static bool is_meant_by(unsigned long flags, virConnectPtr destination, struct meeting_hosts *hosts)
{
	char *uri;
	char *name;
	bool found;

	*hosts = (struct meeting_hosts){0};
	if ((flags & TUNNEL) != TUNNEL || !destination)
		return false;
	uri = virConnectGetURI(destination);
	name = virConnectGetHostname(destination);
	found = meeting_host(uri, hosts->names[0], MEETING_HOST_BYTES);
	if (name && strlen(name) < MEETING_HOST_BYTES)
		strcpy(hosts->names[found ? 1 : 0], name);
	free(uri);
	free(name);
	return *hosts->names[0] != '\0';
}

/* The domain that has arrived, as libvirt's functions of these names return it */
static virDomainPtr arrived(
	virDomainPtr domain, virConnectPtr destination, const char *name, int result)
{
	if (result < 0)
		return NULL;
	return virDomainLookupByName(destination, name ? name : virDomainGetName(domain));
}

EXPORTED int virDomainMigrateToURI3(virDomainPtr domain, const char *uri, virTypedParameterPtr list,
	unsigned count, unsigned flags)
{
	struct meeting_hosts hosts;
	bool taken = false;
	int result = -1;

	if (is_meant(flags, uri, &hosts))
		result = migrate(domain, &hosts, list, count, flags, &taken);
	return taken ? result
		     : original("virDomainMigrateToURI3").to_uri3(domain, uri, list, count, flags);
}

EXPORTED int virDomainMigrateToURI2(virDomainPtr domain, const char *uri, const char *migrate_uri,
	const char *description, unsigned long flags, const char *name, unsigned long bandwidth)
{
	struct meeting_hosts hosts;
	bool taken = false;
	int result = -1;

	if (is_meant(flags, uri, &hosts))
		result = migrate_old(domain, &hosts, description, name, bandwidth, flags, &taken);
	return taken
		? result
		: original("virDomainMigrateToURI2")
			  .to_uri2(domain, uri, migrate_uri, description, flags, name, bandwidth);
}

EXPORTED int virDomainMigrateToURI(virDomainPtr domain, const char *uri, unsigned long flags,
	const char *name, unsigned long bandwidth)
{
	struct meeting_hosts hosts;
	bool taken = false;
	int result = -1;

	if (is_meant(flags, uri, &hosts))
		result = migrate_old(domain, &hosts, NULL, name, bandwidth, flags, &taken);
	return taken
		? result
		: original("virDomainMigrateToURI").to_uri(domain, uri, flags, name, bandwidth);
}

EXPORTED virDomainPtr virDomainMigrate2(virDomainPtr domain, virConnectPtr destination,
	const char *description, unsigned long flags, const char *name, const char *uri,
	unsigned long bandwidth)
{
	struct meeting_hosts hosts;
	bool taken = false;
	int result = -1;

	if (is_meant_by(flags, destination, &hosts))
		result = migrate_old(domain, &hosts, description, name, bandwidth, flags, &taken);
	return taken
		? arrived(domain, destination, name, result)
		: original("virDomainMigrate2")
			  .migrate2(domain, destination, description, flags, name, uri, bandwidth);
}

EXPORTED virDomainPtr virDomainMigrate(virDomainPtr domain, virConnectPtr destination,
	unsigned long flags, const char *name, const char *uri, unsigned long bandwidth)
{
	struct meeting_hosts hosts;
	bool taken = false;
	int result = -1;

	if (is_meant_by(flags, destination, &hosts))
		result = migrate_old(domain, &hosts, NULL, name, bandwidth, flags, &taken);
	return taken ? arrived(domain, destination, name, result)
		     : original("virDomainMigrate")
			       .migrate(domain, destination, flags, name, uri, bandwidth);
}
