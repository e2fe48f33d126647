#include "daemon/config_loopback.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Below, ports are others'; libvirt takes no such either. */
#define PORT_LEAST 1024
#define PORT_MOST  65535

static int set_address(struct in_addr *address, const char *value, struct error *err)
{
	if (inet_pton(AF_INET, value, address) != 1 || ntohl(address->s_addr) >> 24 != 127)
		return error_set(err, ERROR_USAGE,
			"'%s' is not an address of 127.0.0.0/8: choose one of this use's own, like "
			"127.77.0.2",
			value);
	/* libvirt refuses it as migration_address, and all else on a host is there. */
	if (address->s_addr == htonl(INADDR_LOOPBACK))
		return error_set(err, ERROR_USAGE,
			"127.0.0.1 is everybody's: choose an address of this use's own, like "
			"127.77.0.2");
	return 0;
}

static int set_ports(struct config_loopback *loopback, char *value, struct error *err)
{
	char *end = strchr(value, '-');
	uint64_t first;
	uint64_t last;

	if (!end)
		return error_set(err, ERROR_USAGE,
			"'%s' is not a range of ports: write it like 49216-49279", value);
	*end++ = '\0';
	if (parse_number(value, PORT_LEAST, PORT_MOST, &first, err) < 0 ||
		parse_number(end, first, PORT_MOST, &last, err) < 0)
		return -1;
	if (last - first >= CONFIG_LOOPBACK_PORTS_MOST)
		return error_set(
			err, ERROR_USAGE, "more than %d ports", CONFIG_LOOPBACK_PORTS_MOST);
	loopback->first_port = (uint16_t)first;
	loopback->last_port = (uint16_t)last;
	return 0;
}

int config_loopback_set(struct config_loopback *loopback, const char *value, struct error *err)
{
	char text[64];
	char *ports;

	if (config_loopback_given(loopback))
		return error_set(err, ERROR_USAGE, "given twice");
	if ((size_t)snprintf(text, sizeof(text), "%s", value) >= sizeof(text))
		return error_set(err, ERROR_USAGE, "is too long");
	ports = strchr(text, ':');
	if (ports)
		*ports++ = '\0';
	loopback->first_port = CONFIG_LOOPBACK_FIRST_PORT;
	loopback->last_port = CONFIG_LOOPBACK_LAST_PORT;
	if (set_address(&loopback->address, text, err) < 0)
		return -1;
	return ports ? set_ports(loopback, ports, err) : 0;
}

/* libvirt calls a port free when nobody on any address of the host listens there. */
static int check_against_host(const struct config_loopback *host, const struct config_peer *peer,
	const char *path, struct error *err)
{
	const struct config_loopback *loopback = &peer->loopback;

	if (!config_loopback_given(host))
		return 0;
	if (loopback->address.s_addr == host->address.s_addr)
		return error_set(err, ERROR_USAGE,
			"%s:%u: [peer %s] loopback: is this host's migration_address", path,
			peer->line, peer->name);
	if (loopback->first_port <= host->last_port && host->first_port <= loopback->last_port)
		return error_set(err, ERROR_USAGE,
			"%s:%u: [peer %s] loopback: has ports %u-%u, and this host's "
			"migration_address %u-%u: libvirt here would find none of them free; give "
			"each host ports of its own (migration_port_min and _max of its qemu.conf)",
			path, peer->line, peer->name, loopback->first_port, loopback->last_port,
			host->first_port, host->last_port);
	return 0;
}

int config_loopback_complete(const struct config *config, const char *path, struct error *err)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		if (!config_loopback_given(&peer->loopback))
			continue;
		if (peer->addresses.count == 0)
			return error_set(err, ERROR_USAGE,
				"%s:%u: [peer %s] has a loopback and no 'address' to go to", path,
				peer->line, peer->name);
		if (check_against_host(&config->migration_address, peer, path, err) < 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (config->peers[j].loopback.address.s_addr ==
				peer->loopback.address.s_addr)
				return error_set(err, ERROR_USAGE,
					"%s:%u: [peer %s] has the loopback of [peer %s]", path,
					peer->line, peer->name, config->peers[j].name);
		}
	}
	return 0;
}

bool config_loopback_given(const struct config_loopback *loopback)
{
	return loopback->address.s_addr != 0;
}

size_t config_loopback_ports(const struct config_loopback *loopback)
{
	if (!config_loopback_given(loopback))
		return 0;
	return (size_t)(loopback->last_port - loopback->first_port) + 1;
}

bool config_permits_tcp_migration(const struct config *config, const struct config_peer *peer)
{
	return peer->may_migrate && config_loopback_given(&config->migration_address) &&
		config_permitted_service(config, peer, CONFIG_LIBVIRT);
}
