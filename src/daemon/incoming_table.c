#include "daemon/incoming_table.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/list.h"
#include "daemon/incoming_end.h"
#include "io/lines.h"

#define SUPERSEDE_MS      3000
#define SUPERSEDE_TURN_MS 50

struct incoming_table {
	uv_mutex_t lock;
	struct list all;
};

struct incoming_table *incoming_table_new(void)
{
	struct incoming_table *table = calloc(1, sizeof(*table));

	if (!table || uv_mutex_init(&table->lock) != 0)
		abort(); /* at start only */
	list_init(&table->all);
	return table;
}

void incoming_table_free(struct incoming_table *table)
{
	uv_mutex_destroy(&table->lock);
	free(table);
}

static struct incoming *member(struct list *place)
{
	return LIST_MEMBER(place, struct incoming, place);
}

void incoming_table_add(struct incoming_table *table, struct incoming *incoming)
{
	uv_mutex_lock(&table->lock);
	list_append(&table->all, &incoming->place);
	uv_mutex_unlock(&table->lock);
}

static void drop(struct handover *handover)
{
	if (handover->lines)
		lines_free(handover->lines);
	json_decref(handover->command_id);
	*handover = (struct handover){0};
}

void incoming_table_remove(struct incoming_table *table, struct incoming *incoming)
{
	uv_mutex_lock(&table->lock);
	list_remove(&incoming->place);
	drop(&incoming->given);
	uv_mutex_unlock(&table->lock);
}

int incoming_table_give(struct incoming_table *table, const char *id, const char *peer,
	const struct handover *handover)
{
	int result = -1;

	uv_mutex_lock(&table->lock);
	for (struct list *place = table->all.next; place != &table->all; place = place->next) {
		struct incoming *incoming = member(place);

		if (strcmp(incoming->plan.id, id) != 0 || strcmp(incoming->plan.host, peer) != 0)
			continue;
		drop(&incoming->given);
		incoming->given = *handover;
		result = 0;
		break;
	}
	uv_mutex_unlock(&table->lock);
	return result;
}

struct handover incoming_table_take(struct incoming_table *table, struct incoming *incoming)
{
	struct handover taken;

	uv_mutex_lock(&table->lock);
	taken = incoming->given;
	incoming->given = (struct handover){0};
	uv_mutex_unlock(&table->lock);
	return taken;
}

/* @returns whether there is one */
static bool ask_to_withdraw(struct incoming_table *table, const char *vm, const char *peer)
{
	bool found = false;

	uv_mutex_lock(&table->lock);
	for (struct list *place = table->all.next; place != &table->all; place = place->next) {
		struct incoming *incoming = member(place);

		if (strcmp(incoming->plan.destination_vm, vm) != 0 ||
			strcmp(incoming->plan.host, peer) != 0 || atomic_load(&incoming->started))
			continue;
		atomic_store(&incoming->superseded, true);
		found = true;
	}
	uv_mutex_unlock(&table->lock);
	return found;
}

void incoming_table_supersede(struct incoming_table *table, const char *vm, const char *peer)
{
	for (unsigned waited_ms = 0; ask_to_withdraw(table, vm, peer) && waited_ms < SUPERSEDE_MS;
		waited_ms += SUPERSEDE_TURN_MS)
		uv_sleep(SUPERSEDE_TURN_MS);
}
