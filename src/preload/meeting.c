#include "preload/meeting.h"

#include <stdlib.h>
#include <string.h>

/* culvertd waits for its peer so long: for each of its addresses as long as a link may take */
#define RENDEZVOUS_TIMEOUT_MS 60000

static const char *socket_path(void)
{
	const char *path = getenv("CULVERT_SOCKET");

	return path ? path : CLIENT_SOCKET;
}

bool meeting_host(const char *uri, char *host, size_t size)
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

/* @returns its name, borrowed from @peers; or NULL */
static json_t *find(const json_t *peers, const char *host)
{
	json_t *peer;
	size_t i;

	json_array_foreach((json_t *)peers, i, peer)
	{
		if (*host && peer_is(peer, host))
			return json_object_get(peer, "name");
	}
	return NULL;
}

/* @returns a new reference, or NULL */
static json_t *find_peer(
	struct client *client, const struct meeting_hosts *hosts, struct error *err)
{
	json_t *answer = NULL;
	json_t *found = NULL;

	if (client_call(client, "peers", NULL, RENDEZVOUS_TIMEOUT_MS, &answer, err) < 0)
		return NULL;
	for (size_t i = 0; i < MEETING_HOSTS_MOST && !found; i++)
		found = json_incref(find(json_object_get(answer, "peers"), hosts->names[i]));
	json_decref(answer);
	if (!found)
		error_set(err, ERROR_USAGE, "'%s' is no peer of this host", hosts->names[0]);
	return found;
}

json_t *meeting_begin(const struct meeting_hosts *hosts, struct client **client, struct error *err)
{
	json_t *answer = NULL;
	json_t *peer;

	*client = client_open(socket_path(), err);
	if (!*client)
		return NULL;
	peer = find_peer(*client, hosts, err);
	if (peer &&
		client_call(*client, "rendezvous", json_pack("{so}", "host", peer),
			RENDEZVOUS_TIMEOUT_MS, &answer, err) == 0)
		return answer;
	client_free(*client);
	return NULL;
}
