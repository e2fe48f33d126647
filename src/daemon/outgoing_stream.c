#include "daemon/outgoing_stream.h"

#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "daemon/opening.h"
#include "io/socket.h"

static void add(struct tunnel_figures *figures, const struct channel_progress *progress)
{
	figures->to_peer_bytes += progress->to_peer_bytes;
	figures->to_local_bytes += progress->to_local_bytes;
	figures->links_lost += progress->links_lost;
	figures->replayed_bytes += progress->replayed_bytes;
}

/* @returns  whether there is anything that @progress tells of */
static bool progress_of(const struct outgoing *outgoing, enum rendezvous_socket which,
	struct channel_progress *progress)
{
	if (which == RENDEZVOUS_MIGRATE && outgoing->stream) {
		channel_progress(outgoing->stream, progress);
		if (progress->ended)
			progress->lost_ms = 0;
		return true;
	}
	return outgoing->rendezvous &&
		rendezvous_progress(outgoing->rendezvous, which, progress) > 0;
}

/* Every figure that only grows goes on where the streams before ended. Those of one migration lose
 * their links together: that time counts once. @returns  since when one has none, or 0 */
static uint64_t add_all(const struct outgoing *outgoing, struct tunnel_figures *figures)
{
	uint64_t longest_ms = 0;
	uint64_t first_ms = 0;

	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++) {
		struct channel_progress progress;
		uint64_t linkless_ms;

		if (!progress_of(outgoing, (enum rendezvous_socket)i, &progress))
			continue;
		add(figures, &progress);
		linkless_ms = progress.linkless_ms;
		if (progress.lost_ms > 0)
			linkless_ms += clock_now_ms() - progress.lost_ms;
		if (linkless_ms > longest_ms)
			longest_ms = linkless_ms;
		if (progress.lost_ms > 0 && (first_ms == 0 || progress.lost_ms < first_ms))
			first_ms = progress.lost_ms;
	}
	figures->linkless_total_ms += longest_ms;
	return first_ms;
}

bool outgoing_stream_progress(const struct outgoing *outgoing, struct channel_progress *progress)
{
	return progress_of(outgoing, RENDEZVOUS_MIGRATE, progress);
}

void outgoing_stream_end(struct outgoing *outgoing)
{
	(void)add_all(outgoing, &outgoing->before);
	for (int i = 0; i < RENDEZVOUS_SOCKETS && outgoing->rendezvous; i++)
		rendezvous_cut(outgoing->rendezvous, (enum rendezvous_socket)i);
	if (outgoing->rendezvous)
		rendezvous_end(outgoing->rendezvous);
	outgoing->rendezvous = NULL;
	if (!outgoing->stream)
		return;
	channel_end(outgoing->stream);
	channel_put(outgoing->stream);
	outgoing->stream = NULL;
}

static int connect_to(struct outgoing *outgoing, const char *token, struct error *err)
{
	CLEANUP_FD int for_qemu = -1;
	CLEANUP_FD int for_tunnel = -1;
	int pair[2];

	if (socket_pair(pair, err) < 0)
		return -1;
	for_tunnel = pair[0];
	for_qemu = pair[1];
	socket_tune_hypervisor(for_qemu);
	if (qemu_attach(outgoing->qemu, for_qemu, err) < 0)
		return -1;
	outgoing->stream = opening_run(outgoing->daemon, outgoing->peer, "migration", token,
		migration_terms(outgoing->migration), fd_take(&for_tunnel), NULL, err);
	return outgoing->stream ? 0 : -1;
}

static int connect_answered(struct outgoing *outgoing, const json_t *answer, struct error *err)
{
	const char *token = json_string_value(json_object_get(answer, "token"));

	if (!token || strlen(token) > 127)
		return error_set(err, ERROR_PEER, "%s gave no token", outgoing->peer->name);
	return connect_to(outgoing, token, err);
}

static void meet(struct outgoing *outgoing)
{
	char path[CONFIG_SOCKET_BYTES];

	rendezvous_socket_path(outgoing->daemon->config, rendezvous_token(outgoing->rendezvous),
		RENDEZVOUS_MIGRATE, path);
	qemu_meet(outgoing->qemu, path);
}

/* Disks are copied once; after that one stream is enough, unless it has to be more. */
static bool needs_rendezvous(const struct outgoing *outgoing)
{
	return streams_need_path(&outgoing->plan.streams) ||
		(outgoing->disks.count > 0 && !outgoing->started);
}

int outgoing_stream_lay(struct outgoing *outgoing, struct error *err)
{
	bool by_path = streams_need_path(&outgoing->plan.streams);
	json_t *arguments = NULL;
	json_t *result = NULL;
	int laid = 0;

	outgoing_stream_end(outgoing);
	if (needs_rendezvous(outgoing)) {
		outgoing->rendezvous = rendezvous_begin(outgoing->daemon, outgoing->peer,
			migration_terms(outgoing->migration), NULL, err);
		if (!outgoing->rendezvous)
			return -1;
		if (outgoing->started)
			rendezvous_insist(outgoing->rendezvous);
		arguments = json_pack("{ss}", "rendezvous", rendezvous_token(outgoing->rendezvous));
	}
	if (contact_ask(outgoing->contact, "attach", arguments, &result, err) < 0)
		return -1;
	if (by_path)
		meet(outgoing);
	else
		laid = connect_answered(outgoing, result, err);
	json_decref(result);
	return laid;
}

void outgoing_stream_publish(struct outgoing *outgoing)
{
	struct tunnel_figures tunnel = outgoing->before;
	uint64_t lost_ms = add_all(outgoing, &tunnel);

	tunnel.resume_deadline_ms = outgoing->peer->resume_deadline_ms;
	if (lost_ms > 0)
		tunnel.linkless_ms = clock_now_ms() - lost_ms + 1;
	if (outgoing->migration)
		migration_set_tunnel(outgoing->migration, &tunnel);
}

bool outgoing_stream_linked(const struct outgoing *outgoing)
{
	struct channel_progress progress;

	return outgoing_stream_progress(outgoing, &progress) && progress.lost_ms == 0 &&
		!progress.ended;
}

bool outgoing_stream_ended(const struct outgoing *outgoing)
{
	struct channel_progress progress;

	if (outgoing_stream_progress(outgoing, &progress))
		return progress.ended;
	return !outgoing->rendezvous;
}
