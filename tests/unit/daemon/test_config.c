/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config.h"
#include "io/identity.h"

#define PEER_B "[peer hostb]\naddress = 10.0.0.2\nidentity = hostb.example\n"

struct fixture {
	char path[64];
	struct config *config;
	struct error err;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	int fd;

	fixture = (struct fixture){.path = "/tmp/culvert-test-XXXXXX"};
	fd = mkstemp(fixture.path);
	assert_true(fd >= 0);
	close(fd);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	config_free(fixture->config);
	(void)unlink(fixture->path);
	return 0;
}

static void load(struct fixture *fixture, const char *text)
{
	FILE *file = fopen(fixture->path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	fixture->config = config_load(fixture->path, &fixture->err);
}

static const struct config *load_good(struct fixture *fixture, const char *text)
{
	load(fixture, text);
	if (!fixture->config)
		fail_msg("%s", fixture->err.message);
	return fixture->config;
}

/* @line  0: the error is of the whole file */
static void assert_refused(
	struct fixture *fixture, const char *text, unsigned line, const char *key, const char *says)
{
	char place[100];
	const char *message = fixture->err.message;

	load(fixture, text);
	assert_null(fixture->config);
	if (line > 0)
		snprintf(place, sizeof(place), "%s:%u: ", fixture->path, line);
	else
		snprintf(place, sizeof(place), "%s: ", fixture->path);
	assert_int_equal(fixture->err.code, ERROR_USAGE);
	if (strncmp(message, place, strlen(place)) != 0 || !strstr(message, key) ||
		!strstr(message, says))
		fail_msg("%s", message);
}

static void a_whole_file_is_read(void **state)
{
	const struct config *config = load_good(*state,
		"# a comment\n[host]\nname = hosta\nlisten = 10.0.0.1, [::1]:17000\n"
		"ca = /a/ca.pem\ncertificate = /a/c.pem\nkey = /a/k.pem\n"
		"qmp_directory = /q\nruntime_directory = /r\nreplay_memory = 64m\n"
		"[bandwidth]\nlimit = 5Gbit\n"
		"[peer hostb]\naddress = 10.0.0.2 10.0.1.2:17000\nidentity = hostb.example\n"
		"services = migrate\n");
	const struct config_peer *peer = config_find_peer(config, "hostb");

	assert_string_equal(config->name, "hosta");
	assert_int_equal(config->listen.count, 2);
	assert_string_equal(config->listen.list[0].port, CONFIG_DEFAULT_PORT);
	assert_string_equal(config->listen.list[1].host, "::1");
	assert_string_equal(config->listen.list[1].port, "17000");
	assert_string_equal(config->ca, "/a/ca.pem");
	assert_string_equal(config->certificate, "/a/c.pem");
	assert_string_equal(config->key, "/a/k.pem");
	assert_string_equal(config->qmp_directory, "/q");
	assert_string_equal(config->runtime_directory, "/r");
	assert_int_equal(config->replay_memory_bytes, 64 << 20);
	assert_int_equal(config->bandwidth_limit, 625000000);
	assert_int_equal(config->peer_count, 1);
	assert_non_null(peer);
	assert_int_equal(peer->addresses.count, 2);
	assert_string_equal(peer->identity, "hostb.example");
	assert_true(peer->may_migrate);
}

static void what_is_not_said_has_defaults(void **state)
{
	const struct config *config = load_good(*state, "[host]\nname = hosta\n");

	assert_int_equal(config->listen.count, 1);
	assert_string_equal(config->listen.list[0].host, "0.0.0.0");
	assert_string_equal(config->listen.list[0].port, CONFIG_DEFAULT_PORT);
	assert_string_equal(config->ca, "/etc/culvert/ca.pem");
	assert_string_equal(config->certificate, "/etc/culvert/host.pem");
	assert_string_equal(config->key, "/etc/culvert/host.key");
	assert_string_equal(config->qmp_directory, "/run/culvert/qmp");
	assert_string_equal(config->runtime_directory, "/run/culvert");
	assert_int_equal(config->replay_memory_bytes, 256 << 20);
	assert_true(config->bandwidth_limit == RATE_UNLIMITED);
}

static void a_peer_without_services_may_do_nothing(void **state)
{
	const struct config *config = load_good(*state, "[host]\nname = hosta\n" PEER_B);

	assert_false(config_find_peer(config, "hostb")->may_migrate);
}

static void empty_services_permit_nothing(void **state)
{
	const struct config *config =
		load_good(*state, "[host]\nname = hosta\n" PEER_B "services =\n");

	assert_false(config_find_peer(config, "hostb")->may_migrate);
}

static void an_address_repeated_adds_another(void **state)
{
	const struct config *config =
		load_good(*state, "[host]\nname = hosta\n" PEER_B "address = 10.0.1.2\n");

	assert_int_equal(config_find_peer(config, "hostb")->addresses.count, 2);
}

static void a_peer_that_is_not_there_is_not_found(void **state)
{
	const struct config *config = load_good(*state, "[host]\nname = hosta\n" PEER_B);

	assert_null(config_find_peer(config, "hostc"));
}

static void a_group_of_this_host_is_found(void **state)
{
	const struct group *group = getgrgid(getgid());
	char text[200];
	const struct config *config;

	assert_non_null(group);
	snprintf(text, sizeof(text), "[host]\nname = hosta\ncontrol_group = %s\n", group->gr_name);
	config = load_good(*state, text);
	assert_int_equal(config->control_group, getgid());
}

static void a_missing_file_is_named(void **state)
{
	struct fixture *fixture = *state;

	assert_null(config_load("/nonexistent/culvert.conf", &fixture->err));
	assert_int_equal(fixture->err.code, ERROR_LOCAL);
	assert_non_null(strstr(fixture->err.message, "/nonexistent/culvert.conf"));
	assert_non_null(strstr(fixture->err.message, "No such file"));
}

static void a_directory_is_not_a_configuration(void **state)
{
	struct fixture *fixture = *state;

	assert_null(config_load("/tmp", &fixture->err));
	assert_int_equal(fixture->err.code, ERROR_LOCAL);
	assert_non_null(strstr(fixture->err.message, "/tmp"));
	assert_non_null(strstr(fixture->err.message, "Is a directory"));
}

static void an_empty_file_lacks_the_name(void **state)
{
	assert_refused(*state, "", 0, "[host]", "lacks 'name'");
}

static void an_unknown_key_of_the_host_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nlisten_on = 1.2.3.4\n", 3, "listen_on",
		"not a key of [host]");
}

static void an_unknown_key_of_a_peer_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n" PEER_B "port = 1\n", 6, "port",
		"not a key of a [peer]");
}

static void an_unknown_section_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[hosts]\nname = x\n", 3, "[hosts]",
		"only [host], [bandwidth], [peer NAME], [service NAME] and [forward NAME]");
}

static void an_unknown_section_without_keys_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[hosts]\n", 3, "[hosts]",
		"only [host], [bandwidth], [peer NAME], [service NAME] and [forward NAME]");
}

static void a_key_before_any_section_is_refused(void **state)
{
	assert_refused(*state, "name = hosta\n", 1, "name", "[host]");
}

static void a_line_that_is_nothing_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nlisten\n", 3, "", "neither a [section]");
}

static void a_section_that_is_not_closed_is_refused(void **state)
{
	assert_refused(*state, "[host\nname = hosta\n", 1, "", "neither a [section]");
}

static void the_first_of_two_errors_is_told(void **state)
{
	assert_refused(*state, "[host]\nnonsense\nname = -\n", 2, "", "neither a [section]");
}

static void a_line_too_long_is_refused(void **state)
{
	char text[1000] = "[host]\nname = hosta\nca = /";
	size_t length = strlen(text);

	memset(text + length, 'x', sizeof(text) - 1 - length);
	assert_refused(*state, text, 3, "", "longer than");
}

static void a_name_given_twice_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nname = hostb\n", 3, "name", "given twice");
}

static void a_path_given_twice_is_refused(void **state)
{
	assert_refused(
		*state, "[host]\nname = hosta\nkey = /a\nkey = /b\n", 4, "key", "given twice");
}

static void a_name_that_is_none_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = host a\n", 2, "name", "'host a' is not a name");
}

static void a_relative_path_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nca = ca.pem\n", 3, "ca", "absolute path");
}

static void a_path_without_a_value_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nca =\n", 3, "ca", "absolute path");
}

static void a_bad_address_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nlisten = 1.2.3.4:99999\n", 3, "listen",
		"'1.2.3.4:99999' is not an address");
}

static void a_bad_address_of_a_peer_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[peer hostb]\naddress = [::1\n", 4, "address",
		"'[::1' is not an address");
}

static void too_many_addresses_are_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nlisten = a b c d e f g h i\n", 3, "listen",
		"more than 8 addresses");
}

static void an_unknown_group_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\ncontrol_group = no-such-group\n", 3,
		"control_group", "groupadd");
}

static void services_and_forwards_are_read(void **state)
{
	const struct config *config = load_good(*state,
		"[forward echo]\nlisten = /run/echo\nhost = hostb\nservice = echo\n"
		"[host]\nname = hosta\n" PEER_B "services = migrate, print\n"
		"[service print]\nsocket = /run/print\n[service spare]\nsocket = /run/spare\n");
	const struct config_peer *peer = config_find_peer(config, "hostb");

	assert_string_equal(config_permitted_service(config, peer, "print")->socket, "/run/print");
	assert_null(config_permitted_service(config, peer, "spare"));
	assert_null(config_permitted_service(config, peer, "migrate"));
	assert_int_equal(config->forward_count, 2);
	assert_string_equal(config->forwards[0].listen, "/run/echo");
	assert_int_equal(config_roles(config), TLS_OPENER | TLS_ACCEPTOR);
}

static void libvirt_needs_no_section_but_a_permission(void **state)
{
	const struct config *config =
		load_good(*state, "[host]\nname = hosta\n" PEER_B "services = migrate\n");
	const struct config_peer *peer = config_find_peer(config, "hostb");

	assert_null(config_permitted_service(config, peer, "libvirt"));
	assert_string_equal(config->forwards[0].listen, "/run/culvert/peers/hostb/libvirt.sock");
	assert_string_equal(config->forwards[0].service, "libvirt");
	assert_int_equal(config->forwards[0].group, config->libvirt_group);
}

static void libvirt_is_where_its_section_says(void **state)
{
	const struct config *config = load_good(*state,
		"[host]\nname = hosta\n" PEER_B "services = libvirt\n"
		"[service libvirt]\nsocket = /run/virtqemud\n");
	const struct config_peer *peer = config_find_peer(config, "hostb");

	assert_string_equal(
		config_permitted_service(config, peer, "libvirt")->socket, "/run/virtqemud");
}

static void a_runtime_directory_too_long_for_its_sockets_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\nruntime_directory = "
		"/0123456789/0123456789/0123456789/0123456789/0123456789/0123\n",
		0, "runtime_directory", "at most 58 bytes");
}

static bool permits_bench(struct fixture *fixture, const char *services)
{
	char text[256];
	bool permitted;

	snprintf(text, sizeof(text), "[host]\nname = hosta\n" PEER_B "services = %s\n%s", services,
		"[service print]\nsocket = /run/print\n");
	permitted = config_permits_bench(config_find_peer(load_good(fixture, text), "hostb"));
	config_free(fixture->config);
	fixture->config = NULL;
	return permitted;
}

static void who_may_migrate_or_bench_may_bench(void **state)
{
	assert_true(permits_bench(*state, "migrate"));
	assert_true(permits_bench(*state, "print, bench"));
	assert_false(permits_bench(*state, "print"));
	assert_false(permits_bench(*state, ""));
}

static void a_service_called_bench_is_the_hosts_own(void **state)
{
	const struct config *config = load_good(*state,
		"[host]\nname = hosta\n" PEER_B "services = bench\n"
		"[service bench]\nsocket = /run/mine\n");

	assert_string_equal(
		config_permitted_service(config, config_find_peer(config, "hostb"), "bench")
			->socket,
		"/run/mine");
}

static void a_service_of_the_protocol_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[service control]\nsocket = /x\n", 3,
		"control", "Culvert's own");
}

static void a_service_without_a_socket_is_refused(void **state)
{
	assert_refused(
		*state, "[host]\nname = hosta\n[service x]\n", 3, "[service x]", "lacks 'socket'");
}

static void a_forward_to_nobody_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\n[forward x]\nlisten = /x\nhost = hostb\nservice = y\n", 3,
		"[forward x]", "unknown host 'hostb'");
}

static void two_forwards_on_one_socket_are_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\n" PEER_B
		"[forward x]\nlisten = /x\nhost = hostb\nservice = y\n"
		"[forward z]\nlisten = /x\nhost = hostb\nservice = y\n",
		10, "[forward z]", "listens where [forward x] does");
}

static void loopbacks_are_read_with_libvirts_ports_or_others(void **state)
{
	const struct config *config = load_good(*state,
		"[host]\nname = hosta\nmigration_address = 127.77.0.1\n" PEER_B
		"loopback = 127.77.0.2:49216-49279\nservices = migrate, libvirt\n");
	const struct config_peer *peer = config_find_peer(config, "hostb");

	assert_int_equal(config->migration_address.address.s_addr, inet_addr("127.77.0.1"));
	assert_int_equal(config->migration_address.first_port, 49152);
	assert_int_equal(config->migration_address.last_port, 49215);
	assert_int_equal(peer->loopback.address.s_addr, inet_addr("127.77.0.2"));
	assert_int_equal(peer->loopback.first_port, 49216);
	assert_int_equal(peer->loopback.last_port, 49279);
	assert_int_equal(config_loopback_ports(&peer->loopback), 64);
	assert_true(config_permits_tcp_migration(config, peer));
}

static void without_a_migration_address_nobody_migrates_by_tcp(void **state)
{
	const struct config *config =
		load_good(*state, "[host]\nname = hosta\n" PEER_B "services = migrate, libvirt\n");

	assert_int_equal(config_loopback_ports(&config->peers[0].loopback), 0);
	assert_false(config_permits_tcp_migration(config, &config->peers[0]));
}

static void one_permission_of_two_is_not_enough_for_tcp(void **state)
{
	static const char *const services[] = {"migrate", "libvirt"};
	struct fixture *fixture = *state;
	char text[200];

	for (size_t i = 0; i < 2; i++) {
		snprintf(text, sizeof(text),
			"[host]\nname = hosta\nmigration_address = 127.77.0.1\n" PEER_B
			"services = %s\n",
			services[i]);
		load_good(fixture, text);
		assert_false(
			config_permits_tcp_migration(fixture->config, &fixture->config->peers[0]));
		config_free(fixture->config);
	}
	fixture->config = NULL;
}

static void a_loopback_that_is_none_is_refused(void **state)
{
	static const struct {
		const char *value;
		const char *says;
	} bad[] = {{"10.0.0.2", "not an address of 127.0.0.0/8"},
		{"hostb", "not an address of 127.0.0.0/8"}, {"127.77.2", "127.0.0.0/8"},
		{"::1", "127.0.0.0/8"}, {"127.0.0.1", "everybody's"},
		{"127.77.0.2:49152", "not a range of ports"},
		{"127.77.0.2:1023-1030", "'1023' is not a number from 1024"},
		{"127.77.0.2:49215-49152", "'49152' is not a number from 49215"},
		{"127.77.0.2:65000-65536", "'65536' is not a number"},
		{"127.77.0.2:49152-49408", "more than 256 ports"}};
	char text[200];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[host]\nname = hosta\n" PEER_B "loopback = %s\n",
			bad[i].value);
		assert_refused(*state, text, 6, "loopback", bad[i].says);
		snprintf(text, sizeof(text), "[host]\nname = hosta\nmigration_address = %s\n",
			bad[i].value);
		assert_refused(*state, text, 3, "migration_address", bad[i].says);
	}
}

static void a_loopback_of_two_peers_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\n" PEER_B "loopback = 127.77.0.2\n"
		"[peer hostc]\naddress = 10.0.0.3\nidentity = c\nloopback = 127.77.0.2\n",
		7, "[peer hostc]", "loopback of [peer hostb]");
}

static void a_loopback_given_twice_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\n" PEER_B "loopback = 127.77.0.2\nloopback = 127.77.0.3\n", 7,
		"loopback", "given twice");
}

static void a_loopback_that_is_this_hosts_own_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\nmigration_address = 127.77.0.2\n" PEER_B
		"loopback = 127.77.0.2:49216-49279\n",
		4, "[peer hostb]", "this host's migration_address");
}

/* libvirt would find no port free, and tell nobody why. */
static void ports_of_a_peer_that_are_this_hosts_are_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\nmigration_address = 127.77.0.1\n" PEER_B
		"loopback = 127.77.0.2:49215-49230\n",
		4, "[peer hostb]", "ports of its own");
}

static void a_loopback_of_a_peer_without_an_address_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\n[peer hostb]\nidentity = b\nservices = migrate\n"
		"loopback = 127.77.0.2\n",
		3, "[peer hostb]", "no 'address'");
}

static void a_user_of_this_host_is_found(void **state)
{
	const struct passwd *user = getpwuid(getuid());
	char text[200];

	assert_non_null(user);
	snprintf(text, sizeof(text), "[host]\nname = hosta\nhypervisor_user = %s\n", user->pw_name);
	assert_int_equal(load_good(*state, text)->hypervisor_user, getuid());
}

static void an_unknown_user_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nhypervisor_user = no-such-user\n", 3,
		"hypervisor_user", "useradd");
}

static void a_peer_that_only_connects_needs_no_address(void **state)
{
	const struct config *config = load_good(
		*state, "[host]\nname = hosta\n[peer hostb]\nidentity = b\nservices = migrate\n");

	assert_int_equal(config_roles(config), TLS_ACCEPTOR);
}

static void a_host_may_listen_nowhere(void **state)
{
	const struct config *config = load_good(*state,
		"[host]\nname = hosta\nlisten = none\n[peer hostb]\naddress = 10.0.0.2\nidentity = "
		"b\n");

	assert_int_equal(config->listen.count, 0);
	assert_int_equal(config_roles(config), TLS_OPENER);
}

static void an_unknown_service_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n" PEER_B "services = migrate, everything\n",
		6, "services", "no service 'everything': there are migrate, bench");
}

static void a_peer_without_an_address_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[peer hostb]\nidentity = hostb\n", 3,
		"[peer hostb]", "lacks 'address'");
}

static void a_peer_without_an_identity_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[peer hostb]\naddress = 10.0.0.2\n", 3,
		"[peer hostb]", "lacks 'identity'");
}

static void a_peer_without_any_key_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[peer hostb]\n", 3, "[peer hostb]",
		"lacks 'address'");
}

static void an_identity_of_two_peers_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\n" PEER_B
		"[peer hostc]\naddress = 10.0.0.3\nidentity = HOSTB.example\n",
		6, "[peer hostc]", "identity of [peer hostb]");
}

static void an_identity_given_twice_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n" PEER_B "identity = other\n", 6, "identity",
		"given twice");
}

static void a_peer_whose_name_is_none_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\n[peer ../etc]\naddress = 10.0.0.2\n", 3,
		"../etc", "not a name");
}

/* The reader of the file would cut such a name, and two hosts could become one. */
static void a_peer_whose_name_would_be_cut_is_refused(void **state)
{
	assert_refused(*state,
		"[host]\nname = hosta\n"
		"[peer a-name-of-a-host-that-is-not-cut-but-refused-as-too-long]\n"
		"address = 10.0.0.2\n",
		3, "[peer a-name-of", "too long");
}

static void a_memory_that_is_absurd_is_refused(void **state)
{
	static const char *const values[] = {"256", "0", "1023k", "100t", "65g", "much"};
	char text[100];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(text, sizeof(text), "[host]\nname = hosta\nreplay_memory = %s\n",
			values[i]);
		assert_refused(*state, text, 3, "replay_memory", "is not a size from 1m to 65536m");
	}
}

static void a_limit_that_is_none_or_no_rate_is_told_apart(void **state)
{
	const char *text = "[host]\nname = hosta\n[bandwidth]\nlimit = none\n";
	struct fixture *fixture = *state;

	assert_true(load_good(fixture, text)->bandwidth_limit == RATE_UNLIMITED);
	config_free(fixture->config);
	assert_refused(fixture, "[host]\nname = hosta\n[bandwidth]\nlimit = 5\n", 4, "limit",
		"is not a rate");
	assert_refused(fixture, "[host]\nname = hosta\n[bandwidth]\nlimit = none\nlimit = 5Gbit\n",
		5, "limit", "given twice");
	assert_refused(fixture, "[host]\nname = hosta\n[bandwidth]\nlimits = 5Gbit\n", 4, "limits",
		"is not a key of [bandwidth]");
}

static void silence_of_a_peer_has_a_default_and_bounds(void **state)
{
	static const char *const good[] = {"500ms", "60s", "1m"};
	static const uint64_t meant_ms[] = {500, 60000, 60000};
	struct fixture *fixture = *state;
	char text[200];

	assert_int_equal(
		load_good(fixture, "[host]\nname = hosta\n" PEER_B)->peers[0].silence_timeout_ms,
		2800);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		config_free(fixture->config);
		snprintf(text, sizeof(text),
			"[host]\nname = hosta\n" PEER_B "silence_timeout = %s\n", good[i]);
		assert_int_equal(
			load_good(fixture, text)->peers[0].silence_timeout_ms, meant_ms[i]);
	}
}

static void silence_too_short_or_too_long_is_refused(void **state)
{
	static const char *const values[] = {"499ms", "0", "61s", "2m"};
	char text[200];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(text, sizeof(text),
			"[host]\nname = hosta\n" PEER_B "silence_timeout = %s\n", values[i]);
		assert_refused(
			*state, text, 6, "silence_timeout", "is not a duration from 500ms to 60s");
	}
	assert_refused(*state, "[host]\nname = hosta\n" PEER_B "silence_timeout = soon\n", 6,
		"silence_timeout", "'soon' is not a duration");
}

static void a_memory_given_twice_is_refused(void **state)
{
	assert_refused(*state, "[host]\nname = hosta\nreplay_memory = 64m\nreplay_memory = 64m\n",
		4, "replay_memory", "given twice");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_whole_file_is_read),
		TEST(what_is_not_said_has_defaults),
		TEST(a_peer_without_services_may_do_nothing),
		TEST(empty_services_permit_nothing),
		TEST(an_address_repeated_adds_another),
		TEST(a_peer_that_is_not_there_is_not_found),
		TEST(a_group_of_this_host_is_found),
		TEST(a_missing_file_is_named),
		TEST(a_directory_is_not_a_configuration),
		TEST(an_empty_file_lacks_the_name),
		TEST(an_unknown_key_of_the_host_is_refused),
		TEST(an_unknown_key_of_a_peer_is_refused),
		TEST(an_unknown_section_is_refused),
		TEST(an_unknown_section_without_keys_is_refused),
		TEST(a_key_before_any_section_is_refused),
		TEST(a_line_that_is_nothing_is_refused),
		TEST(a_section_that_is_not_closed_is_refused),
		TEST(the_first_of_two_errors_is_told),
		TEST(a_line_too_long_is_refused),
		TEST(a_name_given_twice_is_refused),
		TEST(a_path_given_twice_is_refused),
		TEST(a_name_that_is_none_is_refused),
		TEST(a_relative_path_is_refused),
		TEST(a_path_without_a_value_is_refused),
		TEST(a_bad_address_is_refused),
		TEST(a_bad_address_of_a_peer_is_refused),
		TEST(too_many_addresses_are_refused),
		TEST(an_unknown_group_is_refused),
		TEST(libvirt_needs_no_section_but_a_permission),
		TEST(libvirt_is_where_its_section_says),
		TEST(a_runtime_directory_too_long_for_its_sockets_is_refused),
		TEST(services_and_forwards_are_read),
		TEST(who_may_migrate_or_bench_may_bench),
		TEST(a_service_called_bench_is_the_hosts_own),
		TEST(a_service_of_the_protocol_is_refused),
		TEST(a_service_without_a_socket_is_refused),
		TEST(a_forward_to_nobody_is_refused),
		TEST(two_forwards_on_one_socket_are_refused),
		TEST(loopbacks_are_read_with_libvirts_ports_or_others),
		TEST(without_a_migration_address_nobody_migrates_by_tcp),
		TEST(one_permission_of_two_is_not_enough_for_tcp),
		TEST(a_loopback_that_is_none_is_refused),
		TEST(a_loopback_of_two_peers_is_refused),
		TEST(a_loopback_given_twice_is_refused),
		TEST(a_loopback_that_is_this_hosts_own_is_refused),
		TEST(ports_of_a_peer_that_are_this_hosts_are_refused),
		TEST(a_loopback_of_a_peer_without_an_address_is_refused),
		TEST(a_user_of_this_host_is_found),
		TEST(an_unknown_user_is_refused),
		TEST(a_peer_that_only_connects_needs_no_address),
		TEST(a_host_may_listen_nowhere),
		TEST(an_unknown_service_is_refused),
		TEST(a_peer_without_an_address_is_refused),
		TEST(a_peer_without_an_identity_is_refused),
		TEST(a_peer_without_any_key_is_refused),
		TEST(an_identity_of_two_peers_is_refused),
		TEST(an_identity_given_twice_is_refused),
		TEST(a_peer_whose_name_is_none_is_refused),
		TEST(a_peer_whose_name_would_be_cut_is_refused),
		TEST(a_memory_that_is_absurd_is_refused),
		TEST(a_limit_that_is_none_or_no_rate_is_told_apart),
		TEST(silence_of_a_peer_has_a_default_and_bounds),
		TEST(silence_too_short_or_too_long_is_refused),
		TEST(a_memory_given_twice_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
