/* libculvert-libvirt.so: preloaded into an unmodified client of libvirt (virsh, nova-compute), it
 * takes migrations that ask for libvirt's own tunnel (VIR_MIGRATE_TUNNELLED) through Culvert's,
 * which also carries post-copy, disks and parallel streams.
 *
 * Such a call gets a rendezvous of culvertd, held until it returns, and goes on without the flag
 * and with the rendezvous' URIs; every other parameter stays. Calls that do not ask for the tunnel,
 * or for a host that is no peer of this one, are left alone. docs/LIBVIRT.md names its limits.
 */
#include <dlfcn.h>
#include <jansson.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/client.h"

/* culvertd waits for its peer so long: for each of its addresses as long as a link may take */
#define RENDEZVOUS_TIMEOUT_MS 60000

#define EXPORTED __attribute__((visibility("default")))

typedef int (*migrate_function)(virDomainPtr domain, const char *uri,
	virTypedParameterPtr parameters, unsigned count, unsigned flags);

/* Parameters of one call, copied */
struct parameters {
	virTypedParameterPtr list;
	int count;
	int most;
};

static migrate_function original(void)
{
	/* POSIX gives functions and objects the same pointers. */
	union {
		void *object;
		migrate_function function;
	} found = {.object = dlsym(RTLD_NEXT, "virDomainMigrateToURI3")};

	return found.function;
}

static const char *socket_path(void)
{
	const char *path = getenv("CULVERT_SOCKET");

	return path ? path : CLIENT_SOCKET;
}

static void warn(const char *why)
{
	fprintf(stderr, "libculvert-libvirt: not through Culvert: %s\n", why);
}

/* "qemu+ssh://root@hostb:22/system": "hostb". @returns false: there is none in it */
static bool host_of(const char *uri, char *host, size_t size)
{
	const char *start = uri ? strstr(uri, "://") : NULL;
	size_t length;
	const char *at;

	if (!start)
		return false;
	start += strlen("://");
	length = strcspn(start, "/?");
	at = memchr(start, '@', length);
	if (at) {
		length -= (size_t)(at + 1 - start);
		start = at + 1;
	}
	if (*start == '[') {
		start++;
		length = strcspn(start, "]");
	} else {
		length = strcspn(start, ":/?") < length ? strcspn(start, ":/?") : length;
	}
	if (length == 0 || length >= size)
		return false;
	memcpy(host, start, length);
	host[length] = '\0';
	return true;
}

/* Whether @address, "10.0.0.2:16520" or "[::1]:16520", is of @host */
static bool is_address_of(const char *address, const char *host)
{
	size_t length = strlen(host);

	address += *address == '[';
	return strncmp(address, host, length) == 0 &&
		(address[length] == ':' || address[length] == ']');
}

static bool peer_is(const json_t *peer, const char *host)
{
	const char *name = json_string_value(json_object_get(peer, "name"));
	const char *identity = json_string_value(json_object_get(peer, "identity"));
	const json_t *address;
	size_t i;

	if ((name && strcmp(name, host) == 0) || (identity && strcmp(identity, host) == 0))
		return true;
	json_array_foreach(json_object_get(peer, "addresses"), i, address)
	{
		if (json_is_string(address) && is_address_of(json_string_value(address), host))
			return true;
	}
	return false;
}

/* The peer that @host is: its name, address or identity. @returns a new reference, or NULL */
static json_t *find_peer(struct client *client, const char *host, struct error *err)
{
	json_t *answer = NULL;
	json_t *found = NULL;
	json_t *peer;
	size_t i;

	if (client_call(client, "peers", NULL, RENDEZVOUS_TIMEOUT_MS, &answer, err) < 0)
		return NULL;
	json_array_foreach(json_object_get(answer, "peers"), i, peer)
	{
		if (!found && peer_is(peer, host))
			found = json_incref(json_object_get(peer, "name"));
	}
	json_decref(answer);
	if (!found)
		error_set(err, ERROR_USAGE, "'%s' is no peer of this host", host);
	return found;
}

/* @returns the URIs, a new reference, and the client that holds the rendezvous; or NULL */
static json_t *meet(const char *host, struct client **client, struct error *err)
{
	json_t *answer = NULL;
	json_t *peer;

	*client = client_open(socket_path(), err);
	if (!*client)
		return NULL;
	peer = find_peer(*client, host, err);
	if (peer &&
		client_call(*client, "rendezvous", json_pack("{so}", "host", peer),
			RENDEZVOUS_TIMEOUT_MS, &answer, err) == 0)
		return answer;
	client_free(*client);
	return NULL;
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

static int add(struct parameters *copied, const char *key, const json_t *uri)
{
	return json_is_string(uri) ? virTypedParamsAddString(&copied->list, &copied->count,
					     &copied->most, key, json_string_value(uri))
				   : -1;
}

/* With the URIs of a rendezvous. @returns what libvirt returned */
static int migrate_there(virDomainPtr domain, const json_t *uris, virTypedParameterPtr list,
	unsigned count, unsigned flags)
{
	struct parameters copied;
	int result = -1;

	if (copy(&copied, list, count) == 0 &&
		add(&copied, VIR_MIGRATE_PARAM_URI, json_object_get(uris, "migrate_uri")) == 0 &&
		add(&copied, VIR_MIGRATE_PARAM_DISKS_URI, json_object_get(uris, "disks_uri")) == 0)
		result = original()(domain, json_string_value(json_object_get(uris, "libvirt_uri")),
			copied.list, (unsigned)copied.count,
			flags & ~(unsigned)VIR_MIGRATE_TUNNELLED);
	virTypedParamsFree(copied.list, copied.count);
	return result;
}

static int migrate(virDomainPtr domain, const char *uri, virTypedParameterPtr list, unsigned count,
	unsigned flags)
{
	struct client *client;
	struct error err;
	char host[256];
	json_t *uris;
	int result;

	if (!(flags & VIR_MIGRATE_TUNNELLED) || !(flags & VIR_MIGRATE_PEER2PEER) ||
		!host_of(uri, host, sizeof(host)))
		return original()(domain, uri, list, count, flags);
	uris = meet(host, &client, &err);
	if (!uris) {
		warn(err.message);
		return original()(domain, uri, list, count, flags);
	}
	result = migrate_there(domain, uris, list, count, flags);
	json_decref(uris);
	client_free(client);
	return result;
}

EXPORTED int virDomainMigrateToURI3(virDomainPtr domain, const char *uri, virTypedParameterPtr list,
	unsigned count, unsigned flags)
{
	return migrate(domain, uri, list, count, flags);
}
