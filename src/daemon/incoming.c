#include "daemon/incoming.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/conversation.h"
#include "daemon/incoming_end.h"
#include "daemon/incoming_orders.h"
#include "daemon/incoming_rejoin.h"
#include "daemon/incoming_stream.h"
#include "daemon/keep.h"

/* Of all conversations (conversation.c): the others are for this host's own operator, who must be
 * heard whatever peers do. */
#define PEERS_MOST 768
/* ... of one peer, so that it leaves some to the others: more than it can have migrations */
#define PEER_MOST 512

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all}; /* under the lock */

static void enter(struct incoming *incoming)
{
	pthread_mutex_lock(&lock);
	list_append(&all, &incoming->open_place);
	pthread_mutex_unlock(&lock);
}

static void leave(struct incoming *incoming)
{
	pthread_mutex_lock(&lock);
	list_remove(&incoming->open_place);
	pthread_mutex_unlock(&lock);
}

/* @returns whether there are more conversations than there may be, of this peer or of all */
static bool too_many(const struct config_peer *peer)
{
	unsigned count = 0;
	unsigned peer_count = 0;

	pthread_mutex_lock(&lock);
	for (struct list *place = all.next; place != &all; place = place->next) {
		count++;
		peer_count += LIST_MEMBER(place, struct incoming, open_place)->peer == peer;
	}
	pthread_mutex_unlock(&lock);
	return count > PEERS_MOST || peer_count > PEER_MOST;
}

/* A source that has asked to prepare holds a machine here, and starts within seconds. */
#define PREPARED_MS 300000

/* A QEMU that could not be reached is tried again so often. */
#define REACH_MS 1000

/* Answer what the source asked. @returns 0, or -1: it is gone, or speaks another language */
static int answer_source(struct incoming *incoming)
{
	struct control_command command = {0};
	struct error err;
	json_t *message;
	json_t *result = NULL;
	int got = lines_get(incoming->lines, 0, &message, &err);

	if (got == 0)
		return 0;
	if (got < 0) {
		if (err.code != ERROR_LINK)
			log_event_limited(LOG_WARNING, "control.malformed", "peer=%s reason=\"%s\"",
				incoming->peer->name, err.message);
		return -1;
	}
	if (control_read_command(message, &command, &err) == 0) {
		if (strcmp(command.name, "rejoin") == 0) {
			got = incoming_rejoin(incoming, &command);
			json_decref(message);
			return got;
		}
		result = incoming_obey(incoming, &command, &err);
	}
	got = lines_put(incoming->lines,
		result ? control_return(result, command.id) : control_error(&err, command.id), -1,
		&err);
	json_decref(message);
	return got;
}

static void tell_source(
	struct incoming *incoming, const char *status, const char *reason, bool running)
{
	struct error ignored;

	if (!incoming->lines || strcmp(status, incoming->told) == 0)
		return;
	snprintf(incoming->told, sizeof(incoming->told), "%s", status);
	/* A source that is gone is noticed when it is read from. */
	(void)lines_put(incoming->lines,
		control_event("migration",
			json_pack("{ss ss sb}", "status", status, "reason", reason, "running",
				running)),
		-1, &ignored);
}

/* A pre-copy may take for ever: its source has to cancel it, for only it knows whether it still
 * can.
 */
static void tell_leaving(struct incoming *incoming)
{
	struct error ignored;

	if (incoming->leaving || incoming->postcopy || !incoming->started || !incoming->lines)
		return;
	incoming->leaving = true;
	(void)lines_put(incoming->lines, control_event("stopping", json_object()), -1, &ignored);
}

/* Post-copy has begun: its source cannot run the guest any more. */
static void go_on_here(struct incoming *incoming)
{
	struct error err;

	incoming->postcopy = incoming->begun = true;
	if (incoming_let_run(incoming, &err) < 0)
		log_event_limited(LOG_WARNING, "migration.not_started",
			"migration=%s reason=\"%s\"", incoming->plan.id, err.message);
}

/* A daemon that was started again finds the QEMU of its predecessor. */
static void reach_qemu(struct incoming *incoming, const json_t *found)
{
	const char *directory = incoming->daemon->config->qmp_directory;
	bool started = atomic_load(&incoming->started);
	uint64_t now_ms = clock_now_ms();
	struct error err;

	if (now_ms < incoming->reach_ms)
		return;
	if (incoming->kept_qmp_fd >= 0) {
		incoming->qemu = qemu_open_kept(
			fd_take(&incoming->kept_qmp_fd), incoming->plan.destination_vm, &err);
		if (incoming->qemu && incoming->spare_fd >= 0 && !incoming->spare_used)
			qemu_keep_spare(incoming->qemu);
	} else if (!qemu_exists(directory, incoming->plan.destination_vm)) {
		if (started)
			incoming_end_without_qemu(incoming, "");
		else
			incoming_end_withdrawn(incoming);
		return;
	}
	if (!incoming->qemu)
		incoming->qemu = qemu_open(directory, incoming->plan.destination_vm, &err);
	if (incoming->qemu) {
		qemu_take_over(incoming->qemu, ROLE_DESTINATION, started, found);
		if (!started)
			incoming_end_withdrawn(incoming);
		return;
	}
	migration_set_phase(incoming->migration, PHASE_PAUSED, GUEST_UNKNOWN);
	migration_set_waiting(incoming->migration, err.message);
	log_event_limited(LOG_WARNING, "migration.unreachable", "migration=%s reason=\"%s\"",
		incoming->plan.id, err.message);
	incoming->reach_ms = now_ms + REACH_MS;
}

static void watch_state(struct incoming *incoming, const struct migration_figures *figures)
{
	struct error err;
	bool running = false;

	switch (figures->state) {
	case MIGRATION_POSTCOPY:
	case MIGRATION_PAUSED:
		go_on_here(incoming);
		migration_set_phase(incoming->migration,
			incoming->paused ? PHASE_PAUSED : PHASE_POSTCOPY, GUEST_DESTINATION);
		migration_set_waiting(incoming->migration,
			incoming->paused
				? "it recovers the migration as soon as both QEMUs say that "
				  "they are paused"
				: "");
		break;
	case MIGRATION_COMPLETED:
		if (incoming->begun)
			go_on_here(incoming);
		if (qemu_guest_running(incoming->qemu, &running, &err) < 0)
			return; /* ask again */
		incoming_end_arrived(incoming, running);
		break;
	case MIGRATION_FAILED:
		incoming_end_without_qemu(incoming, figures->reason);
		break;
	case MIGRATION_NONE:
		if (incoming->restored)
			incoming_end_forgotten(incoming);
		break;
	case MIGRATION_SETUP:
	case MIGRATION_PRECOPY:
	case MIGRATION_CANCELLED:
	case MIGRATION_OTHER:
		break;
	}
	tell_source(incoming, figures->status, figures->reason, running);
}

/* Look at our QEMU, once it has begun. */
static void watch_qemu(struct incoming *incoming)
{
	struct migration_figures figures;
	struct error err;

	if (!incoming->started || !incoming->migration || !incoming->qemu)
		return;
	if (qemu_query(incoming->qemu, 0, &figures, &err) < 0) {
		if (qemu_gone(incoming->qemu)) {
			tell_source(incoming, "gone", "", false);
			incoming_end_without_qemu(incoming, "");
			return;
		}
		/* Too busy to answer: ask again. Of an interrupted post-copy it may never be less
		 * so: its monitor waits for a virtual CPU that waits for a page. What a killed
		 * daemon has left in pre-copy has ended. */
		incoming->paused = incoming->postcopy || incoming->restored;
		incoming_stream_watch(incoming, NULL);
		return;
	}
	migration_set_figures(incoming->migration, &figures);
	incoming->paused = figures.state == MIGRATION_PAUSED;
	incoming_stream_watch(incoming, &figures);
	watch_state(incoming, &figures);
}

/* Wait for the source or for QEMU, one turn at most. */
static void wait_turn(struct incoming *incoming)
{
	struct pollfd watched[3] = {
		{.fd = incoming->lines ? lines_descriptor(incoming->lines) : -1, .events = POLLIN},
		{.fd = -1, .events = POLLIN},
		{.fd = incoming_stream_descriptor(incoming), .events = POLLIN},
	};

	if (incoming->lines && lines_ready(incoming->lines))
		return;
	if (incoming->migration && incoming->started && incoming->qemu) {
		if (qemu_ready(incoming->qemu))
			return;
		watched[1].fd = qemu_descriptor(incoming->qemu);
	}
	(void)poll(watched, 3, CONVERSATION_TURN_MS);
}

/* Of what has begun there is still something to lead. */
static bool under_way(const struct incoming *incoming)
{
	return incoming->migration && (incoming->started || incoming->restored);
}

/* Its source begins anew, has gone, or asks no more; or this daemon stops. */
static bool to_be_withdrawn(const struct incoming *incoming)
{
	return incoming->migration && !incoming->started && !incoming->restored &&
		(!incoming->lines || atomic_load(&incoming->superseded) ||
			atomic_load(&incoming->daemon->stopping));
}

/* What waits for its source, which cannot be heard, is left to the next daemon - but not in the
 * middle of a recovery, which this QEMU would not survive. */
static bool to_be_left(const struct incoming *incoming)
{
	return under_way(incoming) && atomic_load(&incoming->daemon->stopping) &&
		!incoming->lines && !incoming->spare_used &&
		(incoming->paused || incoming->arrived || !incoming->qemu);
}

static bool over(const struct incoming *incoming)
{
	const struct daemon *daemon = incoming->daemon;

	if (atomic_load(&daemon->ending))
		return true;
	if (under_way(incoming))
		/* A guest may run here already, or its source waits for our word. */
		return false;
	if (incoming->lines && *incoming->rendezvous &&
		rendezvous_table_leads(daemon->rendezvous, incoming->rendezvous))
		return false; /* libvirt, and its source tells how it ends */
	if (*incoming->rendezvous &&
		rendezvous_table_used_up(daemon->rendezvous, incoming->rendezvous))
		/* Of a killed daemon: its channel would wait for a link as long as it may. */
		return true;
	return !incoming->lines || (atomic_load(&daemon->stopping) && !incoming->migration);
}

/* As long as disks are copied, its QEMU is held for what it is there for. */
static bool too_late(const struct incoming *incoming)
{
	return incoming->migration && !incoming->started && !incoming->disks_exported &&
		clock_now_ms() - incoming->prepared_ms > PREPARED_MS;
}

/* Of what has ended. Its source may hold the control channel for long, and QMP has place for one
 * client: the next migration's. */
static void leave_qemu(struct incoming *incoming)
{
	if (incoming->migration || !incoming->qemu)
		return;
	qemu_free(incoming->qemu);
	incoming->qemu = NULL;
}

static void turn(struct incoming *incoming)
{
	wait_turn(incoming);
	if (incoming->lines && (answer_source(incoming) < 0 || too_late(incoming))) {
		if (incoming->lines)
			lines_free(incoming->lines);
		incoming->lines = NULL;
	}
	if (incoming->migration)
		incoming_take_handover(incoming);
	watch_qemu(incoming);
	if (*incoming->rendezvous)
		rendezvous_table_publish(incoming->daemon->rendezvous, incoming->rendezvous);
	if (to_be_withdrawn(incoming))
		incoming_end_withdrawn(incoming);
	if (atomic_load(&incoming->daemon->stopping))
		tell_leaving(incoming);
	if (to_be_left(incoming))
		incoming_end_left(incoming);
	leave_qemu(incoming);
}

static void incoming_free(struct incoming *incoming)
{
	incoming_table_remove(incoming->daemon->incoming, incoming);
	if (*incoming->rendezvous)
		rendezvous_table_remove(incoming->daemon->rendezvous, incoming->rendezvous);
	incoming_stream_fini(incoming);
	if (incoming->lines)
		lines_free(incoming->lines);
	if (incoming->qemu)
		qemu_free(incoming->qemu);
	fd_close(&incoming->kept_qmp_fd);
	json_decref(incoming->found);
	leave(incoming);
	free(incoming);
}

static void talk(void *argument)
{
	struct incoming *incoming = argument;

	while (!over(incoming)) {
		if (incoming->restored && incoming->migration && !incoming->qemu)
			reach_qemu(incoming, incoming->found);
		turn(incoming);
	}
	incoming_free(incoming);
}

static struct incoming *incoming_new(
	struct daemon *daemon, const struct config_peer *peer, struct error *err)
{
	struct incoming *incoming = calloc(1, sizeof(*incoming));

	if (!incoming) {
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	incoming->daemon = daemon;
	incoming->peer = peer;
	incoming->spare_fd = incoming->spare_peek_fd = incoming->kept_qmp_fd = -1;
	list_init(&incoming->place);
	enter(incoming);
	return incoming;
}

int incoming_start(struct daemon *daemon, const struct config_peer *peer, int fd, struct error *err)
{
	struct incoming *incoming = incoming_new(daemon, peer, err);

	if (!incoming) {
		close(fd);
		return -1;
	}
	incoming->lines = lines_new(fd, CONTROL_LONGEST_BYTES);
	if (!incoming->lines)
		error_set(err, ERROR_LOCAL, "no memory");
	else if (too_many(peer))
		error_set(err, ERROR_LOCAL, "too many control channels at once");
	else if (conversation_start(talk, incoming, err) == 0)
		return 0;
	incoming_free(incoming);
	return -1;
}

int incoming_restore(struct daemon *daemon, const struct config_peer *peer,
	const struct journal_entry *entry, struct error *err)
{
	struct incoming *incoming = incoming_new(daemon, peer, err);

	if (!incoming)
		return -1;
	incoming->restored = true;
	incoming->plan = entry->plan;
	incoming->stay = entry->halted;
	incoming->found = json_incref(entry->found);
	incoming->kept_qmp_fd = keep_take(entry->plan.id, KEEP_QMP);
	incoming_stream_restore(incoming);
	atomic_store(&incoming->started, entry->started);
	incoming->migration = migrations_begin(daemon->migrations, &entry->plan, err);
	if (incoming->migration) {
		incoming_table_add(daemon->incoming, incoming);
		if (conversation_start(talk, incoming, err) == 0)
			return 0;
		incoming_end_unled(incoming, err);
	}
	incoming_free(incoming);
	return -1;
}
