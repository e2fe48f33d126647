#include "daemon/outgoing_stream.h"

#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "daemon/opening.h"
#include "io/socket.h"

/* Every figure that only grows goes on where the stream before it ended. */
static void add(struct tunnel_figures *figures, const struct channel_progress *progress)
{
	figures->to_peer_bytes += progress->to_peer_bytes;
	figures->to_local_bytes += progress->to_local_bytes;
	figures->links_lost += progress->links_lost;
	figures->replayed_bytes += progress->replayed_bytes;
	figures->linkless_total_ms += progress->linkless_ms;
	if (progress->lost_ms > 0 && !progress->ended)
		figures->linkless_total_ms += clock_now_ms() - progress->lost_ms;
}

void outgoing_stream_end(struct outgoing *outgoing)
{
	struct channel_progress progress;

	if (!outgoing->stream)
		return;
	channel_progress(outgoing->stream, &progress);
	add(&outgoing->before, &progress);
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

int outgoing_stream_lay(struct outgoing *outgoing, struct error *err)
{
	json_t *result = NULL;
	const char *token;
	int laid;

	outgoing_stream_end(outgoing);
	if (contact_ask(outgoing->contact, "attach", NULL, &result, err) < 0)
		return -1;
	token = json_string_value(json_object_get(result, "token"));
	if (!token || strlen(token) > 127)
		laid = error_set(err, ERROR_PEER, "%s gave no token", outgoing->peer->name);
	else
		laid = connect_to(outgoing, token, err);
	json_decref(result);
	return laid;
}

void outgoing_stream_publish(struct outgoing *outgoing)
{
	struct tunnel_figures tunnel = outgoing->before;
	struct channel_progress progress;

	tunnel.resume_deadline_ms = outgoing->peer->resume_deadline_ms;
	if (outgoing->stream) {
		channel_progress(outgoing->stream, &progress);
		add(&tunnel, &progress);
		if (progress.lost_ms > 0 && !progress.ended)
			tunnel.linkless_ms = clock_now_ms() - progress.lost_ms + 1;
	}
	if (outgoing->migration)
		migration_set_tunnel(outgoing->migration, &tunnel);
}

bool outgoing_stream_linked(const struct outgoing *outgoing)
{
	struct channel_progress progress;

	if (!outgoing->stream)
		return false;
	channel_progress(outgoing->stream, &progress);
	return progress.lost_ms == 0 && !progress.ended;
}

bool outgoing_stream_ended(const struct outgoing *outgoing)
{
	struct channel_progress progress;

	if (!outgoing->stream)
		return true;
	channel_progress(outgoing->stream, &progress);
	return progress.ended;
}
