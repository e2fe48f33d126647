#include "daemon/doctor.h"

#include <stdio.h>
#include <uv.h>

#include "daemon/contact.h"
#include "daemon/doctor_pair.h"
#include "daemon/examination.h"

#define PINGS 5

struct pair {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct examination *here;
	struct facts there;
	uint64_t round_trip_us; /* the least */
	int64_t ahead_ms;       /* the peer's clock */
};

static void add(struct pair *pair, struct finding finding)
{
	finding_append(pair->here->findings, NULL, &finding);
}

static int measure(struct pair *pair, struct contact *contact, struct error *err)
{
	pair->round_trip_us = UINT64_MAX;
	for (int i = 0; i < PINGS; i++) {
		uint64_t sent_ns = uv_hrtime();
		uint64_t took_us;

		if (contact_ask(contact, "ping", NULL, NULL, err) < 0)
			return -1;
		took_us = (uv_hrtime() - sent_ns) / 1000;
		if (took_us < pair->round_trip_us)
			pair->round_trip_us = took_us;
	}
	return 0;
}

/* Its facts, and its own findings */
static int ask(struct pair *pair, struct contact *contact, struct error *err)
{
	json_t *answer;
	int result;

	if (contact_ask(contact, "doctor", NULL, &answer, err) < 0)
		return -1;
	result = facts_decode(json_object_get(answer, "facts"), &pair->there, err);
	/* It told the time last, half a round trip ago. */
	pair->ahead_ms = (int64_t)(pair->there.clock_ms + pair->round_trip_us / 2000) -
		(int64_t)facts_clock_ms();
	if (result == 0)
		result = finding_append_theirs(pair->here->findings, pair->peer->name,
			json_object_get(answer, "findings"), err);
	json_decref(answer);
	return result;
}

/* @returns 0, or -1 with @err set: nothing more can be said of the peer */
static int meet(struct pair *pair, struct error *err)
{
	struct contact *contact = contact_new(pair->daemon, pair->peer, err);
	int result;

	if (!contact)
		return -1;
	result = measure(pair, contact, err) < 0 ? -1 : ask(pair, contact, err);
	if (result == 0)
		add(pair, doctor_pair_reached(contact_address(contact), pair->round_trip_us));
	contact_free(contact);
	return result;
}

static void compare_domains(struct pair *pair, struct libvirt_host *theirs)
{
	const char *name = pair->peer->name;
	bool compatible = false;
	char missing[64] = "";
	struct error err;
	int result = libvirt_host_compare_cpu(pair->here->libvirt, theirs, &compatible, &err);

	add(pair, doctor_pair_cpu(name, compatible, result < 0 ? err.message : NULL));
	result = libvirt_host_compare_machines(pair->here->libvirt, theirs, missing, &err);
	add(pair, doctor_pair_machines(name, missing, result < 0 ? err.message : NULL));
}

/* Where both have a libvirt, and the peer permits its to be used */
static void compare_libvirts(struct pair *pair)
{
	char path[CONFIG_SOCKET_BYTES];
	char uri[CONFIG_SOCKET_BYTES + 64];
	struct libvirt_host *theirs;
	struct error err;

	add(pair, doctor_pair_libvirt(&pair->here->facts, &pair->there));
	if (!pair->here->libvirt || !pair->there.may_libvirt || !*pair->there.libvirt)
		return;
	config_libvirt_path(pair->daemon->config, pair->peer, path);
	snprintf(uri, sizeof(uri), "qemu+unix:///system?socket=%s", path);
	theirs = libvirt_host_open(uri, &err);
	if (theirs)
		compare_domains(pair, theirs);
	else
		add(pair, doctor_pair_no_libvirt(pair->peer->name, err.message));
	libvirt_host_free(theirs);
}

static void examine_pair(struct pair *pair)
{
	const struct facts *here = &pair->here->facts;
	const struct facts *there = &pair->there;
	const char *name = pair->peer->name;
	struct error err;

	if (meet(pair, &err) < 0) {
		add(pair, doctor_pair_unreached(name, &err));
		return;
	}
	add(pair, doctor_pair_permission(name, there, pair->here->libvirt != NULL));
	add(pair, doctor_pair_clocks(name, pair->ahead_ms));
	add(pair, doctor_pair_memory(name, there));
	add(pair, doctor_pair_tcp(here, there, pair->round_trip_us));
	add(pair, doctor_pair_versions(here, there));
	add(pair, doctor_pair_qemu(here, there));
	compare_libvirts(pair);
}

json_t *doctor_examine(struct daemon *daemon, const struct config_peer *peer, struct error *err)
{
	struct examination here;
	struct pair pair = {.daemon = daemon, .peer = peer, .here = &here};
	json_t *answer;

	if (examination_run(&here, daemon, err) < 0)
		return NULL;
	if (peer)
		examine_pair(&pair);
	answer = json_pack("{ss sO}", "host", daemon->config->name, "findings", here.findings);
	examination_fini(&here);
	return answer;
}

json_t *doctor_tell(
	struct daemon *daemon, const struct config_peer *peer, bool brief, struct error *err)
{
	struct examination here;
	json_t *answer;

	if (brief)
		examination_run_brief(&here, daemon);
	else if (examination_run(&here, daemon, err) < 0)
		return NULL;
	facts_about(&here.facts, daemon->config, peer);
	answer =
		json_pack("{so sO}", "facts", facts_encode(&here.facts), "findings", here.findings);
	examination_fini(&here);
	return answer;
}
