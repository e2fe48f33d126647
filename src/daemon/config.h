/* culvert.conf: read once at start, never changed afterwards.
 *
 * Every error names the file, the line and the key. Unknown keys are errors.
 */
#ifndef CULVERT_DAEMON_CONFIG_H
#define CULVERT_DAEMON_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/parse.h"

#define CONFIG_DEFAULT_PORT   "16520"
#define CONFIG_ADDRESSES_MOST 8
#define CONFIG_FORWARDS_MOST  64
/* How long a peer may be silent by default */
#define CONFIG_SILENCE_MS   2800
#define CONFIG_SOCKET_BYTES 108 /* a unix socket's path, with its end */

struct config_addresses {
	struct host_port list[CONFIG_ADDRESSES_MOST];
	size_t count;
};

/* A unix socket of this host that a peer may reach */
struct config_service {
	char name[64];
	char socket[CONFIG_SOCKET_BYTES];
	unsigned line;
};

/* A unix socket of this host that leads to a peer's service */
struct config_forward {
	char name[64];
	char listen[CONFIG_SOCKET_BYTES];
	char host[64];
	char service[64];
	gid_t group; /* whose members may connect */
	unsigned line;
};

/* An IPv4 address of 127.0.0.0/8, with ports on it */
struct config_loopback {
	struct in_addr address; /* 0.0.0.0: none is given */
	uint16_t first_port;
	uint16_t last_port;
};

/* Where libvirt has QEMUs listen by default, for guests and for their disks */
#define CONFIG_LOOPBACK_FIRST_PORT 49152
#define CONFIG_LOOPBACK_LAST_PORT  49215
#define CONFIG_LOOPBACK_PORTS_MOST 256

struct config_permission {
	char service[64]; /* one of config->services */
	unsigned line;
};

struct config_peer {
	char name[64];
	struct config_addresses addresses; /* none: it connects to this host only */
	char identity[256];
	struct config_loopback loopback; /* here its QEMUs are reached on this host */
	bool may_migrate;                /* service "migrate" */
	struct config_permission *permissions;
	size_t permission_count;
	uint64_t resume_deadline_ms;
	uint64_t silence_timeout_ms;
	unsigned line;
};

struct config {
	char name[64];
	struct config_addresses listen;
	bool listens_nowhere; /* `listen = none`: no peer connects to this host */
	char *ca;
	char *certificate;
	char *key;
	char *qmp_directory;
	char *runtime_directory;
	gid_t control_group;
	gid_t hypervisor_group;                   /* of the user that QEMU runs as under libvirt */
	uid_t hypervisor_user;                    /* that QEMU runs as under libvirt */
	gid_t libvirt_group;                      /* whose members may reach the libvirt of peers */
	struct config_loopback migration_address; /* here QEMUs listen for a migration by TCP */
	size_t replay_memory_bytes; /* that all channels together may borrow, both ways */
	uint64_t bandwidth_limit;   /* bytes/s each way; or RATE_UNLIMITED */
	struct config_peer *peers;
	size_t peer_count;
	struct config_service *services;
	size_t service_count;
	struct config_forward *forwards;
	size_t forward_count;
};

/** @returns the configuration, or NULL with @err (ERROR_USAGE, or ERROR_LOCAL: unreadable) */
struct config *config_load(const char *path, struct error *err);
void config_free(struct config *config);

/** What this host's certificate must be good for: a set of enum identity_role */
unsigned config_roles(const struct config *config);

/** The peer of that name, or NULL */
const struct config_peer *config_find_peer(const struct config *config, const char *name);

/** The service of that name, if there is one and @peer may use it; else NULL */
const struct config_service *config_permitted_service(
	const struct config *config, const struct config_peer *peer, const char *name);

/* The libvirt of this host, for peers that may use it: whoever reaches it is root here. Its socket
 * can be changed by a [service libvirt] */
#define CONFIG_LIBVIRT        "libvirt"
#define CONFIG_LIBVIRT_SOCKET "/run/libvirt/libvirt-sock"

/** Where the libvirt of a peer is reached on this host:
 * <runtime_directory>/peers/<name>/libvirt.sock
 */
void config_libvirt_path(const struct config *config, const struct config_peer *peer,
	char path[CONFIG_SOCKET_BYTES]);

/* The service of culvertd itself by which a peer reaches a QEMU at migration_address */
#define CONFIG_TCP_MIGRATION "tcp-migration"

bool config_loopback_given(const struct config_loopback *loopback);

/** How many; 0 if none is given */
size_t config_loopback_ports(const struct config_loopback *loopback);

/** Whether @peer may reach the QEMUs at this host's migration_address */
bool config_permits_tcp_migration(const struct config *config, const struct config_peer *peer);

/* The service of culvertd itself by which a peer measures the tunnel; a [service bench] that the
 * peer may use takes its place */
#define CONFIG_BENCH "bench"

/** Whether @peer may measure: who may bring guests may send any amount already */
bool config_permits_bench(const struct config_peer *peer);

#endif
