#include "daemon/carried.h"

#include <stdlib.h>

#include "base/clock.h"

struct place {
	struct list list;
	struct channel *channel; /* held */
	enum rendezvous_socket which;
};

#define PLACE(member) LIST_MEMBER(member, struct place, list)

static void leave(struct place *place)
{
	list_remove(&place->list);
	channel_put(place->channel);
	free(place);
}

void carried_init(struct carried *carried)
{
	*carried = (struct carried){0};
	list_init(&carried->open);
}

void carried_fini(struct carried *carried)
{
	while (!list_empty(&carried->open))
		leave(PLACE(carried->open.next));
}

static void add(struct channel_progress *sum, const struct channel_progress *one)
{
	sum->to_peer_bytes += one->to_peer_bytes;
	sum->to_local_bytes += one->to_local_bytes;
	sum->links_lost += one->links_lost;
	sum->replayed_bytes += one->replayed_bytes;
	if (one->linkless_ms > sum->linkless_ms)
		sum->linkless_ms = one->linkless_ms;
	if (!one->ended && one->lost_ms > 0 && (sum->lost_ms == 0 || one->lost_ms < sum->lost_ms))
		sum->lost_ms = one->lost_ms;
	if (one->ended && (!sum->ended || sum->failure.code == ERROR_NONE))
		sum->failure = one->failure;
	sum->ended |= one->ended;
}

/* A client may connect as often as it likes. */
static void reap(struct carried *carried)
{
	for (struct list *next = carried->open.next; next != &carried->open;) {
		struct place *place = PLACE(next);
		struct channel_progress progress;

		next = next->next;
		channel_progress(place->channel, &progress);
		if (!progress.ended)
			continue;
		add(&carried->ended[place->which], &progress);
		leave(place);
	}
}

void carried_add(struct carried *carried, enum rendezvous_socket which, struct channel *channel)
{
	struct place *place = calloc(1, sizeof(*place));

	reap(carried);
	carried->counts[which]++;
	if (!place)
		return;
	channel_hold(channel);
	place->channel = channel;
	place->which = which;
	list_append(&carried->open, &place->list);
}

void carried_add_failure(
	struct carried *carried, enum rendezvous_socket which, const struct error *err)
{
	struct channel_progress failed = {.ended = true, .failure = *err};

	carried->counts[which]++;
	add(&carried->ended[which], &failed);
}

bool carried_is_open(struct carried *carried, enum rendezvous_socket which)
{
	reap(carried);
	for (struct list *next = carried->open.next; next != &carried->open; next = next->next) {
		if (PLACE(next)->which == which)
			return true;
	}
	return false;
}

size_t carried_progress(
	struct carried *carried, enum rendezvous_socket which, struct channel_progress *progress)
{
	reap(carried);
	*progress = carried->ended[which];
	for (struct list *next = carried->open.next; next != &carried->open; next = next->next) {
		struct channel_progress one;

		if (PLACE(next)->which != which)
			continue;
		channel_progress(PLACE(next)->channel, &one);
		add(progress, &one);
	}
	return carried->counts[which];
}

static void add_figures(struct tunnel_figures *figures, const struct channel_progress *progress)
{
	uint64_t now_ms = progress->lost_ms > 0 ? clock_now_ms() - progress->lost_ms + 1 : 0;

	figures->to_peer_bytes += progress->to_peer_bytes;
	figures->to_local_bytes += progress->to_local_bytes;
	figures->links_lost += progress->links_lost;
	figures->replayed_bytes += progress->replayed_bytes;
	if (now_ms > figures->linkless_ms)
		figures->linkless_ms = now_ms;
	if (progress->linkless_ms + now_ms > figures->linkless_total_ms)
		figures->linkless_total_ms = progress->linkless_ms + now_ms;
}

void carried_figures(struct carried *carried, struct tunnel_figures *figures)
{
	*figures = (struct tunnel_figures){.resume_deadline_ms = figures->resume_deadline_ms};
	for (int i = 0; i < RENDEZVOUS_SOCKETS; i++) {
		struct channel_progress progress;

		(void)carried_progress(carried, (enum rendezvous_socket)i, &progress);
		add_figures(figures, &progress);
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

void carried_cut(struct carried *carried, enum rendezvous_socket which)
{
	for (struct list *next = carried->open.next; next != &carried->open; next = next->next) {
		if (PLACE(next)->which == which)
			channel_end(PLACE(next)->channel);
	}
}
