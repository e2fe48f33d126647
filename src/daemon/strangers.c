#include "daemon/strangers.h"

void strangers_init(struct strangers *strangers)
{
	list_init(&strangers->list);
	strangers->count = 0;
}

void stranger_init(struct stranger *stranger, const struct stranger_events *events)
{
	list_init(&stranger->place);
	stranger->events = events;
}

void strangers_enter(struct strangers *strangers, struct stranger *stranger)
{
	if (!list_empty(&stranger->place))
		return;
	list_append(&strangers->list, &stranger->place);
	strangers->count++;
}

void strangers_leave(struct strangers *strangers, struct stranger *stranger)
{
	if (list_empty(&stranger->place))
		return;
	list_remove(&stranger->place);
	strangers->count--;
}

static struct stranger *oldest_with(struct strangers *strangers, enum claim claim)
{
	for (struct list *place = strangers->list.next; place != &strangers->list;
		place = place->next) {
		struct stranger *stranger = LIST_MEMBER(place, struct stranger, place);

		if (stranger->events->claim(stranger) == claim)
			return stranger;
	}
	return NULL;
}

bool strangers_make_room(struct strangers *strangers)
{
	struct stranger *stranger;

	if (strangers->count < STRANGERS_MOST)
		return true;
	stranger = oldest_with(strangers, CLAIM_NONE);
	if (!stranger)
		stranger = oldest_with(strangers, CLAIM_SILENT);
	if (!stranger)
		stranger = oldest_with(strangers, CLAIM_LAST);
	if (!stranger)
		return false;
	stranger->events->expel(stranger, "too many connections: it made room for a newer one");
	return true;
}

void strangers_expel_all(struct strangers *strangers, const char *why)
{
	while (!list_empty(&strangers->list)) {
		struct stranger *stranger =
			LIST_MEMBER(strangers->list.next, struct stranger, place);

		stranger->events->expel(stranger, why);
	}
}
