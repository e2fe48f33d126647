#include "daemon/preflight.h"

#include <string.h>

#include "daemon/contact.h"
#include "daemon/doctor_pair.h"
#include "daemon/finding.h"
#include "hypervisor/libvirt_host.h"

/* What the destination tells of itself */
struct told {
	struct facts facts;
	json_t *findings;
};

static int ask(struct contact *contact, const char *name, struct told *told, struct error *err)
{
	json_t *answer;
	int result;

	if (contact_ask(contact, "doctor", json_pack("{sb}", "brief", 1), &answer, err) < 0)
		return -1;
	result = facts_decode(json_object_get(answer, "facts"), &told->facts, err);
	if (result == 0)
		result = finding_append_theirs(
			told->findings, name, json_object_get(answer, "findings"), err);
	if (result < 0)
		error_prefix(err, "what the destination tells of itself");
	json_decref(answer);
	return result;
}

/* Who may not even migrate is not told what else is missing. */
static int tell_refused(const struct config_peer *peer, struct error *err)
{
	struct error why = *err;

	return error_set(err, ERROR_PEER,
		"%.300s; what permits it, in culvert.conf of %s, in the [peer] section of this "
		"host: services = migrate, libvirt",
		why.message, peer->name);
}

static int find_out(
	struct daemon *daemon, const struct config_peer *peer, struct told *told, struct error *err)
{
	struct contact *contact = contact_new(daemon, peer, err);
	int result;

	if (!contact)
		return err->code == ERROR_PEER ? tell_refused(peer, err) : -1;
	result = ask(contact, peer->name, told, err);
	contact_free(contact);
	return result;
}

static int check_permission(
	const struct config_peer *peer, const struct facts *facts, struct error *err)
{
	char line[256];

	if (facts->may_libvirt)
		return 0;
	doctor_pair_permission_line(peer->name, facts, line, sizeof(line));
	return error_set(err, ERROR_PEER,
		"%s does not permit this host to use its libvirt: %s; then start culvertd there "
		"again",
		peer->name, line);
}

static int check_libvirt(const struct config_peer *peer, const char *uri, struct error *err)
{
	struct error why;
	struct libvirt_host *theirs = libvirt_host_open(uri, &why);

	if (!theirs)
		return error_set(err, ERROR_PEER,
			"the libvirt of %s does not answer (%.300s): is it running there "
			"(systemctl start libvirtd)?",
			peer->name, why.message);
	libvirt_host_free(theirs);
	return 0;
}

static int check_memory(const struct config_peer *peer, const struct facts *facts,
	struct libvirt *libvirt, struct error *err)
{
	uint64_t wanted;

	if (libvirt_memory(libvirt, &wanted, err) < 0)
		return -1;
	if (facts->memory_bytes == 0 || facts->memory_bytes >= wanted)
		return 0;
	return error_set(err, ERROR_PEER,
		"%s has only %llu MiB of memory free, and the domain may come to need %llu MiB: "
		"make room there",
		peer->name, (unsigned long long)(facts->memory_bytes >> 20),
		(unsigned long long)(wanted >> 20));
}

/* Post-copy: it would fail at the destination, in the midst of its preparations. */
static int check_postcopy(const struct config_peer *peer, const json_t *findings, struct error *err)
{
	size_t i;
	json_t *finding;

	json_array_foreach(findings, i, finding)
	{
		const char *check = json_string_value(json_object_get(finding, "check"));
		const char *state = json_string_value(json_object_get(finding, "state"));
		const char *remedy = json_string_value(json_object_get(finding, "remedy"));

		if (strcmp(check, "userfaultfd") == 0 && strcmp(state, "bad") == 0)
			return error_set(err, ERROR_PEER, "%s: %.250s: %.300s", peer->name,
				json_string_value(json_object_get(finding, "text")),
				remedy ? remedy : "--mode precopy does without");
	}
	return 0;
}

static int check(struct told *told, const struct config_peer *peer, struct libvirt *libvirt,
	enum migration_mode mode, struct error *err)
{
	if (check_permission(peer, &told->facts, err) < 0 ||
		check_memory(peer, &told->facts, libvirt, err) < 0)
		return -1;
	return mode == MODE_PRECOPY ? 0 : check_postcopy(peer, told->findings, err);
}

int preflight_libvirt(struct daemon *daemon, const struct config_peer *peer,
	struct libvirt *libvirt, enum migration_mode mode, const char *their_uri, struct error *err)
{
	struct told told = {.findings = json_array()};
	int result = find_out(daemon, peer, &told, err);

	if (result == 0)
		result = check(&told, peer, libvirt, mode, err);
	json_decref(told.findings);
	return result < 0 ? -1 : check_libvirt(peer, their_uri, err);
}
