#include "daemon/channel_report.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

void channel_name_fill(struct channel_name *name, const struct open_message *open, const char *peer,
	const char *direction)
{
	for (size_t i = 0; i < 4; i++)
		snprintf(name->id + 2 * i, 3, "%02x", open->id[i]);
	snprintf(name->peer, sizeof(name->peer), "%s", peer);
	snprintf(name->service, sizeof(name->service), "%s", open->service);
	name->direction = direction;
}

/* A peer opens and ends channels, and cuts and resumes links, as it likes: all lines are limited.
 */

void channel_report_begin(struct channel_report *report, const struct channel_name *name)
{
	report->name = *name;
	log_event_limited(LOG_INFO, "channel.open", "channel=%s peer=%s service=%s %s", name->id,
		name->peer, name->service, name->direction);
}

void channel_report_figures(struct channel_report *report, const struct session *session)
{
	atomic_store_explicit(
		&report->to_peer_bytes, session->to_peer.acknowledged, memory_order_relaxed);
	atomic_store_explicit(
		&report->to_local_bytes, session->to_local.delivered, memory_order_relaxed);
	atomic_store_explicit(
		&report->replayed_bytes, session->to_peer.replayed, memory_order_relaxed);
}

void channel_report_lost(struct channel_report *report, const struct error *why)
{
	const struct channel_name *name = &report->name;

	log_event_limited(LOG_WARNING, "link.lost", "channel=%s peer=%s service=%s reason=\"%s\"",
		name->id, name->peer, name->service, why->message);
	atomic_fetch_add(&report->links_lost, 1);
	atomic_store(&report->lost_ms, clock_now_ms());
}

void channel_report_resumed(
	struct channel_report *report, uint64_t after_ms, uint64_t replayed_bytes)
{
	const struct channel_name *name = &report->name;

	if (!atomic_load(&report->ended))
		atomic_fetch_add(&report->linkless_ms, after_ms);
	atomic_store(&report->lost_ms, 0);
	log_event_limited(LOG_NOTICE, "link.resumed",
		"channel=%s peer=%s service=%s after_ms=%llu replayed_bytes=%llu", name->id,
		name->peer, name->service, (unsigned long long)after_ms,
		(unsigned long long)replayed_bytes);
}

void channel_report_ended(struct channel_report *report, const struct error *failure)
{
	const struct channel_name *name = &report->name;
	bool failed = failure->code != ERROR_NONE;
	uint64_t lost_ms = atomic_load(&report->lost_ms);

	if (lost_ms > 0)
		atomic_fetch_add(&report->linkless_ms, clock_now_ms() - lost_ms);
	log_event_limited(failed ? LOG_WARNING : LOG_INFO, "channel.ended",
		"channel=%s peer=%s service=%s %s to_peer_bytes=%llu to_local_bytes=%llu%s%s%s",
		name->id, name->peer, name->service, name->direction,
		(unsigned long long)atomic_load(&report->to_peer_bytes),
		(unsigned long long)atomic_load(&report->to_local_bytes),
		failed ? " reason=\"" : "", failed ? failure->message : "", failed ? "\"" : "");
	report->failure = *failure;
	atomic_store(&report->ended, true);
}

void channel_report_progress(struct channel_report *report, struct channel_progress *progress)
{
	progress->to_peer_bytes = atomic_load(&report->to_peer_bytes);
	progress->to_local_bytes = atomic_load(&report->to_local_bytes);
	progress->links_lost = atomic_load(&report->links_lost);
	progress->replayed_bytes = atomic_load(&report->replayed_bytes);
	progress->linkless_ms = atomic_load(&report->linkless_ms);
	progress->lost_ms = atomic_load(&report->lost_ms);
	progress->ended = atomic_load(&report->ended);
	progress->failure = (struct error){0};
	if (progress->ended)
		progress->failure = report->failure;
}
