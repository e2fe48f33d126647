#include "daemon/orders.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "control/arguments.h"
#include "daemon/bench.h"
#include "daemon/channel.h"
#include "daemon/contact.h"
#include "daemon/doctor.h"
#include "daemon/forward.h"
#include "daemon/outgoing.h"
#include "daemon/outgoing_libvirt.h"
#include "hypervisor/qemu.h"
#include "hypervisor/qemu_socket.h"

#define PINGS_MOST 1000

static int copy_name(char place[64], const char *value, const char *key, struct error *err)
{
	if (!parse_is_name(value))
		return error_set(err, ERROR_USAGE,
			"'%s' is not a name (%s): use letters, digits, '.', '_' and '-'", value,
			key);
	snprintf(place, 64, "%s", value);
	return 0;
}

/* 0 is no limit, for whoever writes JSON. */
static int check_rate(uint64_t bytes_per_s, struct error *err)
{
	if (bytes_per_s == 0 || (bytes_per_s >= PARSE_RATE_LEAST && bytes_per_s <= PARSE_RATE_MOST))
		return 0;
	return error_set(err, ERROR_USAGE,
		"'bandwidth_bytes_per_s' is 0 (no limit), or %llu to %llu",
		(unsigned long long)PARSE_RATE_LEAST, (unsigned long long)PARSE_RATE_MOST);
}

static int read_plan(const json_t *arguments, struct migration_plan *plan, struct error *err)
{
	const char *vm = NULL, *host = NULL, *destination_vm = NULL;
	const char *mode = "hybrid", *policy = NULL, *connect = NULL, *copy_storage = NULL;
	struct libvirt_options *libvirt = &plan->libvirt;
	const struct argument table[] = {
		{.key = "vm", .required = true, .text = &vm},
		{.key = "host", .required = true, .text = &host},
		{.key = "mode", .text = &mode},
		{.key = "switch", .text = &policy},
		{.key = "destination_vm", .text = &destination_vm},
		{.key = "quit_source", .flag = &plan->quit_source},
		{.key = "persistent", .flag = &libvirt->persistent},
		{.key = "undefine_source", .flag = &libvirt->undefine_source},
		{.key = "connect", .text = &connect},
		{.key = "copy_storage", .text = &copy_storage},
		{.key = "parallel", .number = &libvirt->parallel_count},
		{.key = "compressed", .flag = &libvirt->compressed},
		{.key = "auto_converge", .flag = &libvirt->auto_converge},
		{.key = "bandwidth_bytes_per_s", .number = &plan->bandwidth},
		{.key = "disks", .flag = &plan->streams.disks},
		{.key = "preempt", .flag = &plan->streams.preempt},
	};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0 ||
		copy_name(plan->vm, vm, "vm", err) < 0 ||
		copy_name(plan->host, host, "host", err) < 0 ||
		copy_name(plan->destination_vm, destination_vm ? destination_vm : vm,
			"destination_vm", err) < 0 ||
		migration_mode_parse(mode, &plan->mode, err) < 0 ||
		check_rate(plan->bandwidth, err) < 0 ||
		(connect && libvirt_options_set_uri(libvirt, connect, err) < 0) ||
		(copy_storage && libvirt_options_set_copy_storage(libvirt, copy_storage, err) < 0))
		return -1;
	if (libvirt->parallel_count > LIBVIRT_PARALLEL_MOST)
		return error_set(err, ERROR_USAGE, "'parallel' is at most %d streams",
			LIBVIRT_PARALLEL_MOST);
	if (policy && plan->mode != MODE_HYBRID)
		return error_set(err, ERROR_USAGE, "'switch' belongs to mode hybrid only");
	return switch_policy_parse(policy ? policy : "auto", &plan->policy, err);
}

/* What a domain of libvirt can be asked for by the same words */
static int start_qemu(struct daemon *daemon, struct migration_plan *plan, struct error *err)
{
	struct libvirt_options *libvirt = &plan->libvirt;
	const char *given;

	plan->streams.parallel_count = libvirt->parallel_count;
	plan->streams.disks |= libvirt->copy_storage == COPY_STORAGE_ALL;
	libvirt->parallel_count = 0;
	if (libvirt->copy_storage == COPY_STORAGE_ALL)
		libvirt->copy_storage = COPY_STORAGE_NONE;
	given = libvirt_options_given(libvirt);
	if (given)
		return error_set(err, ERROR_USAGE,
			"'%s' is a bare QEMU, and '%s' is for a domain of libvirt only", plan->vm,
			given);
	return outgoing_start(daemon, plan, err);
}

static int start_libvirt(struct daemon *daemon, struct migration_plan *plan, struct error *err)
{
	if (strcmp(plan->destination_vm, plan->vm) != 0)
		return error_set(err, ERROR_USAGE,
			"'%s' is a domain of libvirt, which keeps its name: 'destination_vm' is "
			"for "
			"a bare QEMU only",
			plan->vm);
	if (plan->quit_source)
		return error_set(err, ERROR_USAGE,
			"'%s' is a domain of libvirt, whose QEMU ends here by itself: "
			"'quit_source' "
			"is for a bare QEMU only",
			plan->vm);
	if (plan->streams.preempt)
		return error_set(err, ERROR_USAGE,
			"'%s' is a domain of libvirt, which cannot be asked for 'preempt': it is "
			"for a bare QEMU only",
			plan->vm);
	if (plan->streams.disks && plan->libvirt.copy_storage == COPY_STORAGE_NONE)
		plan->libvirt.copy_storage = COPY_STORAGE_ALL;
	plan->streams.disks = false;
	return outgoing_libvirt_start(daemon, plan, err);
}

static const struct config_peer *find_peer(
	const struct daemon *daemon, const char *host, struct error *err)
{
	const struct config_peer *peer = config_find_peer(daemon->config, host);

	if (!peer)
		error_set(err, ERROR_USAGE,
			"unknown host '%s': culvert peers lists those in culvert.conf", host);
	return peer;
}

/* It is no bare QEMU, and @why libvirt cannot be asked whether it is a domain */
static int tell_neither(
	const char *qmp_directory, const char *vm, const struct error *why, struct error *err)
{
	struct error bare;

	(void)qemu_socket_missing(qmp_directory, vm, &bare);
	return error_set(err, ERROR_LOCAL,
		"%.350s; or, if it is a domain, start libvirt (systemctl start libvirtd): %.200s",
		bare.message, why->message);
}

/* A bare QEMU is known by its QMP socket, a domain of libvirt by its name or UUID. Who names a
 * libvirt means its domain, whatever else is called so. */
static int start_migration(struct daemon *daemon, struct migration_plan *plan, struct error *err)
{
	struct error why;

	if (!*plan->libvirt.uri && qemu_has_socket(daemon->config->qmp_directory, plan->vm))
		return start_qemu(daemon, plan, err);
	if (libvirt_options_given(&plan->libvirt) || outgoing_libvirt_knows(plan->vm, &why))
		return start_libvirt(daemon, plan, err);
	/* The code of a libvirt that answers, and has no such domain */
	if (why.code == ERROR_USAGE || !find_peer(daemon, plan->host, err))
		return outgoing_start(daemon, plan, err);
	return tell_neither(daemon->config->qmp_directory, plan->vm, &why, err);
}

static json_t *migrate(struct daemon *daemon, const json_t *arguments, struct error *err)
{
	struct migration_plan plan = {0};
	uint64_t seen = 0;
	bool ended;
	json_t *value;

	if (read_plan(arguments, &plan, err) < 0 || start_migration(daemon, &plan, err) < 0 ||
		migrations_follow(daemon->migrations, plan.id, &seen, 0, &value, &ended, err) < 0)
		return NULL;
	return value;
}

static json_t *request(struct daemon *daemon, const json_t *arguments,
	enum migration_request wanted, struct error *err)
{
	const char *name = NULL;
	const struct argument table[] = {{.key = "migration", .required = true, .text = &name}};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0 ||
		migrations_request(daemon->migrations, name, wanted, err) < 0)
		return NULL;
	return json_object();
}

static json_t *limit(struct daemon *daemon, const json_t *arguments, struct error *err)
{
	const char *name = NULL;
	bool host = false;
	uint64_t rate = 0;
	const struct argument table[] = {
		{.key = "migration", .text = &name},
		{.key = "host", .flag = &host},
		{.key = "bandwidth_bytes_per_s", .required = true, .number = &rate},
	};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0 ||
		check_rate(rate, err) < 0)
		return NULL;
	if (host == (name != NULL)) {
		error_set(err, ERROR_USAGE, "either 'migration', or 'host': true");
		return NULL;
	}
	if (rate == 0)
		rate = RATE_UNLIMITED;
	if (host)
		scheduler_set_limit(daemon->scheduler, rate);
	else if (migrations_limit(daemon->migrations, name, rate, err) < 0)
		return NULL;
	log_event_limited(LOG_NOTICE, "bandwidth", "of=%s bytes_per_s=%llu", host ? "host" : name,
		(unsigned long long)(rate == RATE_UNLIMITED ? 0 : rate));
	return json_object();
}

/* With what all migrations share */
static json_t *status(struct daemon *daemon)
{
	uint64_t rate = scheduler_limit(daemon->scheduler);

	return json_pack("{so so}", "migrations", migrations_list(daemon->migrations),
		"bandwidth_bytes_per_s",
		rate == RATE_UNLIMITED ? json_null() : json_integer((json_int_t)rate));
}

static json_t *peer_json(const struct config_peer *peer)
{
	json_t *addresses = json_array();
	json_t *services = json_array();

	for (size_t i = 0; i < peer->addresses.count; i++) {
		const struct host_port *where = &peer->addresses.list[i];
		const char *form = strchr(where->host, ':') ? "[%s]:%s" : "%s:%s";

		json_array_append_new(addresses, json_sprintf(form, where->host, where->port));
	}
	if (peer->may_migrate)
		json_array_append_new(services, json_string("migrate"));
	for (size_t i = 0; i < peer->permission_count; i++)
		json_array_append_new(services, json_string(peer->permissions[i].service));
	return json_pack("{ss so ss so}", "name", peer->name, "addresses", addresses, "identity",
		peer->identity, "services", services);
}

static json_t *peers(const struct daemon *daemon)
{
	json_t *list = json_array();

	for (size_t i = 0; i < daemon->config->peer_count; i++)
		json_array_append_new(list, peer_json(&daemon->config->peers[i]));
	return json_pack("{so}", "peers", list);
}

static json_t *ping(struct daemon *daemon, const json_t *arguments, struct error *err)
{
	const char *host = NULL;
	uint64_t count = 5;
	const struct argument table[] = {
		{.key = "host", .required = true, .text = &host},
		{.key = "count", .number = &count},
	};
	const struct config_peer *peer;
	struct contact *contact;
	uint64_t begun_ns = uv_hrtime();
	uint64_t connect_us;
	json_t *round_trips = json_array();

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		goto failed;
	if (count < 1 || count > PINGS_MOST) {
		error_set(err, ERROR_USAGE, "'count' is 1 to %d", PINGS_MOST);
		goto failed;
	}
	peer = find_peer(daemon, host, err);
	if (!peer)
		goto failed;
	contact = contact_new(daemon, peer, err);
	if (!contact)
		goto failed;
	connect_us = (uv_hrtime() - begun_ns) / 1000;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t sent_ns = uv_hrtime();

		if (contact_ask(contact, "ping", NULL, NULL, err) < 0) {
			contact_free(contact);
			goto failed;
		}
		json_array_append_new(
			round_trips, json_integer((json_int_t)((uv_hrtime() - sent_ns) / 1000)));
	}
	json_t *result = json_pack("{ss ss sI so}", "identity", peer->identity, "address",
		contact_address(contact), "connect_us", (json_int_t)connect_us, "round_trip_us",
		round_trips);

	contact_free(contact);
	return result;
failed:
	json_decref(round_trips);
	return NULL;
}

static json_t *doctor(struct daemon *daemon, const json_t *arguments, struct error *err)
{
	const char *host = NULL;
	const struct argument table[] = {{.key = "host", .text = &host}};
	const struct config_peer *peer = NULL;

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	if (host) {
		peer = find_peer(daemon, host, err);
		if (!peer)
			return NULL;
	}
	return doctor_examine(daemon, peer, err);
}

json_t *orders_connect(
	struct daemon *daemon, const struct control_command *command, int fd, struct error *err)
{
	const char *host = NULL, *service = NULL;
	const struct argument table[] = {
		{.key = "host", .required = true, .text = &host},
		{.key = "service", .required = true, .text = &service},
	};
	const struct config_peer *peer;
	int type = 0;
	socklen_t size = sizeof(type);
	CLEANUP_FD int local = fd;

	if (arguments_read(command->arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	if (!parse_is_name(service)) {
		error_set(err, ERROR_USAGE, "'%s' is not the name of a service", service);
		return NULL;
	}
	if (strcmp(service, CONFIG_LIBVIRT) == 0) {
		error_set(err, ERROR_USAGE,
			"the libvirt of a host is for members of libvirt_group: culvert uri tells "
			"where");
		return NULL;
	}
	peer = find_peer(daemon, host, err);
	if (!peer)
		return NULL;
	if (getsockopt(local, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM ||
		fcntl(local, F_SETFL, O_NONBLOCK) < 0) {
		error_set(err, ERROR_USAGE, "no stream socket came along with 'connect'");
		return NULL;
	}
	if (forward_connect(daemon, peer, service, fd_take(&local), err) < 0)
		return NULL;
	return json_object();
}

/* What libvirt's clients on this host need to meet the libvirt of @peer */
static json_t *uris(const struct daemon *daemon, const struct config_peer *peer)
{
	char path[CONFIG_SOCKET_BYTES];

	config_libvirt_path(daemon->config, peer, path);
	return json_pack(
		"{so}", "libvirt_uri", json_sprintf("qemu+unix:///system?socket=%s", path));
}

/* The peer that is the one argument. @returns NULL with @err set: there is none */
static const struct config_peer *read_peer(
	struct daemon *daemon, const json_t *arguments, struct error *err)
{
	const char *host = NULL;
	const struct argument table[] = {{.key = "host", .required = true, .text = &host}};

	if (arguments_read(arguments, table, ARGUMENTS_COUNT(table), err) < 0)
		return NULL;
	return find_peer(daemon, host, err);
}

static json_t *uri(struct daemon *daemon, const json_t *arguments, struct error *err)
{
	const struct config_peer *peer = read_peer(daemon, arguments, err);

	return peer ? uris(daemon, peer) : NULL;
}

struct rendezvous *orders_rendezvous(
	struct daemon *daemon, const json_t *arguments, struct error *err)
{
	const struct config_peer *peer = read_peer(daemon, arguments, err);

	if (!peer)
		return NULL;
	if (atomic_load(&daemon->stopping)) {
		error_set(err, ERROR_LOCAL, "culvertd is stopping");
		return NULL;
	}
	return rendezvous_begin(daemon, peer, NULL, NULL, err);
}

json_t *orders_rendezvous_json(struct daemon *daemon, const struct rendezvous *rendezvous)
{
	json_t *value = uris(daemon, rendezvous_peer(rendezvous));
	static const char *const keys[RENDEZVOUS_SOCKETS] = {"migrate_uri", "disks_uri"};

	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++) {
		char path[CONFIG_SOCKET_BYTES];

		rendezvous_socket_path(daemon->config, rendezvous_token(rendezvous),
			(enum rendezvous_socket)i, path);
		json_object_set_new(value, keys[i], json_sprintf("unix://%s", path));
	}
	return value;
}

json_t *orders_obey(struct daemon *daemon, const struct control_command *command, struct error *err)
{
	const json_t *arguments = command->arguments;

	if (strcmp(command->name, "migrate") == 0)
		return migrate(daemon, arguments, err);
	if (strcmp(command->name, "switch") == 0)
		return request(daemon, arguments, REQUEST_SWITCH, err);
	if (strcmp(command->name, "cancel") == 0)
		return request(daemon, arguments, REQUEST_CANCEL, err);
	if (strcmp(command->name, "recover") == 0)
		return request(daemon, arguments, REQUEST_RECOVER, err);
	if (strcmp(command->name, "limit") == 0)
		return limit(daemon, arguments, err);
	if (strcmp(command->name, "ping") == 0)
		return ping(daemon, arguments, err);
	if (strcmp(command->name, "doctor") == 0)
		return doctor(daemon, arguments, err);
	if (strcmp(command->name, "uri") == 0)
		return uri(daemon, arguments, err);
	if (strcmp(command->name, "status") != 0 && strcmp(command->name, "peers") != 0 &&
		strcmp(command->name, "usage") != 0) {
		error_set(err, ERROR_USAGE, "unknown command '%s'", command->name);
		return NULL;
	}
	if (arguments_read(arguments, NULL, 0, err) < 0)
		return NULL;
	if (strcmp(command->name, "peers") == 0)
		return peers(daemon);
	if (strcmp(command->name, "usage") == 0)
		return json_pack("{sI}", "cpu_us", (json_int_t)bench_cpu_us());
	return status(daemon);
}
