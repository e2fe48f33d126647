#include "daemon/facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Of any number that a peer tells: beyond what is counted here, and sums of such fit anywhere */
#define NUMBER_MOST ((json_int_t)1 << 53)

uint64_t facts_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* @returns bytes, or 0 where the kernel does not tell */
static uint64_t memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "MemAvailable: %20" SCNu64 " kB", &kib) == 1)
			break;
	}
	if (file)
		fclose(file);
	return kib * 1024;
}

/* The third number of net.ipv4.tcp_rmem or tcp_wmem, of culvertd's own network; 0: not told */
static uint64_t buffer_most(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t most = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%*20u %*20u %20" SCNu64, &most) != 1)
		most = 0;
	fclose(file);
	return most;
}

void facts_gather(struct facts *facts)
{
	*facts = (struct facts){
		.version = CULVERT_VERSION,
		.memory_bytes = memory_available(),
		.receive_bytes = buffer_most("/proc/sys/net/ipv4/tcp_rmem"),
		.send_bytes = buffer_most("/proc/sys/net/ipv4/tcp_wmem"),
	};
}

void facts_about(struct facts *facts, const struct config *config, const struct config_peer *peer)
{
	facts->may_libvirt = config_permitted_service(config, peer, CONFIG_LIBVIRT) != NULL;
	snprintf(facts->name_there, sizeof(facts->name_there), "%s", peer->name);
}

json_t *facts_encode(const struct facts *facts)
{
	return json_pack("{ss ss ss sI sI sI sI sb ss}", "version", facts->version, "qemu",
		facts->qemu, "libvirt", facts->libvirt, "clock_ms", (json_int_t)facts_clock_ms(),
		"memory_bytes", (json_int_t)facts->memory_bytes, "tcp_receive_bytes",
		(json_int_t)facts->receive_bytes, "tcp_send_bytes", (json_int_t)facts->send_bytes,
		"libvirt_permitted", facts->may_libvirt, "you", facts->name_there);
}

/* A version of anything: it becomes part of what people read. May be empty */
static int take_version(const json_t *object, const char *key, char place[32], struct error *err)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text || strlen(text) >= 32 || (*text && !parse_is_name(text)))
		return error_set(err, ERROR_PEER, "its '%s' is not a version", key);
	snprintf(place, 32, "%s", text);
	return 0;
}

static int take_number(const json_t *object, const char *key, uint64_t *number, struct error *err)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		json_integer_value(value) > NUMBER_MOST)
		return error_set(err, ERROR_PEER, "its '%s' is not a number", key);
	*number = (uint64_t)json_integer_value(value);
	return 0;
}

int facts_decode(const json_t *object, struct facts *facts, struct error *err)
{
	const char *name = json_string_value(json_object_get(object, "you"));
	const json_t *permitted = json_object_get(object, "libvirt_permitted");

	*facts = (struct facts){0};
	if (take_version(object, "version", facts->version, err) < 0 ||
		take_version(object, "qemu", facts->qemu, err) < 0 ||
		take_version(object, "libvirt", facts->libvirt, err) < 0 ||
		take_number(object, "clock_ms", &facts->clock_ms, err) < 0 ||
		take_number(object, "memory_bytes", &facts->memory_bytes, err) < 0 ||
		take_number(object, "tcp_receive_bytes", &facts->receive_bytes, err) < 0 ||
		take_number(object, "tcp_send_bytes", &facts->send_bytes, err) < 0)
		return -1;
	if (!json_is_boolean(permitted) || !name || parse_name(name, facts->name_there, err) < 0)
		return error_set(err, ERROR_PEER, "it does not tell what it permits, and to whom");
	facts->may_libvirt = json_is_true(permitted);
	return 0;
}
