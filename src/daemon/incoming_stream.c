#include "daemon/incoming_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/keep.h"
#include "daemon/offer.h"
#include "io/socket.h"

/* QEMU pauses within milliseconds of the loss of its stream. */
#define PAUSE_MS      5000
#define PAUSE_TURN_MS 50

static int make_pair(int *ours, int *theirs, struct error *err)
{
	int pair[2];

	if (socket_pair(pair, err) < 0)
		return -1;
	socket_tune_hypervisor(pair[1]);
	*ours = pair[0];
	*theirs = pair[1];
	return 0;
}

static int keep_spare(struct incoming *incoming, struct error *err)
{
	CLEANUP_FD int ours = -1;
	CLEANUP_FD int theirs = -1;

	if (incoming->spare_fd >= 0)
		return 0;
	if (make_pair(&ours, &theirs, err) < 0 ||
		qemu_attach_spare(incoming->qemu, theirs, err) < 0)
		return -1;
	incoming->spare_fd = fd_take(&ours);
	incoming->spare_peek_fd = fd_take(&theirs);
	incoming->spare_used = false;
	keep_put(incoming->plan.id, KEEP_SPARE, incoming->spare_fd);
	keep_put(incoming->plan.id, KEEP_PEEK, incoming->spare_peek_fd);
	return 0;
}

static int offer(struct incoming *incoming, int fd, struct error *err)
{
	struct offers *offers = incoming->daemon->offers;

	if (*incoming->token)
		offers_withdraw(offers, incoming->token);
	if (offers_put(offers, incoming->peer->name, fd, migration_terms(incoming->migration),
		    incoming->token, err) < 0)
		return -1;
	incoming->attached = true;
	return 0;
}

static int lay_one(struct incoming *incoming, struct error *err)
{
	CLEANUP_FD int ours = -1;
	CLEANUP_FD int theirs = -1;

	if (make_pair(&ours, &theirs, err) < 0 || offer(incoming, fd_take(&ours), err) < 0 ||
		qemu_attach(incoming->qemu, theirs, err) < 0)
		return -1;
	return incoming->plan.mode == MODE_PRECOPY ? 0 : keep_spare(incoming, err);
}

static void path_of(const struct incoming *incoming, enum rendezvous_socket which,
	char path[CONFIG_SOCKET_BYTES])
{
	rendezvous_socket_path(incoming->daemon->config, incoming->stream_rendezvous, which, path);
}

/* Its conversation is another one: it may end at any time, and its directory with it. */
static int use_rendezvous(struct incoming *incoming, const char *rendezvous, struct error *err)
{
	if (rendezvous_table_use(incoming->daemon->rendezvous, incoming->peer->name, rendezvous,
		    migration_terms(incoming->migration), err) < 0)
		return -1;
	snprintf(
		incoming->stream_rendezvous, sizeof(incoming->stream_rendezvous), "%s", rendezvous);
	return 0;
}

static int export_disks(struct incoming *incoming, struct error *err)
{
	char path[CONFIG_SOCKET_BYTES];

	path_of(incoming, RENDEZVOUS_DISKS, path);
	if (qemu_disks_export(qemu_monitor(incoming->qemu), &incoming->disks, path, err) < 0)
		return -1;
	incoming->disks_exported = true;
	return 0;
}

static void meet(struct incoming *incoming)
{
	char path[CONFIG_SOCKET_BYTES];

	path_of(incoming, RENDEZVOUS_MIGRATE, path);
	qemu_meet(incoming->qemu, path);
}

int incoming_stream_lay(struct incoming *incoming, const char *rendezvous, struct error *err)
{
	bool by_path = streams_need_path(&incoming->plan.streams);
	bool disks = incoming->disks.count > 0;

	if ((by_path || disks) != (rendezvous != NULL))
		return error_set(err, ERROR_USAGE,
			"'rendezvous' is for parallel, preempt and disks, which need it");
	if (rendezvous && use_rendezvous(incoming, rendezvous, err) < 0)
		return -1;
	if (by_path)
		meet(incoming);
	else if (lay_one(incoming, err) < 0)
		return -1;
	incoming->attached = !disks || export_disks(incoming, err) == 0;
	return incoming->attached ? 0 : -1;
}

/* A QEMU that waits for a page does not tell: @known is false then, and the pause is taken for
 * granted, for without it the new stream is not taken. */
static int await_pause(struct incoming *incoming, bool *known, struct error *err)
{
	uint64_t deadline_ms = clock_deadline_ms(PAUSE_MS);
	struct migration_figures figures;

	*known = false;
	do {
		if (qemu_query(incoming->qemu, PAUSE_TURN_MS, &figures, err) < 0)
			return qemu_gone(incoming->qemu) ? -1 : 0;
		*known = strcmp(figures.status, "postcopy-paused") == 0;
		if (*known)
			return 0;
		if (figures.state == MIGRATION_PAUSED)
			break;
	} while (clock_left_ms(deadline_ms) > 0);
	return error_set(err, ERROR_HYPERVISOR, "the QEMU there is in state '%s', not paused",
		figures.status);
}

static void close_spare(struct incoming *incoming)
{
	keep_drop(incoming->plan.id, KEEP_SPARE);
	keep_drop(incoming->plan.id, KEEP_PEEK);
	fd_close(&incoming->spare_fd);
	fd_close(&incoming->spare_peek_fd);
	incoming->spare_used = false;
}

static int lay_spare(struct incoming *incoming, bool known, struct error *err)
{
	CLEANUP_FD int ours = -1;

	if (incoming->spare_used && !known)
		return error_set(err, ERROR_HYPERVISOR,
			"the QEMU there has taken a new stream already, and does not answer");
	if (incoming->spare_used)
		close_spare(incoming); /* that one was lost, too */
	if (keep_spare(incoming, err) < 0)
		return -1;
	/* Ours stays open, so that QEMU sees no end of it whatever becomes of the channel. */
	ours = fcntl(incoming->spare_fd, F_DUPFD_CLOEXEC, 0);
	if (ours < 0)
		return error_errno(err, "cannot duplicate a descriptor");
	return offer(incoming, fd_take(&ours), err);
}

/* QEMU listens at once, and sees no end of what connects before it is active again. */
static int listen_again(struct incoming *incoming, const char *rendezvous, struct error *err)
{
	if (use_rendezvous(incoming, rendezvous, err) < 0)
		return -1;
	rendezvous_table_hold(incoming->daemon->rendezvous, rendezvous, true);
	meet(incoming);
	return qemu_recover_there(incoming->qemu, err);
}

int incoming_stream_lay_again(struct incoming *incoming, const char *rendezvous, struct error *err)
{
	bool by_path = streams_need_path(&incoming->plan.streams);
	struct error ignored;
	bool known;

	if (by_path != (rendezvous != NULL))
		return error_set(err, ERROR_USAGE, "'rendezvous' is for preempt, which needs it");
	(void)qemu_interrupt(incoming->qemu, &ignored); /* an error: it is paused already */
	if (await_pause(incoming, &known, err) < 0)
		return -1;
	return by_path ? listen_again(incoming, rendezvous, err) : lay_spare(incoming, known, err);
}

int incoming_stream_descriptor(const struct incoming *incoming)
{
	return incoming->paused && !incoming->spare_used ? incoming->spare_peek_fd : -1;
}

static bool source_has_sent(const struct incoming *incoming)
{
	struct pollfd peek = {.fd = incoming_stream_descriptor(incoming), .events = POLLIN};

	return peek.fd >= 0 && poll(&peek, 1, 0) > 0 && (peek.revents & POLLIN);
}

void incoming_stream_watch(struct incoming *incoming, const struct migration_figures *figures)
{
	struct error err;

	if (source_has_sent(incoming)) {
		if (qemu_recover(incoming->qemu, &err) == 0) {
			incoming->spare_used = true;
			/* QEMU's own end is to be the last of that side. */
			keep_drop(incoming->plan.id, KEEP_PEEK);
			fd_close(&incoming->spare_peek_fd);
			log_event(LOG_NOTICE, "migration.recovering", "migration=%s vm=%s host=%s",
				incoming->plan.id, incoming->plan.destination_vm,
				incoming->plan.host);
		} else {
			log_event_limited(LOG_WARNING, "migration.recover_failed",
				"migration=%s reason=\"%s\"", incoming->plan.id, err.message);
		}
	}
	/* Active again: from now on the end of this stream is to reach QEMU. */
	if (*incoming->stream_rendezvous && figures && figures->state == MIGRATION_POSTCOPY)
		rendezvous_table_hold(
			incoming->daemon->rendezvous, incoming->stream_rendezvous, false);
	if (incoming->spare_used && figures && figures->state == MIGRATION_POSTCOPY) {
		close_spare(incoming);
		if (keep_spare(incoming, &err) < 0)
			log_event(LOG_WARNING, "migration.no_spare", "migration=%s reason=\"%s\"",
				incoming->plan.id, err.message);
	}
}

void incoming_stream_restore(struct incoming *incoming)
{
	incoming->spare_fd = keep_take(incoming->plan.id, KEEP_SPARE);
	incoming->spare_peek_fd = keep_take(incoming->plan.id, KEEP_PEEK);
	incoming->spare_used = incoming->spare_fd >= 0 && incoming->spare_peek_fd < 0;
}

void incoming_stream_fini(struct incoming *incoming)
{
	if (*incoming->token)
		offers_withdraw(incoming->daemon->offers, incoming->token);
	fd_close(&incoming->spare_fd);
	fd_close(&incoming->spare_peek_fd);
}
