#include "daemon/config.h"

#include <errno.h>
#include <grp.h>
#include <ini.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/config_loopback.h"
#include "daemon/config_service.h"
#include "io/identity.h"

/* What inih keeps of a section's name */
#define SECTION_LONGEST_BYTES 49

/* How long a channel waits for a new link */
#define RESUME_DEADLINE_MS 300000

/* Shorter, a lost packet that is sent again would be taken for a lost link. */
#define SILENCE_LEAST_MS 500
#define SILENCE_MOST_MS  60000

/* What all channels together may borrow in both directions, beyond what is each one's own */
#define REPLAY_MEMORY_BYTES       ((size_t)256 << 20)
#define REPLAY_MEMORY_LEAST_BYTES ((size_t)1 << 20)
#define REPLAY_MEMORY_MOST_BYTES  ((size_t)64 << 30)

/* Where there is none, root's group, and root */
#define HYPERVISOR_GROUP "libvirt-qemu"
#define HYPERVISOR_USER  "libvirt-qemu"

/* What a rendezvous and the longest socket of it add */
#define RUNTIME_LONGEST_BYTES (CONFIG_SOCKET_BYTES - 1 - 49)

#define SECTIONS "[host], [bandwidth], [peer NAME], [service NAME] and [forward NAME]"

struct reading {
	struct config *config;
	const char *path;
	FILE *file;
	unsigned line;     /* that was read last: inih does not tell its handler */
	struct error *err; /* the first error found */
	bool failed;
};

static int set_text(char **place, const char *value, struct error *err)
{
	if (*place)
		return error_set(err, ERROR_USAGE, "given twice");
	if (!*value)
		return error_set(err, ERROR_USAGE, "has no value");
	*place = strdup(value);
	return *place ? 0 : error_set(err, ERROR_LOCAL, "no memory");
}

/* An absolute path: the daemon's working directory means nothing */
static int set_path(char **place, const char *value, struct error *err)
{
	if (*value != '/')
		return error_set(err, ERROR_USAGE, "'%s' is not an absolute path", value);
	return set_text(place, value, err);
}

static int set_name(char place[64], const char *value, struct error *err)
{
	if (*place)
		return error_set(err, ERROR_USAGE, "given twice");
	return parse_name(value, place, err);
}

/* Calls @add for each comma-separated word of @value */
static int each_word(const char *value, int (*add)(void *, const char *, struct error *),
	void *place, struct error *err)
{
	char text[1024];
	char *rest = text;
	char *word;

	if ((size_t)snprintf(text, sizeof(text), "%s", value) >= sizeof(text))
		return error_set(err, ERROR_USAGE, "is too long");
	while ((word = strsep(&rest, ", \t"))) {
		if (!*word)
			continue;
		if (add(place, word, err) < 0)
			return -1;
	}
	return 0;
}

static int add_address(void *place, const char *word, struct error *err)
{
	struct config_addresses *addresses = place;

	if (addresses->count == CONFIG_ADDRESSES_MOST)
		return error_set(err, ERROR_USAGE, "more than %d addresses", CONFIG_ADDRESSES_MOST);
	return parse_host_port(
		word, CONFIG_DEFAULT_PORT, &addresses->list[addresses->count++], err);
}

struct permitting {
	struct config_peer *peer;
	unsigned line;
};

static int add_service(void *place, const char *word, struct error *err)
{
	struct permitting *permitting = place;

	return config_service_permit(permitting->peer, word, permitting->line, err);
}

static int set_group(gid_t *place, const char *value, struct error *err)
{
	const struct group *group = getgrnam(value);

	if (!group)
		return error_set(err, ERROR_USAGE,
			"no group '%s' on this host: groupadd it, or name "
			"another",
			value);
	*place = group->gr_gid;
	return 0;
}

static int set_user(uid_t *place, const char *value, struct error *err)
{
	const struct passwd *user = getpwnam(value);

	if (!user)
		return error_set(err, ERROR_USAGE,
			"no user '%s' on this host: useradd it, or name another", value);
	*place = user->pw_uid;
	return 0;
}

static int set_memory(size_t *place, const char *value, struct error *err)
{
	uint64_t bytes;

	if (*place)
		return error_set(err, ERROR_USAGE, "given twice");
	if (parse_size(value, REPLAY_MEMORY_LEAST_BYTES, REPLAY_MEMORY_MOST_BYTES, &bytes, err) < 0)
		return -1;
	*place = (size_t)bytes;
	return 0;
}

static int set_silence(uint64_t *place, const char *value, struct error *err)
{
	uint64_t silence_ms;

	if (parse_duration(value, &silence_ms, err) < 0)
		return -1;
	if (silence_ms < SILENCE_LEAST_MS || silence_ms > SILENCE_MOST_MS)
		return error_set(err, ERROR_USAGE, "'%s' is not a duration from %dms to %ds", value,
			SILENCE_LEAST_MS, SILENCE_MOST_MS / 1000);
	*place = silence_ms;
	return 0;
}

static int set_host_key(
	struct config *config, const char *key, const char *value, struct error *err)
{
	if (strcmp(key, "name") == 0)
		return set_name(config->name, value, err);
	if (strcmp(key, "listen") == 0 && strcmp(value, "none") == 0) {
		config->listens_nowhere = true;
		return 0;
	}
	if (strcmp(key, "listen") == 0)
		return each_word(value, add_address, &config->listen, err);
	if (strcmp(key, "ca") == 0)
		return set_path(&config->ca, value, err);
	if (strcmp(key, "certificate") == 0)
		return set_path(&config->certificate, value, err);
	if (strcmp(key, "key") == 0)
		return set_path(&config->key, value, err);
	if (strcmp(key, "qmp_directory") == 0)
		return set_path(&config->qmp_directory, value, err);
	if (strcmp(key, "runtime_directory") == 0)
		return set_path(&config->runtime_directory, value, err);
	if (strcmp(key, "control_group") == 0)
		return set_group(&config->control_group, value, err);
	if (strcmp(key, "hypervisor_group") == 0)
		return set_group(&config->hypervisor_group, value, err);
	if (strcmp(key, "hypervisor_user") == 0)
		return set_user(&config->hypervisor_user, value, err);
	if (strcmp(key, "migration_address") == 0)
		return config_loopback_set(&config->migration_address, value, err);
	if (strcmp(key, "libvirt_group") == 0)
		return set_group(&config->libvirt_group, value, err);
	if (strcmp(key, "replay_memory") == 0)
		return set_memory(&config->replay_memory_bytes, value, err);
	return error_set(err, ERROR_USAGE, "is not a key of [host]");
}

static int set_bandwidth_key(
	struct config *config, const char *key, const char *value, struct error *err)
{
	if (strcmp(key, "limit") != 0)
		return error_set(err, ERROR_USAGE, "is not a key of [bandwidth]");
	if (config->bandwidth_limit)
		return error_set(err, ERROR_USAGE, "given twice");
	return parse_rate(value, &config->bandwidth_limit, err);
}

static int set_peer_key(struct config_peer *peer, unsigned line, const char *key, const char *value,
	struct error *err)
{
	struct permitting permitting = {.peer = peer, .line = line};

	if (strcmp(key, "address") == 0)
		return each_word(value, add_address, &peer->addresses, err);
	if (strcmp(key, "identity") == 0) {
		if (*peer->identity)
			return error_set(err, ERROR_USAGE, "given twice");
		if (!*value || strlen(value) >= sizeof(peer->identity))
			return error_set(err, ERROR_USAGE, "is empty or too long");
		snprintf(peer->identity, sizeof(peer->identity), "%s", value);
		return 0;
	}
	if (strcmp(key, "loopback") == 0)
		return config_loopback_set(&peer->loopback, value, err);
	if (strcmp(key, "services") == 0)
		return each_word(value, add_service, &permitting, err);
	if (strcmp(key, "resume_deadline") == 0)
		return parse_duration(value, &peer->resume_deadline_ms, err);
	if (strcmp(key, "silence_timeout") == 0)
		return set_silence(&peer->silence_timeout_ms, value, err);
	return error_set(err, ERROR_USAGE, "is not a key of a [peer]");
}

/* The peer of a section "peer NAME", made when it is new */
static struct config_peer *peer_of_section(
	struct config *config, const char *section, unsigned line, struct error *err)
{
	const char *name = section + strlen("peer ");
	struct config_peer *peers;

	name += strspn(name, " ");
	for (size_t i = 0; i < config->peer_count; i++) {
		if (strcmp(config->peers[i].name, name) == 0)
			return &config->peers[i];
	}
	if (!parse_is_name(name)) {
		error_set(err, ERROR_USAGE, "'%s' is not a name of a host", name);
		return NULL;
	}
	peers = realloc(config->peers, (config->peer_count + 1) * sizeof(*peers));
	if (!peers) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	config->peers = peers;
	peers[config->peer_count] = (struct config_peer){.line = line,
		.resume_deadline_ms = RESUME_DEADLINE_MS,
		.silence_timeout_ms = CONFIG_SILENCE_MS};
	snprintf(peers[config->peer_count].name, sizeof(peers->name), "%s", name);
	return &config->peers[config->peer_count++];
}

/* inih's handler never hears of a section without keys, and of a long one only the beginning. */
static int take_section(struct reading *reading, const char *text)
{
	char section[SECTION_LONGEST_BYTES + 1];
	const char *end = strchr(text, ']');
	size_t length = end ? (size_t)(end - text - 1) : 0;
	struct error *err = reading->err;

	if (*text != '[' || !end)
		return 0;
	if (length > SECTION_LONGEST_BYTES)
		return error_set(err, ERROR_USAGE, "'%.*s' is too long: at most %d bytes",
			(int)length + 2, text, SECTION_LONGEST_BYTES);
	snprintf(section, sizeof(section), "%.*s", (int)length, text + 1);
	if (strcmp(section, "host") == 0 || strcmp(section, "bandwidth") == 0)
		return 0;
	if (strncmp(section, "peer ", 5) == 0)
		return peer_of_section(reading->config, section, reading->line, err) ? 0 : -1;
	if (config_service_section(section))
		return config_service_begin(reading->config, section, reading->line, err);
	return error_set(err, ERROR_USAGE, "'[%s]': there are only " SECTIONS, section);
}

/* inih's reader: as fgets() */
static char *read_line(char *text, int size, void *user)
{
	struct reading *reading = user;

	if (reading->failed || !fgets(text, size, reading->file))
		return NULL;
	reading->line++;
	if (!strchr(text, '\n') && !feof(reading->file)) {
		error_set(reading->err, ERROR_USAGE,
			"%s:%u: longer than %d bytes: repeat the key to "
			"give more values",
			reading->path, reading->line, size - 2);
		reading->failed = true;
		return NULL;
	}
	if (take_section(reading, text) < 0) {
		error_prefix(reading->err, "%s:%u", reading->path, reading->line);
		reading->failed = true;
		return NULL;
	}
	return text;
}

/* A key of @section, which take_section() has seen begin */
static int take_key(
	struct reading *reading, const char *section, const char *key, const char *value)
{
	struct error *err = reading->err;
	struct config_peer *peer;

	if (strcmp(section, "host") == 0)
		return set_host_key(reading->config, key, value, err);
	if (strcmp(section, "bandwidth") == 0)
		return set_bandwidth_key(reading->config, key, value, err);
	if (config_service_section(section))
		return config_service_key(reading->config, section, key, value, err);
	if (strncmp(section, "peer ", 5) != 0)
		return error_set(err, ERROR_USAGE, "in '[%s]': there are only " SECTIONS, section);
	peer = peer_of_section(reading->config, section, reading->line, err);
	return peer ? set_peer_key(peer, reading->line, key, value, err) : -1;
}

/* inih's handler: 1 to go on, 0 for an error */
static int take_line(void *user, const char *section, const char *key, const char *value)
{
	struct reading *reading = user;

	if (reading->failed)
		return 0;
	if (take_key(reading, section, key, value) == 0)
		return 1;
	error_prefix(reading->err, "%s", key);
	error_prefix(reading->err, "%s:%u", reading->path, reading->line);
	reading->failed = true;
	return 0;
}

static int set_default(char **place, const char *value, struct error *err)
{
	return *place ? 0 : set_text(place, value, err);
}

static int check_whole(struct config *config, const char *path, struct error *err)
{
	struct error ignored;

	if (!*config->name)
		return error_set(err, ERROR_USAGE, "%s: [host] lacks 'name'", path);
	if (config->listens_nowhere && config->listen.count > 0)
		return error_set(
			err, ERROR_USAGE, "%s: [host] listens nowhere and somewhere", path);
	if (config->listen.count == 0 && !config->listens_nowhere)
		add_address(&config->listen, "0.0.0.0", &ignored);
	if (config->replay_memory_bytes == 0)
		config->replay_memory_bytes = REPLAY_MEMORY_BYTES;
	if (config->bandwidth_limit == 0)
		config->bandwidth_limit = RATE_UNLIMITED;
	if (set_default(&config->ca, "/etc/culvert/ca.pem", err) < 0 ||
		set_default(&config->certificate, "/etc/culvert/host.pem", err) < 0 ||
		set_default(&config->key, "/etc/culvert/host.key", err) < 0 ||
		set_default(&config->qmp_directory, "/run/culvert/qmp", err) < 0 ||
		set_default(&config->runtime_directory, "/run/culvert", err) < 0)
		return -1;
	if (strlen(config->runtime_directory) > RUNTIME_LONGEST_BYTES)
		return error_set(err, ERROR_USAGE,
			"%s: runtime_directory is too long for the sockets in it: at most %d bytes",
			path, RUNTIME_LONGEST_BYTES);
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		if (peer->addresses.count == 0 && !peer->may_migrate && peer->permission_count == 0)
			return error_set(err, ERROR_USAGE,
				"%s:%u: [peer %s] lacks 'address', and may use no service: it is "
				"of "
				"no use",
				path, peer->line, peer->name);
		if (!*peer->identity)
			return error_set(err, ERROR_USAGE, "%s:%u: [peer %s] lacks 'identity'",
				path, peer->line, peer->name);
		for (size_t j = 0; j < i; j++) {
			if (strcasecmp(peer->identity, config->peers[j].identity) == 0)
				return error_set(err, ERROR_USAGE,
					"%s:%u: [peer %s] has the identity of [peer %s]", path,
					peer->line, peer->name, config->peers[j].name);
		}
	}
	if (config_loopback_complete(config, path, err) < 0)
		return -1;
	return config_service_complete(config, path, err);
}

static int read_file(struct config *config, const char *path, struct error *err)
{
	struct reading reading = {.config = config, .path = path, .err = err};
	FILE *file = fopen(path, "r");
	int malformed;

	if (!file)
		return error_errno(err, "cannot read %s", path);
	reading.file = file;
	malformed = ini_parse_stream(read_line, &reading, take_line, &reading);
	if (ferror(file))
		malformed = error_errno(err, "cannot read %s", path);
	fclose(file);
	/* inih goes on after a line that it does not understand: of two errors tell the first. */
	if (malformed < 0 || (reading.failed && (unsigned)malformed >= reading.line))
		return -1;
	if (malformed > 0)
		return error_set(err, ERROR_USAGE, "%s:%d: neither a [section] nor key = value",
			path, malformed);
	if (reading.failed)
		return -1;
	return check_whole(config, path, err);
}

struct config *config_load(const char *path, struct error *err)
{
	struct config *config = calloc(1, sizeof(*config));
	const struct group *hypervisors = getgrnam(HYPERVISOR_GROUP);
	const struct passwd *hypervisor = getpwnam(HYPERVISOR_USER);

	if (!config) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	if (hypervisors)
		config->hypervisor_group = hypervisors->gr_gid;
	if (hypervisor)
		config->hypervisor_user = hypervisor->pw_uid;
	if (read_file(config, path, err) < 0) {
		config_free(config);
		return NULL;
	}
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	free(config->ca);
	free(config->certificate);
	free(config->key);
	free(config->qmp_directory);
	free(config->runtime_directory);
	for (size_t i = 0; i < config->peer_count; i++)
		free(config->peers[i].permissions);
	free(config->peers);
	free(config->services);
	free(config->forwards);
	free(config);
}

const struct config_peer *config_find_peer(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		if (strcmp(config->peers[i].name, name) == 0)
			return &config->peers[i];
	}
	return NULL;
}

unsigned config_roles(const struct config *config)
{
	unsigned roles = 0;

	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		if (peer->addresses.count > 0)
			roles |= TLS_OPENER;
		if (peer->may_migrate || peer->permission_count > 0)
			roles |= TLS_ACCEPTOR;
	}
	/* Without peers yet, for any that may come */
	return roles ? roles : TLS_OPENER | TLS_ACCEPTOR;
}
