#include "daemon/streams.h"

#include "base/clock.h"

/* Streams of one migration lose their links together: that time counts once. */
static void add(struct tunnel_figures *figures, const struct channel_progress *progress)
{
	uint64_t without_ms = progress->linkless_ms;

	if (progress->lost_ms > 0 && !progress->ended) {
		uint64_t now_ms = clock_now_ms() - progress->lost_ms + 1;

		without_ms += now_ms;
		if (now_ms > figures->linkless_ms)
			figures->linkless_ms = now_ms;
	}
	if (without_ms > figures->linkless_total_ms)
		figures->linkless_total_ms = without_ms;
	figures->to_peer_bytes += progress->to_peer_bytes;
	figures->to_local_bytes += progress->to_local_bytes;
	figures->links_lost += progress->links_lost;
	figures->replayed_bytes += progress->replayed_bytes;
}

/* Those that have ended make room. */
static void reap(struct streams *streams)
{
	size_t kept = 0;

	for (size_t i = 0; i < streams->count; i++) {
		struct channel_progress progress;

		channel_progress(streams->open[i], &progress);
		if (!progress.ended) {
			streams->open[kept++] = streams->open[i];
			continue;
		}
		add(&streams->ended, &progress);
		channel_put(streams->open[i]);
	}
	streams->count = kept;
}

void streams_add(struct streams *streams, struct channel *channel)
{
	if (streams->count == STREAMS_MOST)
		reap(streams);
	if (streams->count == STREAMS_MOST)
		return;
	channel_hold(channel);
	streams->open[streams->count++] = channel;
}

void streams_figures(struct streams *streams, struct tunnel_figures *figures)
{
	uint64_t deadline_ms = figures->resume_deadline_ms;

	reap(streams);
	*figures = streams->ended;
	figures->resume_deadline_ms = deadline_ms;
	for (size_t i = 0; i < streams->count; i++) {
		struct channel_progress progress;

		channel_progress(streams->open[i], &progress);
		add(figures, &progress);
	}
}

void tunnel_figures_add(struct tunnel_figures *figures, const struct tunnel_figures *before)
{
	figures->to_peer_bytes += before->to_peer_bytes;
	figures->to_local_bytes += before->to_local_bytes;
	figures->links_lost += before->links_lost;
	figures->replayed_bytes += before->replayed_bytes;
	figures->linkless_total_ms += before->linkless_total_ms;
}

void streams_end(struct streams *streams)
{
	for (size_t i = 0; i < streams->count; i++)
		channel_end(streams->open[i]);
}

void streams_fini(struct streams *streams)
{
	for (size_t i = 0; i < streams->count; i++)
		channel_put(streams->open[i]);
	streams->count = 0;
}
