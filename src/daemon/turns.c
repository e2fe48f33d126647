#include "daemon/turns.h"

static void on_hurry(uv_idle_t *hurry)
{
	(void)hurry;
}

static void pass_all(uv_check_t *after_poll)
{
	struct turns *turns = after_poll->data;
	struct list now;

	/* What asks from here on waits for the next turn. */
	list_init(&now);
	list_append(&turns->due, &now);
	list_remove(&turns->due);
	while (!list_empty(&now)) {
		struct turn *turn = LIST_MEMBER(now.next, struct turn, place);

		turn_leave(turn);
		turn->pass(turn);
	}
	if (list_empty(&turns->due))
		uv_idle_stop(&turns->hurry);
}

void turns_init(struct turns *turns, uv_loop_t *loop)
{
	list_init(&turns->due);
	uv_check_init(loop, &turns->after_poll);
	uv_idle_init(loop, &turns->hurry);
	turns->after_poll.data = turns;
	uv_check_start(&turns->after_poll, pass_all);
	uv_unref((uv_handle_t *)&turns->after_poll);
}

void turns_fini(struct turns *turns)
{
	uv_close((uv_handle_t *)&turns->after_poll, NULL);
	uv_close((uv_handle_t *)&turns->hurry, NULL);
}

void turn_init(struct turn *turn, void (*pass)(struct turn *turn))
{
	list_init(&turn->place);
	turn->pass = pass;
}

void turns_ask(struct turns *turns, struct turn *turn)
{
	if (!list_empty(&turn->place))
		return;
	list_append(&turns->due, &turn->place);
	uv_idle_start(&turns->hurry, on_hurry);
}

void turn_leave(struct turn *turn)
{
	list_remove(&turn->place);
}
