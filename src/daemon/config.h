/* culvert.conf: read once at start, never changed afterwards.
 *
 * Every error names the file, the line and the key. Unknown keys are errors.
 */
#ifndef CULVERT_DAEMON_CONFIG_H
#define CULVERT_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/parse.h"

#define CONFIG_DEFAULT_PORT   "16520"
#define CONFIG_ADDRESSES_MOST 8

struct config_addresses {
	struct host_port list[CONFIG_ADDRESSES_MOST];
	size_t count;
};

struct config_peer {
	char name[64];
	struct config_addresses addresses;
	char identity[256];
	bool may_migrate; /* service "migrate" */
	uint64_t resume_deadline_ms;
	unsigned line;
};

struct config {
	char name[64];
	struct config_addresses listen;
	char *ca;
	char *certificate;
	char *key;
	char *qmp_directory;
	char *runtime_directory;
	gid_t control_group;
	size_t replay_memory_bytes; /* for all channels together */
	struct config_peer *peers;
	size_t peer_count;
};

/** @returns the configuration, or NULL with @err (ERROR_USAGE, or ERROR_LOCAL: unreadable) */
struct config *config_load(const char *path, struct error *err);
void config_free(struct config *config);

/** The peer of that name, or NULL */
const struct config_peer *config_find_peer(const struct config *config, const char *name);

#endif
