#include "daemon/outgoing_libvirt.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/conversation.h"
#include "daemon/libvirt_verdict.h"
#include "daemon/preflight.h"
#include "daemon/rendezvous.h"
#include "daemon/switchover.h"
#include "hypervisor/libvirt.h"

/* How often libvirt is asked how far it is; it asks QEMU each time */
#define TURN_US 200000
/* Between attempts to reach the libvirt of either host, or to go on */
#define RETRY_US 1000000
/* A state of both hosts that was the same so often, a retry apart, is not on its way to another */
#define SETTLED_COUNT 5

static const char advice_left[] =
	"keep the domain on both hosts: together they hold the whole memory of the guest. To go "
	"on: "
	"culvert token HOST -- virsh migrate --live --p2p --postcopy --postcopy-resume DOMAIN "
	"--desturi {libvirt_uri} --migrateuri {migrate_uri} --disks-uri {disks_uri}";
static const char advice_lost[] =
	"a part of the guest's memory is gone: 'virsh destroy' what is left of the domain, on "
	"either host, and start the guest again from its disk";
static const char advice_paused[] = "the domain is whole and paused on the source: 'virsh resume' "
				    "it there, once nothing of it is "
				    "left on the destination";
static const char advice_twice[] = "the domain runs on both hosts: 'virsh destroy' it on one of "
				   "them at once, the source if it "
				   "has run on the destination, and look at the guest's disk";
static const char advice_left_here[] = "the domain runs on the destination; what is paused of it "
				       "here is of no use: 'virsh destroy' "
				       "it here";
static const char advice_look[] = "look at 'virsh domstate --reason' on both hosts before you do "
				  "anything: the guest must run "
				  "on one of them only";
static const char advice_ended[] = "it was shut down while it moved, or its QEMU ended: see "
				   "libvirt's logs of both hosts";

struct outgoing_libvirt {
	struct daemon *daemon;
	const struct config_peer *peer;
	struct migration *migration;
	struct migration_plan plan;
	struct libvirt *libvirt;
	struct rendezvous *rendezvous; /* NULL: none, or one that was used up */
	char their_uri[CONFIG_SOCKET_BYTES + 64];
	struct migration_figures figures;
	struct switchover switchover;
	bool switch_requested;
	bool cancel_requested;
	bool switched;
	enum libvirt_hold here; /* as both were asked last, and how often that was the same */
	enum libvirt_hold there;
	unsigned same_count;
	/* libvirt's own call, which has a thread to wait for it */
	bool resume;
	pthread_t thread;
	atomic_bool returned;
	int result;
	struct error failure;
};

static void take_requests(struct outgoing_libvirt *outgoing)
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

static void publish(struct outgoing_libvirt *outgoing)
{
	struct error err;

	if (libvirt_query(outgoing->libvirt, &outgoing->figures, &err) < 0)
		return;
	migration_set_figures(outgoing->migration, &outgoing->figures);
	if (outgoing->figures.state == MIGRATION_POSTCOPY) {
		outgoing->switched = true;
		migration_set_phase(outgoing->migration, PHASE_POSTCOPY, GUEST_DESTINATION);
	}
}

static void obey(struct outgoing_libvirt *outgoing)
{
	struct error err;

	take_requests(outgoing);
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

/* One call of libvirt's, from its begin to its return. @returns 0, or -1 with @err set: it could
 * not be made. What it came to is outgoing->result */
static int run_once(struct outgoing_libvirt *outgoing, struct error *err)
{
	outgoing->rendezvous = rendezvous_begin(
		outgoing->daemon, outgoing->peer, migration_terms(outgoing->migration), err);
	if (!outgoing->rendezvous)
		return -1;
	atomic_store(&outgoing->returned, false);
	if (pthread_create(&outgoing->thread, NULL, call_libvirt, outgoing) != 0) {
		rendezvous_end(outgoing->rendezvous);
		return error_set(err, ERROR_LOCAL, "cannot start a thread");
	}
	while (!atomic_load(&outgoing->returned)) {
		usleep(TURN_US);
		publish(outgoing);
		obey(outgoing);
	}
	pthread_join(outgoing->thread, NULL);
	rendezvous_end(outgoing->rendezvous);
	outgoing->rendezvous = NULL;
	return 0;
}

/* The source's libvirt may have been started again meanwhile. */
static int hold_here(struct outgoing_libvirt *outgoing, enum libvirt_hold *hold, struct error *err)
{
	if (libvirt_hold(outgoing->libvirt, hold, err) == 0)
		return 0;
	return libvirt_hold_at(libvirt_options_uri(&outgoing->plan.libvirt),
		libvirt_uuid(outgoing->libvirt), hold, err);
}

/* Whose the guest is, by both hosts. @why  what one of them that cannot be asked says */
static enum libvirt_verdict ask_both(struct outgoing_libvirt *outgoing, struct error *why)
{
	enum libvirt_hold here;
	enum libvirt_hold there;

	error_set(why, ERROR_NONE, "libvirt is not done with the domain");
	(void)hold_here(outgoing, &here, why);
	(void)libvirt_hold_at(outgoing->their_uri, libvirt_uuid(outgoing->libvirt), &there, why);
	if (here != outgoing->here || there != outgoing->there)
		outgoing->same_count = 0;
	outgoing->here = here;
	outgoing->there = there;
	return libvirt_verdict(here, there, ++outgoing->same_count > SETTLED_COUNT);
}

static void outcome_set(struct migration_outcome *outcome, enum migration_phase phase,
	enum guest_place guest, const char *advice)
{
	outcome->phase = phase;
	outcome->guest = guest;
	outcome->advice = advice;
}

/* The source has kept the guest. */
static void end_at_source(struct outgoing_libvirt *outgoing, struct migration_outcome *outcome)
{
	bool cancelled = outgoing->cancel_requested && !outgoing->switched;

	outcome_set(outcome, cancelled ? PHASE_CANCELLED : PHASE_FAILED, GUEST_SOURCE, NULL);
	if (cancelled)
		error_set(&outcome->failure, ERROR_CANCELLED,
			atomic_load(&outgoing->daemon->stopping) ? "culvertd was stopped"
								 : "cancelled");
	else if (outgoing->result < 0)
		outcome->failure = outgoing->failure;
	else
		error_set(&outcome->failure, ERROR_HYPERVISOR,
			"libvirt says that it has migrated, but the domain is still here");
}

static void end_at_destination(struct outgoing_libvirt *outgoing, struct migration_outcome *outcome)
{
	struct error ignored;

	if (libvirt_query_completed(outgoing->libvirt, &outgoing->figures, &ignored) == 0)
		migration_set_figures(outgoing->migration, &outgoing->figures);
	outcome_set(outcome, PHASE_COMPLETED, GUEST_DESTINATION,
		outgoing->here == HOLD_NONE ? NULL : advice_left_here);
	outcome->running = outgoing->there == HOLD_RUNNING;
}

static void end_failed(struct outgoing_libvirt *outgoing, enum guest_place guest,
	const char *advice, struct migration_outcome *outcome)
{
	outcome_set(outcome, PHASE_FAILED, guest, advice);
	error_set(&outcome->failure, ERROR_HYPERVISOR, "%s",
		outgoing->result < 0 ? outgoing->failure.message
				     : "libvirt says that it has migrated, which is not so");
}

/* @returns whether it has ended */
static bool end_by(struct outgoing_libvirt *outgoing, enum libvirt_verdict verdict,
	struct migration_outcome *outcome)
{
	switch (verdict) {
	case VERDICT_WAIT:
	case VERDICT_RESUME:
		return false;
	case VERDICT_SOURCE:
		end_at_source(outgoing, outcome);
		return true;
	case VERDICT_DESTINATION:
		end_at_destination(outgoing, outcome);
		return true;
	case VERDICT_SOURCE_PAUSED:
		end_failed(outgoing, GUEST_SOURCE, advice_paused, outcome);
		return true;
	case VERDICT_TWICE:
		end_failed(outgoing, GUEST_UNKNOWN, advice_twice, outcome);
		return true;
	case VERDICT_LOST:
		end_failed(outgoing, GUEST_NOWHERE, advice_lost, outcome);
		return true;
	case VERDICT_ENDED:
		end_failed(outgoing, GUEST_NOWHERE, advice_ended, outcome);
		return true;
	}
	return false;
}

/* Post-copy that libvirt has lost sight of, as it does when its daemon is started again, may still
 * go on by itself: QEMU's figures tell. */
static void wait_for(struct outgoing_libvirt *outgoing, const char *what)
{
	uint64_t before = outgoing->figures.ram_transferred_bytes;
	bool moves;

	publish(outgoing);
	moves = outgoing->figures.ram_transferred_bytes > before;
	if (outgoing->switched)
		migration_set_phase(outgoing->migration, moves ? PHASE_POSTCOPY : PHASE_PAUSED,
			GUEST_DESTINATION);
	else
		migration_set_phase(outgoing->migration, PHASE_FINISHING, GUEST_UNKNOWN);
	migration_set_waiting(outgoing->migration, what);
	usleep(RETRY_US);
	take_requests(outgoing);
}

/* Over another rendezvous. @returns whether libvirt says that it went on to its end */
static bool resume(struct outgoing_libvirt *outgoing)
{
	struct error err;

	log_event_limited(LOG_WARNING, "migration.interrupted", "migration=%s reason=\"%s\"",
		outgoing->plan.id, outgoing->failure.message);
	outgoing->resume = outgoing->switched = true;
	if (run_once(outgoing, &err) < 0) {
		wait_for(outgoing, err.message);
		return false;
	}
	if (outgoing->result < 0)
		wait_for(outgoing, outgoing->failure.message);
	return outgoing->result == 0;
}

/* After each return of libvirt's call, until nothing is left to go on with */
static void settle(struct outgoing_libvirt *outgoing, struct migration_outcome *outcome)
{
	enum libvirt_verdict verdict;
	struct error why;

	while (!end_by(outgoing, verdict = ask_both(outgoing, &why), outcome)) {
		if (verdict == VERDICT_RESUME && resume(outgoing))
			continue;
		if (verdict == VERDICT_WAIT)
			wait_for(outgoing, why.message);
		if (!atomic_load(&outgoing->daemon->stopping))
			continue;
		outcome_set(outcome, PHASE_FAILED, GUEST_UNKNOWN,
			outgoing->switched ? advice_left : advice_look);
		error_set(&outcome->failure, ERROR_LOCAL,
			"culvertd was stopped before libvirt was done with the domain");
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
		check_there(outgoing, err) < 0)
		return -1;
	migration_set_phase(outgoing->migration, PHASE_PRECOPY, GUEST_SOURCE);
	return run_once(outgoing, err);
}

static void talk(void *argument)
{
	struct outgoing_libvirt *outgoing = argument;
	struct migration_outcome outcome = {0};

	if (begin(outgoing, &outcome.failure) < 0)
		outcome_set(&outcome, PHASE_FAILED, GUEST_SOURCE, NULL);
	else
		settle(outgoing, &outcome);
	log_outcome(outgoing, &outcome);
	migration_end(outgoing->migration, &outcome);
	libvirt_free(outgoing->libvirt);
	free(outgoing);
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
	migration_end(outgoing->migration, &outcome);
	return -1;
}

int outgoing_libvirt_start(struct daemon *daemon, struct migration_plan *plan, struct error *err)
{
	const struct config_peer *peer = config_find_peer(daemon->config, plan->host);
	struct outgoing_libvirt *outgoing;
	char path[CONFIG_SOCKET_BYTES];

	if (!peer)
		return error_set(err, ERROR_USAGE,
			"unknown host '%s': culvert peers lists those in culvert.conf", plan->host);
	if (atomic_load(&daemon->stopping))
		return error_set(err, ERROR_LOCAL, "culvertd is stopping");
	outgoing = calloc(1, sizeof(*outgoing));
	if (!outgoing)
		return error_set(err, ERROR_LOCAL, "no memory");
	outgoing->libvirt = libvirt_open(libvirt_options_uri(&plan->libvirt), plan->vm, err);
	if (!outgoing->libvirt || check_here(outgoing->libvirt, plan, err) < 0) {
		libvirt_free(outgoing->libvirt);
		free(outgoing);
		return -1;
	}
	if (!parse_is_name(libvirt_name(outgoing->libvirt))) {
		error_set(err, ERROR_USAGE,
			"the domain's name is none that Culvert takes: letters, digits, '.', '_' "
			"and "
			"'-', at most 63");
		libvirt_free(outgoing->libvirt);
		free(outgoing);
		return -1;
	}
	snprintf(plan->vm, sizeof(plan->vm), "%s", libvirt_name(outgoing->libvirt));
	snprintf(plan->destination_vm, sizeof(plan->destination_vm), "%s", plan->vm);
	migration_choose_id(plan);
	outgoing->daemon = daemon;
	outgoing->peer = peer;
	outgoing->plan = *plan;
	config_libvirt_path(daemon->config, peer, path);
	snprintf(outgoing->their_uri, sizeof(outgoing->their_uri), "qemu+unix:///system?socket=%s",
		path);
	switchover_init(&outgoing->switchover, plan);
	log_event(LOG_NOTICE, "migration.outgoing",
		"migration=%s vm=%s host=%s mode=%s hypervisor=libvirt", plan->id, plan->vm,
		plan->host, migration_mode_name(plan->mode));
	if (set_out(outgoing, err) == 0)
		return 0;
	libvirt_free(outgoing->libvirt);
	free(outgoing);
	return -1;
}
