#include "daemon/outgoing_libvirt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/carried.h"
#include "daemon/conversation.h"
#include "daemon/journal.h"
#include "daemon/libvirt_journal.h"
#include "daemon/outgoing_libvirt_end.h"
#include "daemon/outgoing_libvirt_restore.h"
#include "daemon/preflight.h"

/* How often libvirt is asked how far it is; it asks QEMU each time */
#define TURN_US 200000
/* Between attempts to reach the libvirt of either host, or to go on */
#define RETRY_US 1000000

static const char going_on[] =
	"libvirt's own connection was lost; the guest's memory goes on coming";

void outgoing_libvirt_take_requests(struct outgoing_libvirt *outgoing)
{
	unsigned requests = migration_take_requests(outgoing->migration);

	outgoing->switch_requested |= (requests & REQUEST_SWITCH) != 0;
	outgoing->cancel_requested |=
		(requests & REQUEST_CANCEL) != 0 || atomic_load(&outgoing->daemon->stopping);
}

static void *call_libvirt(void *argument)
{
	struct outgoing_libvirt *outgoing = argument;
	const struct config *config = outgoing->daemon->config;
	char uris[RENDEZVOUS_SOCKETS][CONFIG_SOCKET_BYTES + 8];
	struct libvirt_route route = {
		.libvirt_uri = outgoing->their_uri,
		.migrate_uri = uris[RENDEZVOUS_MIGRATE],
		.disks_uri = uris[RENDEZVOUS_DISKS],
		.mode = outgoing->plan.mode,
		.resume = outgoing->resume,
		.options = &outgoing->plan.libvirt,
	};

	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++) {
		char path[CONFIG_SOCKET_BYTES];

		rendezvous_socket_path(config, rendezvous_token(outgoing->rendezvous),
			(enum rendezvous_socket)i, path);
		snprintf(uris[i], sizeof(uris[i]), "unix://%s", path);
	}
	outgoing->result = libvirt_migrate(outgoing->libvirt, &route, &outgoing->failure);
	atomic_store(&outgoing->returned, true);
	return NULL;
}

static void publish_tunnel(struct outgoing_libvirt *outgoing)
{
	struct tunnel_figures tunnel = {0};

	if (!outgoing->rendezvous)
		return;
	rendezvous_figures(outgoing->rendezvous, &tunnel);
	tunnel_figures_add(&tunnel, &outgoing->before);
	migration_set_tunnel(outgoing->migration, &tunnel);
}

static void publish(struct outgoing_libvirt *outgoing)
{
	struct error err;

	publish_tunnel(outgoing);
	if (!outgoing_libvirt_reach(outgoing, &err) ||
		libvirt_query(outgoing->libvirt, &outgoing->figures, &err) < 0)
		return;
	migration_set_figures(outgoing->migration, &outgoing->figures);
	if (outgoing->figures.state == MIGRATION_POSTCOPY) {
		outgoing->switched = true;
		if (outgoing->rendezvous)
			(void)rendezvous_await(outgoing->rendezvous);
		migration_set_phase(outgoing->migration, PHASE_POSTCOPY, GUEST_DESTINATION);
		migration_set_waiting(outgoing->migration, "");
		outgoing->waits = false;
	}
}

static void obey(struct outgoing_libvirt *outgoing)
{
	struct error err;

	outgoing_libvirt_take_requests(outgoing);
	if (outgoing->switched ||
		(outgoing->figures.state != MIGRATION_PRECOPY &&
			outgoing->figures.state != MIGRATION_SETUP))
		return;
	if (outgoing->cancel_requested) {
		if (libvirt_cancel(outgoing->libvirt, &err) < 0)
			log_event_limited(LOG_WARNING, "migration.cancel_failed",
				"migration=%s reason=\"%s\"", outgoing->plan.id, err.message);
		return;
	}
	outgoing->switch_requested |= switchover_due(&outgoing->switchover, &outgoing->figures,
		migration_elapsed_ms(outgoing->migration));
	if (!outgoing->switch_requested || outgoing->plan.mode == MODE_PRECOPY ||
		outgoing->figures.state == MIGRATION_SETUP)
		return;
	/* Where nobody is left to hear it, the switch does not wait for that. */
	if (!rendezvous_await(outgoing->rendezvous) &&
		!rendezvous_is_lost(outgoing->rendezvous, &err))
		return;
	migration_hasten(outgoing->migration);
	if (libvirt_switch_to_postcopy(outgoing->libvirt, &err) < 0) {
		log_event_limited(LOG_WARNING, "migration.switch_failed",
			"migration=%s reason=\"%s\"", outgoing->plan.id, err.message);
		return;
	}
	outgoing->switched = true;
	log_event(LOG_NOTICE, "migration.switch", "migration=%s elapsed_ms=%llu pass=%llu",
		outgoing->plan.id, (unsigned long long)migration_elapsed_ms(outgoing->migration),
		(unsigned long long)outgoing->figures.pass_count);
}

static void leave_rendezvous(struct outgoing_libvirt *outgoing)
{
	struct tunnel_figures last = {0};

	if (!outgoing->rendezvous)
		return;
	rendezvous_figures(outgoing->rendezvous, &last);
	tunnel_figures_add(&outgoing->before, &last);
	rendezvous_end(outgoing->rendezvous);
	outgoing->rendezvous = NULL;
}

int outgoing_libvirt_meet(struct outgoing_libvirt *outgoing, struct error *err)
{
	struct rendezvous *next = rendezvous_begin(outgoing->daemon, outgoing->peer,
		migration_terms(outgoing->migration), &outgoing->plan, err);

	if (!next)
		return -1;
	leave_rendezvous(outgoing);
	outgoing->rendezvous = next;
	return 0;
}

/* One call of libvirt's, from its begin to its return. @returns 0, or -1 with @err set: it could
 * not be made. What it came to is outgoing->result */
static int run_once(struct outgoing_libvirt *outgoing, struct error *err)
{
	if (outgoing_libvirt_meet(outgoing, err) < 0)
		return -1;
	atomic_store(&outgoing->returned, false);
	if (pthread_create(&outgoing->thread, NULL, call_libvirt, outgoing) != 0)
		return error_set(err, ERROR_LOCAL, "cannot start a thread");
	while (!atomic_load(&outgoing->returned)) {
		usleep(TURN_US);
		publish(outgoing);
		obey(outgoing);
	}
	pthread_join(outgoing->thread, NULL);
	publish_tunnel(outgoing);
	return 0;
}

/* Each QEMU still has its end of the stream, whatever became of libvirt's own connection: they go
 * on by themselves, and there is nothing to resume. */
static bool is_carrying(struct outgoing_libvirt *outgoing)
{
	return outgoing->rendezvous && rendezvous_is_carrying(outgoing->rendezvous);
}

static void tell_waiting(struct outgoing_libvirt *outgoing, const char *what)
{
	enum migration_phase phase = !outgoing->switched ? PHASE_FINISHING
		: is_carrying(outgoing)                  ? PHASE_POSTCOPY
							 : PHASE_PAUSED;

	migration_set_phase(
		outgoing->migration, phase, outgoing->switched ? GUEST_DESTINATION : GUEST_UNKNOWN);
	migration_set_waiting(outgoing->migration, what);
	outgoing->waits = true;
	publish_tunnel(outgoing);
}

/* Post-copy that libvirt has lost sight of, as it does when its daemon is started again, may still
 * go on by itself: QEMU's figures tell. */
static void wait_for(struct outgoing_libvirt *outgoing, const char *what)
{
	publish(outgoing);
	tell_waiting(outgoing, what);
	usleep(RETRY_US);
	outgoing_libvirt_take_requests(outgoing);
}

static void wait_to_resume(struct outgoing_libvirt *outgoing, const struct error *why)
{
	struct error text;

	error_set(&text, ERROR_NONE,
		"post-copy does not go on yet; keep the domain on both hosts, it is tried again "
		"every second: %s",
		why->message);
	wait_for(outgoing, text.message);
}

/* Over another rendezvous. @returns whether libvirt says that it went on to its end */
static bool resume(struct outgoing_libvirt *outgoing)
{
	struct error err;

	log_event_limited(LOG_WARNING, "migration.interrupted", "migration=%s reason=\"%s\"",
		outgoing->plan.id, outgoing->failure.message);
	outgoing->resume = outgoing->switched = true;
	/* Its call may never return: docs/LIBVIRT.md. */
	if (!outgoing->waits)
		tell_waiting(outgoing,
			"libvirt is asked to go on with post-copy, which it cannot while the QEMU "
			"on the destination waits for a page; keep the domain on both hosts");
	if (!outgoing_libvirt_reach(outgoing, &err) || run_once(outgoing, &err) < 0) {
		wait_to_resume(outgoing, &err);
		return false;
	}
	if (outgoing->result < 0)
		wait_to_resume(outgoing, &outgoing->failure);
	return outgoing->result == 0;
}

/* After each return of libvirt's call, until nothing is left to go on with */
static void settle(struct outgoing_libvirt *outgoing, struct migration_outcome *outcome)
{
	enum libvirt_verdict verdict;
	struct error why;

	while (!outgoing_libvirt_end_by(
		outgoing, verdict = outgoing_libvirt_ask(outgoing, &why), outcome)) {
		if (verdict == VERDICT_RESUME && is_carrying(outgoing))
			wait_for(outgoing, going_on);
		else if (verdict == VERDICT_RESUME && resume(outgoing))
			continue;
		if (verdict == VERDICT_WAIT)
			wait_for(outgoing, why.message);
		if (!atomic_load(&outgoing->daemon->stopping))
			continue;
		outgoing_libvirt_end_left(outgoing, outcome);
		return;
	}
}

static void log_outcome(
	const struct outgoing_libvirt *outgoing, const struct migration_outcome *outcome)
{
	bool failed = outcome->failure.code != ERROR_NONE;

	log_event(failed ? LOG_WARNING : LOG_NOTICE, "migration.ended",
		"migration=%s vm=%s direction=outgoing host=%s mode=%s elapsed_ms=%llu%s%s%s",
		outgoing->plan.id, outgoing->plan.vm, outgoing->plan.host,
		migration_mode_name(outgoing->plan.mode),
		(unsigned long long)migration_elapsed_ms(outgoing->migration),
		failed ? " reason=\"" : "", failed ? outcome->failure.message : "",
		failed ? "\"" : "");
}

/* The other host's QEMU is as much concerned. */
static int check_there(struct outgoing_libvirt *outgoing, struct error *err)
{
	const struct libvirt_options *options = &outgoing->plan.libvirt;
	uint64_t version;

	if (options->parallel_count == 0)
		return 0;
	if (libvirt_version_at(outgoing->their_uri, &version, err) < 0)
		return error_prefix(err, "%s", outgoing->peer->name);
	return libvirt_options_check(
		options, outgoing->plan.mode, version, outgoing->peer->name, err);
}

static int check_here(struct libvirt *libvirt, const struct migration_plan *plan, struct error *err)
{
	uint64_t version;

	if (plan->libvirt.parallel_count == 0)
		return 0;
	if (libvirt_version(libvirt, &version, err) < 0)
		return -1;
	return libvirt_options_check(&plan->libvirt, plan->mode, version, "this host", err);
}

/* What can be known beforehand, then the first call */
static int begin(struct outgoing_libvirt *outgoing, struct error *err)
{
	if (preflight_libvirt(outgoing->daemon, outgoing->peer, outgoing->libvirt,
		    outgoing->plan.mode, outgoing->their_uri, err) < 0 ||
		check_there(outgoing, err) < 0 || outgoing_libvirt_note(outgoing, err) < 0)
		return -1;
	migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
	return run_once(outgoing, err);
}

static void outgoing_free(struct outgoing_libvirt *outgoing)
{
	libvirt_free(outgoing->libvirt);
	free(outgoing);
}

static void talk(void *argument)
{
	struct outgoing_libvirt *outgoing = argument;
	struct migration_outcome outcome = {.phase = PHASE_FAILED, .guest = GUEST_SOURCE};

	if (outgoing->restored)
		outgoing_libvirt_take_up(outgoing);
	if (outgoing->restored || begin(outgoing, &outcome.failure) == 0)
		settle(outgoing, &outcome);
	log_outcome(outgoing, &outcome);
	if (outgoing->rendezvous)
		rendezvous_settle(outgoing->rendezvous, outcome.guest, outcome.running);
	leave_rendezvous(outgoing);
	if (!outgoing->left)
		journal_remove(outgoing->daemon->config->runtime_directory, &outgoing->plan);
	migration_end(outgoing->migration, &outcome);
	outgoing_free(outgoing);
}

bool outgoing_libvirt_knows(const char *domain, struct error *err)
{
	struct libvirt *libvirt = libvirt_open(LIBVIRT_URI, domain, err);

	libvirt_free(libvirt);
	return libvirt != NULL;
}

static int set_out(struct outgoing_libvirt *outgoing, struct error *err)
{
	struct migration_outcome outcome = {.phase = PHASE_FAILED, .guest = GUEST_SOURCE};

	outgoing->migration = migrations_begin(outgoing->daemon->migrations, &outgoing->plan, err);
	if (!outgoing->migration)
		return -1;
	if (conversation_start(talk, outgoing, err) == 0)
		return 0;
	outcome.failure = *err;
	if (outgoing->restored)
		outgoing_libvirt_end_unled(&outcome);
	migration_end(outgoing->migration, &outcome);
	return -1;
}

/* @plan  vm and id are chosen later, or by a culvertd that was killed */
static struct outgoing_libvirt *outgoing_new(struct daemon *daemon, const struct config_peer *peer,
	const struct migration_plan *plan, struct error *err)
{
	struct outgoing_libvirt *outgoing = calloc(1, sizeof(*outgoing));
	char path[CONFIG_SOCKET_BYTES];

	if (!outgoing) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	outgoing->daemon = daemon;
	outgoing->peer = peer;
	outgoing->plan = *plan;
	config_libvirt_path(daemon->config, peer, path);
	snprintf(outgoing->their_uri, sizeof(outgoing->their_uri), "qemu+unix:///system?socket=%s",
		path);
	switchover_init(&outgoing->switchover, plan);
	return outgoing;
}

/* Find the domain, which may be named by its UUID. */
static int find(struct outgoing_libvirt *outgoing, struct migration_plan *plan, struct error *err)
{
	if (!outgoing_libvirt_reach(outgoing, err) || check_here(outgoing->libvirt, plan, err) < 0)
		return -1;
	if (!parse_is_name(libvirt_name(outgoing->libvirt)))
		return error_set(err, ERROR_USAGE,
			"the domain's name is none that Culvert takes: letters, digits, '.', '_' "
			"and '-', at most 63");
	snprintf(plan->vm, sizeof(plan->vm), "%s", libvirt_name(outgoing->libvirt));
	snprintf(plan->destination_vm, sizeof(plan->destination_vm), "%s", plan->vm);
	migration_choose_id(plan);
	outgoing->plan = *plan;
	return 0;
}

int outgoing_libvirt_start(struct daemon *daemon, struct migration_plan *plan, struct error *err)
{
	const struct config_peer *peer = config_find_peer(daemon->config, plan->host);
	struct outgoing_libvirt *outgoing;

	if (!peer)
		return error_set(err, ERROR_USAGE,
			"unknown host '%s': culvert peers lists those in culvert.conf", plan->host);
	if (atomic_load(&daemon->stopping))
		return error_set(err, ERROR_LOCAL, "culvertd is stopping");
	outgoing = outgoing_new(daemon, peer, plan, err);
	if (!outgoing)
		return -1;
	if (find(outgoing, plan, err) == 0) {
		log_event(LOG_NOTICE, "migration.outgoing",
			"migration=%s vm=%s host=%s mode=%s hypervisor=libvirt", plan->id, plan->vm,
			plan->host, migration_mode_name(plan->mode));
		if (set_out(outgoing, err) == 0)
			return 0;
	}
	outgoing_free(outgoing);
	return -1;
}

int outgoing_libvirt_restore(struct daemon *daemon, const struct config_peer *peer,
	const struct journal_entry *entry, struct error *err)
{
	struct outgoing_libvirt *outgoing = outgoing_new(daemon, peer, &entry->plan, err);

	if (!outgoing)
		return -1;
	outgoing->restored = true;
	if (libvirt_journal_decode(entry->libvirt, outgoing->uuid, &outgoing->plan.libvirt, err) ==
			0 &&
		set_out(outgoing, err) == 0)
		return 0;
	outgoing_free(outgoing);
	return -1;
}
