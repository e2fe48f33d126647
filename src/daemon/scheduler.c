#include "daemon/scheduler.h"

#include <stdlib.h>

#include "tunnel/contention.h"

#define TURN_MS 100
/* Over less, what passed says little. */
#define LEAST_MS 50

/* A stream that was kept from its work for a moment never makes up for it at the pace of its share:
 * the paces together go so far beyond the limit that what passes meets it. Permille */
#define BOOST_LEAST 1000
#define BOOST_MOST  1300

struct scheduler {
	struct loop *loop; /* held */
	uv_timer_t timer;
	uv_mutex_t lock; /* guards the following, and the scheduler's fields of allotments */
	uint64_t limit;
	struct list allotments;
	size_t count;
	bool turning;
	uint64_t measured_ms;
	struct contention contention;
	bool contended;
	unsigned boost[2];    /* permille of the limit that are given out, to local and to peer */
	struct share *shares; /* room for those of one turn */
	struct allotment **owners; /* whose each of them is: a class may change meanwhile */
	size_t room;
};

static enum share_class class_of(const struct allotment *allotment)
{
	return allotment->terms ? (enum share_class)atomic_load(&allotment->terms->share_class)
				: allotment->own_class;
}

static uint64_t cap_of(const struct allotment *allotment)
{
	uint64_t cap = allotment->terms ? atomic_load(&allotment->terms->limit_bytes_per_s)
					: RATE_UNLIMITED;

	return cap == RATE_UNLIMITED ? cap : cap / allotment->terms->channel_count;
}

static struct allotment *member(struct list *place)
{
	return LIST_MEMBER(place, struct allotment, place);
}

static void on_timer(uv_timer_t *timer);

static void turn(void *argument)
{
	struct scheduler *scheduler = argument;
	bool needed;

	uv_update_time(loop_uv(scheduler->loop));
	needed = scheduler_turn(scheduler, loop_now_ms(scheduler->loop));
	/* On a loop that is being ended the timer is closed, and does not start. */
	if (!needed)
		uv_timer_stop(&scheduler->timer);
	else if (!uv_is_active((uv_handle_t *)&scheduler->timer))
		uv_timer_start(&scheduler->timer, on_timer, TURN_MS, TURN_MS);
}

static void on_timer(uv_timer_t *timer)
{
	turn(timer->data);
}

struct scheduler *scheduler_new(struct loop *loop, uint64_t limit)
{
	struct scheduler *scheduler = calloc(1, sizeof(*scheduler));

	if (!scheduler || uv_mutex_init(&scheduler->lock) != 0) {
		free(scheduler);
		return NULL;
	}
	scheduler->loop = loop;
	loop_hold(loop);
	scheduler->limit = limit;
	scheduler->boost[0] = scheduler->boost[1] = BOOST_LEAST;
	list_init(&scheduler->allotments);
	uv_timer_init(loop_uv(loop), &scheduler->timer);
	scheduler->timer.data = scheduler;
	return scheduler;
}

void scheduler_free(struct scheduler *scheduler)
{
	loop_put(scheduler->loop);
	uv_mutex_destroy(&scheduler->lock);
	free(scheduler->shares);
	free(scheduler->owners);
	free(scheduler);
}

void scheduler_wake(struct scheduler *scheduler)
{
	if (scheduler)
		(void)loop_post(scheduler->loop, turn, scheduler);
}

void scheduler_set_limit(struct scheduler *scheduler, uint64_t limit)
{
	uv_mutex_lock(&scheduler->lock);
	scheduler->limit = limit;
	uv_mutex_unlock(&scheduler->lock);
	scheduler_wake(scheduler);
}

uint64_t scheduler_limit(struct scheduler *scheduler)
{
	uint64_t limit;

	uv_mutex_lock(&scheduler->lock);
	limit = scheduler->limit;
	uv_mutex_unlock(&scheduler->lock);
	return limit;
}

/* Until the next turn; under the lock */
static void set_first_rates(struct scheduler *scheduler, struct allotment *allotment)
{
	enum share_class share_class = class_of(allotment);
	uint64_t rate = cap_of(allotment);

	if (share_class == SHARE_URGENT)
		return;
	if (scheduler->limit != RATE_UNLIMITED && scheduler->limit / scheduler->count < rate)
		rate = scheduler->limit / scheduler->count;
	atomic_store(&allotment->to_local_rate, rate);
	if (scheduler->contended && share_class == SHARE_BULK && rate > SHARES_FLOOR_BYTES_PER_S)
		rate = SHARES_FLOOR_BYTES_PER_S;
	atomic_store(&allotment->to_peer_rate, rate);
}

void scheduler_join(struct scheduler *scheduler, struct allotment *allotment)
{
	bool wanted;

	if (!scheduler)
		return;
	uv_mutex_lock(&scheduler->lock);
	allotment->scheduler = scheduler;
	list_append(&scheduler->allotments, &allotment->place);
	scheduler->count++;
	if (allotment->terms)
		allotment->terms->channel_count++;
	set_first_rates(scheduler, allotment);
	wanted = !scheduler->turning &&
		(scheduler->limit != RATE_UNLIMITED || cap_of(allotment) != RATE_UNLIMITED ||
			class_of(allotment) == SHARE_POSTCOPY);
	uv_mutex_unlock(&scheduler->lock);
	if (wanted)
		scheduler_wake(scheduler);
}

void scheduler_leave(struct allotment *allotment)
{
	struct scheduler *scheduler = allotment->scheduler;

	if (!scheduler)
		return;
	uv_mutex_lock(&scheduler->lock);
	list_remove(&allotment->place);
	scheduler->count--;
	if (allotment->terms)
		allotment->terms->channel_count--;
	allotment->scheduler = NULL;
	uv_mutex_unlock(&scheduler->lock);
}

static void read_meter(struct allotment_meter *meter, _Atomic uint64_t *now, uint64_t passed_ms)
{
	uint64_t position = atomic_load_explicit(now, memory_order_relaxed);
	/* What is sent again goes back. */
	uint64_t bytes = position > meter->seen ? position - meter->seen : 0;

	meter->seen = position;
	meter->rate = (meter->rate + bytes * 1000 / passed_ms) / 2;
}

/* Under the lock */
static void measure(struct scheduler *scheduler, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - scheduler->measured_ms;

	for (struct list *place = scheduler->allotments.next; place != &scheduler->allotments;
		place = place->next) {
		struct allotment *allotment = member(place);
		uint64_t full_ms = atomic_load(&allotment->full_ms);
		uint64_t full = (full_ms - allotment->full_seen_ms) * 1000 / passed_ms;

		allotment->full_seen_ms = full_ms;
		allotment->full_permille = (unsigned)(full < 1000 ? full : 1000);
		read_meter(&allotment->sent_meter, &allotment->sent, passed_ms);
		read_meter(&allotment->acknowledged_meter, &allotment->acknowledged, passed_ms);
		read_meter(&allotment->received_meter, &allotment->received, passed_ms);
	}
	scheduler->measured_ms = now_ms;
}

/* What contends on the way to the peers, as it was measured last; under the lock */
static struct contention_figures look(const struct scheduler *scheduler)
{
	struct contention_figures figures = {0};

	for (struct list *place = scheduler->allotments.next; place != &scheduler->allotments;
		place = place->next) {
		const struct allotment *allotment = member(place);
		enum share_class share_class = class_of(allotment);

		if (share_class == SHARE_BULK) {
			figures.bulk_bytes_per_s += allotment->acknowledged_meter.rate;
			if (allotment->sent_meter.rate > 0)
				figures.floor_bytes_per_s += SHARES_FLOOR_BYTES_PER_S;
			continue;
		}
		figures.postcopy_bytes_per_s += allotment->acknowledged_meter.rate;
		if (share_class == SHARE_POSTCOPY &&
			allotment->full_permille > figures.full_permille)
			figures.full_permille = allotment->full_permille;
	}
	/* Who is silent needs no floor, but whoever begins finds one. */
	if (figures.floor_bytes_per_s == 0)
		figures.floor_bytes_per_s = SHARES_FLOOR_BYTES_PER_S;
	return figures;
}

/* Who uses most of what it may would use more. */
static uint64_t demand_of(uint64_t used, uint64_t allotted)
{
	if (allotted == RATE_UNLIMITED || used >= allotted / 10 * 8)
		return RATE_UNLIMITED;
	return used + used / 2 + SHARES_FLOOR_BYTES_PER_S / 4;
}

/* A channel is told of a change that matters: each costs it a system call, or a frame. */
static void publish(_Atomic uint64_t *place, uint64_t rate)
{
	uint64_t before = atomic_load(place);
	uint64_t difference = before > rate ? before - rate : rate - before;

	if (rate == RATE_UNLIMITED || before == RATE_UNLIMITED || difference > before / 64)
		atomic_store(place, rate);
}

/* The shares of one direction, those of bulk last; under the lock. @returns how many are not bulk
 */
static size_t list_shares(struct scheduler *scheduler, bool to_peer)
{
	size_t first = 0;
	size_t last = scheduler->count;

	for (struct list *place = scheduler->allotments.next; place != &scheduler->allotments;
		place = place->next) {
		struct allotment *allotment = member(place);
		enum share_class share_class = class_of(allotment);
		size_t slot = share_class == SHARE_BULK ? --last : first++;
		struct share *share = &scheduler->shares[slot];
		uint64_t wish = to_peer ? atomic_load(&allotment->peer_rate) : RATE_UNLIMITED;

		scheduler->owners[slot] = allotment;
		*share = (struct share){.share_class = share_class, .cap = cap_of(allotment)};
		if (wish < share->cap)
			share->cap = wish;
		share->demand = demand_of(
			to_peer ? allotment->sent_meter.rate : allotment->received_meter.rate,
			atomic_load(
				to_peer ? &allotment->to_peer_rate : &allotment->to_local_rate));
		if (share_class == SHARE_URGENT)
			share->demand = to_peer ? allotment->sent_meter.rate
						: allotment->received_meter.rate;
	}
	return first;
}

static void publish_shares(struct scheduler *scheduler, bool to_peer)
{
	for (size_t i = 0; i < scheduler->count; i++) {
		const struct share *share = &scheduler->shares[i];
		struct allotment *owner = scheduler->owners[i];

		publish(to_peer ? &owner->to_peer_rate : &owner->to_local_rate,
			share->share_class == SHARE_URGENT ? RATE_UNLIMITED : share->rate);
	}
}

static uint64_t used_by(const struct scheduler *scheduler, bool to_peer)
{
	uint64_t used = 0;

	for (struct list *place = scheduler->allotments.next; place != &scheduler->allotments;
		place = place->next)
		used += to_peer ? member(place)->sent_meter.rate
				: member(place)->received_meter.rate;
	return used;
}

/* Whether anybody would use more than the limit gives it */
static bool somebody_waits(const struct scheduler *scheduler)
{
	for (size_t i = 0; i < scheduler->count; i++) {
		const struct share *share = &scheduler->shares[i];

		if (share->demand == RATE_UNLIMITED && share->rate < share->cap)
			return true;
	}
	return false;
}

/* For the next turn */
static void set_boost(struct scheduler *scheduler, bool to_peer)
{
	unsigned *boost = &scheduler->boost[to_peer];
	int64_t limit = (int64_t)scheduler->limit;
	int64_t next = (int64_t)*boost;

	if (scheduler->limit == RATE_UNLIMITED || !somebody_waits(scheduler)) {
		*boost = BOOST_LEAST;
		return;
	}
	next += (limit - (int64_t)used_by(scheduler, to_peer)) * 250 / limit;
	if (next < BOOST_LEAST)
		next = BOOST_LEAST;
	*boost = next < BOOST_MOST ? (unsigned)next : BOOST_MOST;
}

static uint64_t boosted(const struct scheduler *scheduler, bool to_peer)
{
	if (scheduler->limit == RATE_UNLIMITED)
		return RATE_UNLIMITED;
	return scheduler->limit * scheduler->boost[to_peer] / 1000;
}

/* @bulk_limit  for all bulk together; or RATE_UNLIMITED */
static void divide(struct scheduler *scheduler, bool to_peer, uint64_t bulk_limit)
{
	size_t others = list_shares(scheduler, to_peer);
	struct share *bulk = scheduler->shares + others;
	size_t bulk_count = scheduler->count - others;
	uint64_t sum = 0;

	shares_allot(scheduler->shares, scheduler->count, boosted(scheduler, to_peer));
	for (size_t i = 0; i < bulk_count; i++)
		sum = bulk[i].rate < RATE_UNLIMITED - sum ? sum + bulk[i].rate : RATE_UNLIMITED;
	if (bulk_limit < sum)
		shares_allot(bulk, bulk_count, bulk_limit);
	publish_shares(scheduler, to_peer);
	set_boost(scheduler, to_peer);
}

/* Under the lock */
static bool needed(const struct scheduler *scheduler, bool *postcopy)
{
	bool capped = false;

	*postcopy = false;
	for (struct list *place = scheduler->allotments.next; place != &scheduler->allotments;
		place = place->next) {
		*postcopy |= class_of(member(place)) == SHARE_POSTCOPY;
		capped |= cap_of(member(place)) != RATE_UNLIMITED;
	}
	return scheduler->count > 0 && (*postcopy || capped || scheduler->limit != RATE_UNLIMITED);
}

/* Under the lock. @returns whether there is room for every share */
static bool make_room(struct scheduler *scheduler)
{
	struct share *shares;
	struct allotment **owners;

	if (scheduler->count <= scheduler->room)
		return true;
	shares = realloc(scheduler->shares, 2 * scheduler->count * sizeof(*shares));
	if (!shares)
		return false;
	scheduler->shares = shares;
	owners = realloc(scheduler->owners, 2 * scheduler->count * sizeof(struct allotment *));
	if (!owners)
		return false;
	scheduler->owners = owners;
	scheduler->room = 2 * scheduler->count;
	return true;
}

static void lift_all(struct scheduler *scheduler)
{
	for (struct list *place = scheduler->allotments.next; place != &scheduler->allotments;
		place = place->next) {
		atomic_store(&member(place)->to_peer_rate, RATE_UNLIMITED);
		atomic_store(&member(place)->to_local_rate, RATE_UNLIMITED);
	}
	scheduler->contended = false;
}

/* @returns what all bulk together may send */
static uint64_t contend(struct scheduler *scheduler, bool postcopy, bool measured)
{
	struct contention_figures figures = look(scheduler);

	if (postcopy && !scheduler->contended)
		contention_init(&scheduler->contention);
	if (postcopy && (measured || !scheduler->contended))
		contention_turn(&scheduler->contention, &figures);
	scheduler->contended = postcopy;
	return postcopy ? scheduler->contention.allowance : RATE_UNLIMITED;
}

bool scheduler_turn(struct scheduler *scheduler, uint64_t now_ms)
{
	bool measured;
	bool postcopy;

	uv_mutex_lock(&scheduler->lock);
	scheduler->turning = needed(scheduler, &postcopy);
	measured = now_ms >= scheduler->measured_ms + LEAST_MS;
	if (measured)
		measure(scheduler, now_ms);
	if (!scheduler->turning) {
		lift_all(scheduler);
	} else if (make_room(scheduler)) {
		divide(scheduler, true, contend(scheduler, postcopy, measured));
		divide(scheduler, false, RATE_UNLIMITED);
	}
	uv_mutex_unlock(&scheduler->lock);
	return scheduler->turning;
}
