#include "daemon/channel_table.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/list.h"
#include "daemon/channel.h"

#define BUCKET_COUNT 256

struct entry {
	struct list place;
	unsigned char id[CHANNEL_ID_BYTES];
	unsigned char secret[CHANNEL_SECRET_BYTES];
	char peer[64];
	struct channel *channel;
};

/* The run of a peer's daemon that has opened a channel last */
struct run {
	struct list place;
	char peer[64];
	unsigned char run[CHANNEL_RUN_BYTES];
};

struct channel_table {
	uv_mutex_t lock;
	struct list runs;
	struct list buckets[BUCKET_COUNT]; /* by the id's first byte: ids are random */
};

struct channel_table *channel_table_new(void)
{
	struct channel_table *table = calloc(1, sizeof(*table));

	if (!table || uv_mutex_init(&table->lock) != 0)
		abort(); /* at start only */
	list_init(&table->runs);
	for (size_t i = 0; i < BUCKET_COUNT; i++)
		list_init(&table->buckets[i]);
	return table;
}

static void drop(struct entry *entry)
{
	list_remove(&entry->place);
	OPENSSL_cleanse(entry->secret, sizeof(entry->secret));
	channel_put(entry->channel);
	free(entry);
}

void channel_table_free(struct channel_table *table)
{
	for (size_t i = 0; i < BUCKET_COUNT; i++) {
		while (!list_empty(&table->buckets[i]))
			drop(LIST_MEMBER(table->buckets[i].next, struct entry, place));
	}
	while (!list_empty(&table->runs)) {
		struct run *run = LIST_MEMBER(table->runs.next, struct run, place);

		list_remove(&run->place);
		free(run);
	}
	uv_mutex_destroy(&table->lock);
	free(table);
}

/* Under the lock */
static struct entry *find(struct channel_table *table, const unsigned char *id)
{
	struct list *bucket = &table->buckets[id[0]];

	for (struct list *place = bucket->next; place != bucket; place = place->next) {
		struct entry *entry = LIST_MEMBER(place, struct entry, place);

		if (memcmp(entry->id, id, CHANNEL_ID_BYTES) == 0)
			return entry;
	}
	return NULL;
}

static const unsigned char *run_of(const unsigned char *id)
{
	return id + CHANNEL_ID_BYTES - CHANNEL_RUN_BYTES;
}

/* Under the lock. Peers are those of the configuration, so they are few. */
static struct run *find_run(struct channel_table *table, const char *peer)
{
	for (struct list *place = table->runs.next; place != &table->runs; place = place->next) {
		struct run *run = LIST_MEMBER(place, struct run, place);

		if (strcmp(run->peer, peer) == 0)
			return run;
	}
	return NULL;
}

/* Under the lock. Without memory nothing is noted: nobody is taken for an orphan by that. */
static void note_run(struct channel_table *table, const char *peer, const unsigned char *id)
{
	struct run *run = find_run(table, peer);

	if (!run) {
		run = calloc(1, sizeof(*run));
		if (!run)
			return;
		snprintf(run->peer, sizeof(run->peer), "%s", peer);
		list_append(&table->runs, &run->place);
	}
	memcpy(run->run, run_of(id), sizeof(run->run));
}

int channel_table_add(struct channel_table *table, const struct open_message *open,
	const char *peer, struct channel *channel)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	bool taken;

	if (!entry)
		return -1;
	memcpy(entry->id, open->id, sizeof(entry->id));
	memcpy(entry->secret, open->secret, sizeof(entry->secret));
	snprintf(entry->peer, sizeof(entry->peer), "%s", peer);
	entry->channel = channel;
	uv_mutex_lock(&table->lock);
	taken = find(table, open->id) != NULL;
	if (!taken) {
		channel_hold(channel);
		list_append(&table->buckets[open->id[0]], &entry->place);
		note_run(table, peer, open->id);
	}
	uv_mutex_unlock(&table->lock);
	if (taken)
		free(entry);
	return taken ? -1 : 0;
}

/* Under the lock */
static struct entry *find_channel(struct channel_table *table, const struct channel *channel)
{
	for (size_t i = 0; i < BUCKET_COUNT; i++) {
		struct list *bucket = &table->buckets[i];

		for (struct list *place = bucket->next; place != bucket; place = place->next) {
			struct entry *entry = LIST_MEMBER(place, struct entry, place);

			if (entry->channel == channel)
				return entry;
		}
	}
	return NULL;
}

void channel_table_remove(struct channel_table *table, struct channel *channel)
{
	struct entry *entry;

	uv_mutex_lock(&table->lock);
	entry = find_channel(table, channel);
	if (entry)
		drop(entry);
	uv_mutex_unlock(&table->lock);
}

bool channel_table_is_orphan(struct channel_table *table, const struct channel *channel)
{
	const struct entry *entry;
	const struct run *run;
	bool orphan;

	uv_mutex_lock(&table->lock);
	entry = find_channel(table, channel);
	run = entry ? find_run(table, entry->peer) : NULL;
	orphan = run && memcmp(run->run, run_of(entry->id), CHANNEL_RUN_BYTES) != 0;
	uv_mutex_unlock(&table->lock);
	return orphan;
}

bool channel_table_has_room(struct channel_table *table, const char *peer)
{
	size_t count = 0;

	uv_mutex_lock(&table->lock);
	for (size_t i = 0; i < BUCKET_COUNT; i++) {
		const struct list *bucket = &table->buckets[i];

		for (struct list *place = bucket->next; place != bucket; place = place->next) {
			if (strcmp(LIST_MEMBER(place, struct entry, place)->peer, peer) == 0)
				count++;
		}
	}
	uv_mutex_unlock(&table->lock);
	return count < CHANNELS_OF_PEER_MOST;
}

struct channel *channel_table_find(
	struct channel_table *table, const struct resume_message *resume, const char *peer)
{
	struct channel *channel = NULL;
	struct entry *entry;

	uv_mutex_lock(&table->lock);
	entry = find(table, resume->id);
	if (entry && strcmp(entry->peer, peer) == 0 &&
		CRYPTO_memcmp(entry->secret, resume->secret, CHANNEL_SECRET_BYTES) == 0) {
		channel = entry->channel;
		channel_hold(channel);
	}
	uv_mutex_unlock(&table->lock);
	return channel;
}
