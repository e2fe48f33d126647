#include "daemon/config_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "service "
#define FORWARD "forward "

/* What the protocol itself asks for, and the word that permits it */
static const char *const reserved[] = {
	"migrate", "migration", "control", "rendezvous", CONFIG_TCP_MIGRATION};

bool config_service_section(const char *section)
{
	return strncmp(section, SERVICE, strlen(SERVICE)) == 0 ||
		strncmp(section, FORWARD, strlen(FORWARD)) == 0;
}

static const char *name_in(const char *section)
{
	section += strcspn(section, " ");
	return section + strspn(section, " ");
}

static struct config_service *find_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++) {
		if (strcmp(config->services[i].name, name) == 0)
			return &config->services[i];
	}
	return NULL;
}

static struct config_forward *find_forward(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->forward_count; i++) {
		if (strcmp(config->forwards[i].name, name) == 0)
			return &config->forwards[i];
	}
	return NULL;
}

/* Room for one more. @returns the array, or NULL with @err set */
static void *grow(void *array, size_t count, size_t each_bytes, struct error *err)
{
	void *grown = realloc(array, (count + 1) * each_bytes);

	if (!grown)
		error_set(err, ERROR_LOCAL, "no memory");
	return grown;
}

static int add_service(struct config *config, const char *name, unsigned line, struct error *err)
{
	struct config_service *services;

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (strcmp(name, reserved[i]) == 0)
			return error_set(err, ERROR_USAGE,
				"'%s' is Culvert's own and cannot be a [service]: choose another "
				"name",
				name);
	}
	services = grow(config->services, config->service_count, sizeof(*services), err);
	if (!services)
		return -1;
	config->services = services;
	services += config->service_count++;
	*services = (struct config_service){.line = line};
	snprintf(services->name, sizeof(services->name), "%s", name);
	return 0;
}

static struct config_forward *append_forward(
	struct config *config, const char *name, unsigned line, struct error *err)
{
	struct config_forward *forwards =
		grow(config->forwards, config->forward_count, sizeof(*forwards), err);

	if (!forwards)
		return NULL;
	config->forwards = forwards;
	forwards += config->forward_count++;
	*forwards = (struct config_forward){.line = line};
	snprintf(forwards->name, sizeof(forwards->name), "%s", name);
	return forwards;
}

static int add_forward(struct config *config, const char *name, unsigned line, struct error *err)
{
	if (config->forward_count == CONFIG_FORWARDS_MOST)
		return error_set(
			err, ERROR_USAGE, "more than %d of [forward NAME]", CONFIG_FORWARDS_MOST);
	return append_forward(config, name, line, err) ? 0 : -1;
}

int config_service_begin(
	struct config *config, const char *section, unsigned line, struct error *err)
{
	const char *name = name_in(section);

	if (!parse_is_name(name))
		return error_set(err, ERROR_USAGE,
			"'[%s]': '%s' is not a name: use letters, digits, '.', '_' and '-'",
			section, name);
	if (*section == *SERVICE)
		return find_service(config, name) ? 0 : add_service(config, name, line, err);
	return find_forward(config, name) ? 0 : add_forward(config, name, line, err);
}

static int set_socket(char place[CONFIG_SOCKET_BYTES], const char *value, struct error *err)
{
	if (*place)
		return error_set(err, ERROR_USAGE, "given twice");
	if (*value != '/')
		return error_set(err, ERROR_USAGE, "'%s' is not an absolute path", value);
	if (strlen(value) >= CONFIG_SOCKET_BYTES)
		return error_set(err, ERROR_USAGE,
			"is too long for a unix socket: choose a path under %d bytes",
			CONFIG_SOCKET_BYTES);
	snprintf(place, CONFIG_SOCKET_BYTES, "%s", value);
	return 0;
}

static int set_name(char place[64], const char *value, struct error *err)
{
	if (*place)
		return error_set(err, ERROR_USAGE, "given twice");
	return parse_name(value, place, err);
}

static int set_forward_key(
	struct config_forward *forward, const char *key, const char *value, struct error *err)
{
	if (strcmp(key, "listen") == 0)
		return set_socket(forward->listen, value, err);
	if (strcmp(key, "host") == 0)
		return set_name(forward->host, value, err);
	if (strcmp(key, "service") == 0)
		return set_name(forward->service, value, err);
	return error_set(err, ERROR_USAGE, "is not a key of a [forward]");
}

int config_service_key(struct config *config, const char *section, const char *key,
	const char *value, struct error *err)
{
	const char *name = name_in(section);

	if (*section != *SERVICE)
		return set_forward_key(find_forward(config, name), key, value, err);
	if (strcmp(key, "socket") != 0)
		return error_set(err, ERROR_USAGE, "is not a key of a [service]");
	return set_socket(find_service(config, name)->socket, value, err);
}

int config_service_permit(
	struct config_peer *peer, const char *name, unsigned line, struct error *err)
{
	struct config_permission *permissions;

	if (strcmp(name, "migrate") == 0) {
		peer->may_migrate = true;
		return 0;
	}
	if (!parse_is_name(name))
		return error_set(err, ERROR_USAGE, "'%s' is not a name of a service", name);
	permissions = grow(peer->permissions, peer->permission_count, sizeof(*permissions), err);
	if (!permissions)
		return -1;
	peer->permissions = permissions;
	permissions += peer->permission_count++;
	*permissions = (struct config_permission){.line = line};
	snprintf(permissions->service, sizeof(permissions->service), "%s", name);
	return 0;
}

static int check_permissions(const struct config *config, const char *path, struct error *err)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		for (size_t j = 0; j < peer->permission_count; j++) {
			const struct config_permission *permission = &peer->permissions[j];

			if (strcmp(permission->service, CONFIG_BENCH) != 0 &&
				!find_service(config, permission->service))
				return error_set(err, ERROR_USAGE,
					"%s:%u: services: no service '%s': there are migrate, "
					"bench "
					"and each [service NAME]",
					path, permission->line, permission->service);
		}
	}
	return 0;
}

static int check_forward(const struct config *config, const struct config_forward *forward,
	const char *path, struct error *err)
{
	const char *missing = NULL;

	if (!*forward->listen)
		missing = "listen";
	else if (!*forward->host)
		missing = "host";
	else if (!*forward->service)
		missing = "service";
	if (missing)
		return error_set(err, ERROR_USAGE, "%s:%u: [forward %s] lacks '%s'", path,
			forward->line, forward->name, missing);
	if (!config_find_peer(config, forward->host))
		return error_set(err, ERROR_USAGE,
			"%s:%u: [forward %s]: unknown host '%s': there is no [peer %s]", path,
			forward->line, forward->name, forward->host, forward->host);
	for (const struct config_forward *other = config->forwards; other < forward; other++) {
		if (strcmp(other->listen, forward->listen) == 0)
			return error_set(err, ERROR_USAGE,
				"%s:%u: [forward %s] listens where [forward %s] does", path,
				forward->line, forward->name, other->name);
	}
	return 0;
}

/* A peer may use the libvirt of this host, and no section says where its socket is. */
static int complete_libvirt(struct config *config, struct error *err)
{
	if (find_service(config, CONFIG_LIBVIRT))
		return 0;
	if (add_service(config, CONFIG_LIBVIRT, 0, err) < 0)
		return -1;
	return set_socket(find_service(config, CONFIG_LIBVIRT)->socket, CONFIG_LIBVIRT_SOCKET, err);
}

/* Where libvirt's clients on this host reach the libvirt of @peer */
static int forward_libvirt(struct config *config, const struct config_peer *peer, struct error *err)
{
	struct config_forward *forward = append_forward(config, CONFIG_LIBVIRT, peer->line, err);

	if (!forward)
		return -1;
	config_libvirt_path(config, peer, forward->listen);
	if (!*forward->listen)
		return error_set(err, ERROR_USAGE,
			"the socket of its libvirt in runtime_directory would have too long a "
			"path");
	snprintf(forward->host, sizeof(forward->host), "%s", peer->name);
	snprintf(forward->service, sizeof(forward->service), "%s", CONFIG_LIBVIRT);
	forward->group = config->libvirt_group;
	return 0;
}

static int forward_libvirts(struct config *config, const char *path, struct error *err)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		if (peer->addresses.count > 0 && forward_libvirt(config, peer, err) < 0)
			return error_prefix(err, "%s:%u: [peer %s]", path, peer->line, peer->name);
	}
	return 0;
}

int config_service_complete(struct config *config, const char *path, struct error *err)
{
	if (complete_libvirt(config, err) < 0)
		return -1;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		if (!*service->socket)
			return error_set(err, ERROR_USAGE, "%s:%u: [service %s] lacks 'socket'",
				path, service->line, service->name);
	}
	for (size_t i = 0; i < config->forward_count; i++) {
		if (check_forward(config, &config->forwards[i], path, err) < 0)
			return -1;
		config->forwards[i].group = config->control_group;
	}
	if (check_permissions(config, path, err) < 0)
		return -1;
	return forward_libvirts(config, path, err);
}

void config_libvirt_path(
	const struct config *config, const struct config_peer *peer, char path[CONFIG_SOCKET_BYTES])
{
	if (snprintf(path, CONFIG_SOCKET_BYTES, "%s/peers/%s/libvirt.sock",
		    config->runtime_directory, peer->name) >= CONFIG_SOCKET_BYTES)
		*path = '\0';
}

const struct config_service *config_permitted_service(
	const struct config *config, const struct config_peer *peer, const char *name)
{
	for (size_t i = 0; i < peer->permission_count; i++) {
		if (strcmp(peer->permissions[i].service, name) == 0)
			return find_service(config, name);
	}
	return NULL;
}

bool config_permits_bench(const struct config_peer *peer)
{
	for (size_t i = 0; i < peer->permission_count; i++) {
		if (strcmp(peer->permissions[i].service, CONFIG_BENCH) == 0)
			return true;
	}
	return peer->may_migrate;
}
