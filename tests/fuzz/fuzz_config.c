/* Any file as culvert.conf. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "daemon/config.h"
#include "fuzz.h"

static void check(const struct config *config)
{
	fuzz_demand(parse_is_name(config->name));
	fuzz_demand(config->ca && config->certificate && config->key && config->qmp_directory &&
		config->runtime_directory);
	fuzz_demand(config->listen.count > 0 && config->listen.count <= CONFIG_ADDRESSES_MOST);
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		fuzz_demand(peer->addresses.count > 0 && *peer->identity);
		fuzz_demand(config_find_peer(config, peer->name) == peer);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FD int fd = memfd_create("culvert.conf", 0);
	struct config *config;
	struct error err = {0};
	char path[64];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	config = config_load(path, &err);
	if (config) {
		check(config);
		config_free(config);
		return 0;
	}
	fuzz_demand(err.code == ERROR_USAGE || err.code == ERROR_LOCAL);
	/* A file with an error in it is named, so that it can be mended. */
	fuzz_demand(strstr(err.message, path) != NULL);
	return 0;
}
