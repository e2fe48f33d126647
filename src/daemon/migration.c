#include "daemon/migration.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/clock.h"
#include "base/list.h"
#include "control/control.h"
#include "daemon/scheduler.h"

#define ENDED_KEPT   64
#define RUNNING_MOST 256
/* ... of one peer that this host knows by its word only */
#define TOLD_MOST 64

struct migration {
	struct list place;
	struct migrations *registry;
	struct migration_plan plan;
	struct terms *terms; /* held */
	enum migration_phase phase;
	enum guest_place guest;
	bool begun; /* it came beyond PHASE_PREPARING */
	bool ended;
	bool running; /* the guest, at the end */
	struct migration_figures figures;
	struct tunnel_figures tunnel;
	struct error failure;
	const char *advice;
	char waiting[ERROR_MESSAGE_BYTES];
	unsigned requests;
	uint64_t begun_ms;
	uint64_t ended_ms;
	uint64_t end;    /* counts up from 1 in the order of their ends */
	uint64_t change; /* counts up */
};

struct migrations {
	uv_mutex_t lock;
	uv_cond_t changed;
	struct list all; /* oldest first */
	size_t running_count;
	size_t ended_count;
	uint64_t last_end;
	struct scheduler *scheduler; /* or NULL */
};

struct migrations *migrations_new(struct scheduler *scheduler)
{
	struct migrations *migrations = calloc(1, sizeof(*migrations));

	if (!migrations || uv_mutex_init(&migrations->lock) != 0 ||
		uv_cond_init(&migrations->changed) != 0)
		abort(); /* at start only */
	list_init(&migrations->all);
	migrations->scheduler = scheduler;
	return migrations;
}

static void free_migration(struct migration *migration)
{
	if (!migration)
		return;
	terms_put(migration->terms);
	free(migration);
}

static void drop(struct migration *migration)
{
	list_remove(&migration->place);
	free_migration(migration);
}

void migrations_free(struct migrations *migrations)
{
	while (!list_empty(&migrations->all))
		drop(LIST_MEMBER(migrations->all.next, struct migration, place));
	uv_cond_destroy(&migrations->changed);
	uv_mutex_destroy(&migrations->lock);
	free(migrations);
}

static struct migration *member(struct list *place)
{
	return LIST_MEMBER(place, struct migration, place);
}

/* The name by which this host knows the virtual machine */
static const char *local_vm(const struct migration *migration)
{
	return migration->plan.incoming ? migration->plan.destination_vm : migration->plan.vm;
}

/* The newest that fits; under the lock */
static struct migration *find(struct migrations *migrations, const char *name)
{
	for (struct list *place = migrations->all.previous; place != &migrations->all;
		place = place->previous) {
		struct migration *migration = member(place);

		if (strcmp(migration->plan.id, name) == 0 || strcmp(local_vm(migration), name) == 0)
			return migration;
	}
	return NULL;
}

static int check_new(
	struct migrations *migrations, const struct migration_plan *plan, struct error *err)
{
	const char *vm = plan->incoming ? plan->destination_vm : plan->vm;
	unsigned told_count = 0;

	if (migrations->running_count >= RUNNING_MOST)
		return error_set(err, ERROR_LOCAL,
			"%d migrations run already: wait for some to end", RUNNING_MOST);
	for (struct list *place = migrations->all.next; place != &migrations->all;
		place = place->next) {
		struct migration *other = member(place);

		if (other->ended)
			continue;
		if (plan->told && other->plan.told && strcmp(other->plan.host, plan->host) == 0)
			told_count++;
		if (strcmp(other->plan.id, plan->id) == 0)
			return error_set(err, ERROR_USAGE, "migration %s runs already", plan->id);
		/* A source's word keeps no guest of this host from moving. */
		if (other->plan.told || plan->told)
			continue;
		if (strcmp(local_vm(other), vm) == 0)
			return error_set(err, ERROR_USAGE,
				"%s is being migrated already (%s %s, %s): culvert watch %s", vm,
				other->plan.incoming ? "from" : "to", other->plan.host,
				other->plan.id, other->plan.id);
	}
	return told_count < TOLD_MOST
		? 0
		: error_set(err, ERROR_LOCAL, "%u migrations from there run already", told_count);
}

/* A source that was lost and comes back knows how it ended, or goes on. Under the lock */
static void forget_unknown_end(struct migrations *migrations, const struct migration_plan *plan)
{
	struct migration *older = find(migrations, plan->id);

	if (!plan->incoming || !older || !older->ended || !older->plan.incoming ||
		older->guest != GUEST_UNKNOWN || strcmp(older->plan.id, plan->id) != 0 ||
		strcmp(older->plan.host, plan->host) != 0)
		return;
	drop(older);
	migrations->ended_count--;
}

struct migration *migrations_begin(
	struct migrations *migrations, const struct migration_plan *plan, struct error *err)
{
	struct migration *migration = calloc(1, sizeof(*migration));

	if (migration)
		migration->terms = terms_new(plan->bandwidth ? plan->bandwidth : RATE_UNLIMITED);
	if (!migration || !migration->terms) {
		free_migration(migration);
		error_set(err, ERROR_LOCAL, "no memory");
		return NULL;
	}
	uv_mutex_lock(&migrations->lock);
	if (check_new(migrations, plan, err) < 0) {
		uv_mutex_unlock(&migrations->lock);
		free_migration(migration);
		return NULL;
	}
	migration->registry = migrations;
	migration->plan = *plan;
	assert(migration_is_id(plan->id));
	migration->phase = PHASE_PREPARING;
	migration->guest = GUEST_SOURCE;
	migration->begun_ms = clock_now_ms();
	migration->change = 1;
	forget_unknown_end(migrations, plan);
	list_append(&migrations->all, &migration->place);
	migrations->running_count++;
	uv_mutex_unlock(&migrations->lock);
	return migration;
}

const struct migration_plan *migration_plan(const struct migration *migration)
{
	return &migration->plan; /* never changes */
}

struct terms *migration_terms(struct migration *migration)
{
	return migration->terms;
}

static void set_class(struct migration *migration, enum share_class share_class)
{
	if (atomic_exchange(&migration->terms->share_class, share_class) != (int)share_class)
		scheduler_wake(migration->registry->scheduler);
}

void migration_hasten(struct migration *migration)
{
	set_class(migration, SHARE_POSTCOPY);
}

static void lock_for_change(struct migration *migration)
{
	uv_mutex_lock(&migration->registry->lock);
	migration->change++;
}

static void unlock_changed(struct migrations *migrations)
{
	uv_cond_broadcast(&migrations->changed);
	uv_mutex_unlock(&migrations->lock);
}

void migration_set_phase(
	struct migration *migration, enum migration_phase phase, enum guest_place guest)
{
	assert(phase < PHASE_COMPLETED);
	lock_for_change(migration);
	migration->begun = true;
	migration->phase = phase;
	migration->guest = guest;
	unlock_changed(migration->registry);
	if (phase == PHASE_PRECOPY)
		set_class(migration, SHARE_BULK);
	else if (phase == PHASE_POSTCOPY || phase == PHASE_PAUSED)
		set_class(migration, SHARE_POSTCOPY);
}

void migration_set_figures(struct migration *migration, const struct migration_figures *figures)
{
	lock_for_change(migration);
	migration->figures = *figures;
	unlock_changed(migration->registry);
}

void migration_set_tunnel(struct migration *migration, const struct tunnel_figures *tunnel)
{
	lock_for_change(migration);
	migration->tunnel = *tunnel;
	unlock_changed(migration->registry);
}

void migration_set_waiting(struct migration *migration, const char *text)
{
	lock_for_change(migration);
	snprintf(migration->waiting, sizeof(migration->waiting), "%s", text);
	unlock_changed(migration->registry);
}

uint64_t migration_elapsed_ms(const struct migration *migration)
{
	return (migration->ended ? migration->ended_ms : clock_now_ms()) - migration->begun_ms;
}

/* A peer may ask in vain as often as it likes: that must not push out what became of a guest. */
static bool came_to_nothing(const struct migration *migration)
{
	return migration->plan.incoming && !migration->begun;
}

static bool goes_before(const struct migration *one, const struct migration *other)
{
	if (came_to_nothing(one) != came_to_nothing(other))
		return came_to_nothing(one);
	return one->end < other->end;
}

/* Forget what ended longest ago; under the lock */
static void prune(struct migrations *migrations)
{
	struct migration *least = NULL;

	if (migrations->ended_count <= ENDED_KEPT)
		return;
	for (struct list *place = migrations->all.next; place != &migrations->all;
		place = place->next) {
		struct migration *migration = member(place);

		if (migration->ended && (!least || goes_before(migration, least)))
			least = migration;
	}
	drop(least);
	migrations->ended_count--;
}

void migration_end(struct migration *migration, const struct migration_outcome *outcome)
{
	struct migrations *migrations = migration->registry;

	assert(outcome->phase >= PHASE_COMPLETED && outcome->phase < PHASE_OTHER);
	lock_for_change(migration);
	migration->phase = outcome->phase;
	migration->guest = outcome->guest;
	migration->running = outcome->running;
	migration->failure = outcome->failure;
	migration->advice = outcome->advice;
	migration->waiting[0] = '\0';
	migration->ended = true;
	migration->ended_ms = clock_now_ms();
	migration->end = ++migrations->last_end;
	migrations->running_count--;
	migrations->ended_count++;
	prune(migrations);
	unlock_changed(migrations);
}

unsigned migration_take_requests(struct migration *migration)
{
	unsigned requests;

	uv_mutex_lock(&migration->registry->lock);
	requests = migration->requests;
	migration->requests = 0;
	uv_mutex_unlock(&migration->registry->lock);
	return requests;
}

static int check_request(
	const struct migration *migration, enum migration_request request, struct error *err)
{
	const char *id = migration->plan.id;

	if (migration->ended)
		return error_set(
			err, ERROR_USAGE, "%s has ended (%s)", id, phase_name(migration->phase));
	if (migration->plan.incoming)
		return error_set(
			err, ERROR_USAGE, "%s comes from %s: ask there", id, migration->plan.host);
	if (request == REQUEST_RECOVER)
		return *migration->waiting
			? 0
			: error_set(err, ERROR_USAGE, "%s needs no recovery: its phase is %s", id,
				  phase_name(migration->phase));
	if (request == REQUEST_CANCEL && migration->phase == PHASE_POSTCOPY &&
		migration->guest == GUEST_SOURCE)
		return error_set(err, ERROR_USAGE,
			"%s cannot be cancelled: it is switching to post-copy just now", id);
	if (request == REQUEST_CANCEL && migration->phase == PHASE_FINISHING)
		return error_set(err, ERROR_USAGE,
			"%s cannot be cancelled: the source has handed the guest over", id);
	if (request == REQUEST_CANCEL && migration->phase >= PHASE_POSTCOPY)
		return error_set(err, ERROR_USAGE,
			"%s cannot be cancelled: post-copy has begun, the guest runs on %s and its "
			"memory is on both hosts; it has to finish",
			id, migration->plan.host);
	if (request == REQUEST_SWITCH && migration->plan.mode == MODE_PRECOPY)
		return error_set(err, ERROR_USAGE,
			"%s runs in mode precopy and cannot switch: cancel it and migrate again "
			"with --mode hybrid",
			id);
	if (request == REQUEST_SWITCH && migration->phase >= PHASE_POSTCOPY)
		return error_set(err, ERROR_USAGE, "%s has switched to post-copy already", id);
	return 0;
}

static int no_such(const char *name, struct error *err)
{
	return error_set(err, ERROR_USAGE, "no migration '%s': culvert status lists them", name);
}

int migrations_request(struct migrations *migrations, const char *name,
	enum migration_request request, struct error *err)
{
	struct migration *migration;
	int result;

	uv_mutex_lock(&migrations->lock);
	migration = find(migrations, name);
	result = migration ? check_request(migration, request, err) : no_such(name, err);
	if (result == 0)
		migration->requests |= request;
	uv_mutex_unlock(&migrations->lock);
	return result;
}

static void limit(struct migration *migration, uint64_t bytes_per_s)
{
	migration->change++;
	atomic_store(&migration->terms->limit_bytes_per_s, bytes_per_s);
	uv_cond_broadcast(&migration->registry->changed);
	scheduler_wake(migration->registry->scheduler);
}

int migrations_limit(
	struct migrations *migrations, const char *name, uint64_t bytes_per_s, struct error *err)
{
	struct migration *migration;
	int result;

	uv_mutex_lock(&migrations->lock);
	migration = find(migrations, name);
	if (!migration)
		result = no_such(name, err);
	else if (migration->ended)
		result = error_set(err, ERROR_USAGE, "%s has ended (%s)", migration->plan.id,
			phase_name(migration->phase));
	else
		result = 0;
	if (result == 0)
		limit(migration, bytes_per_s);
	uv_mutex_unlock(&migrations->lock);
	return result;
}

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static void set_rate(json_t *object, const char *key, uint64_t bytes_per_s)
{
	json_object_set_new(object, key,
		bytes_per_s == RATE_UNLIMITED ? json_null()
					      : json_integer((json_int_t)bytes_per_s));
}

static void set_bandwidth(json_t *object, const struct migration *migration)
{
	const struct terms *terms = migration->terms;

	set_rate(object, "bandwidth_bytes_per_s", atomic_load(&terms->limit_bytes_per_s));
	set_rate(object, "paced_bytes_per_s",
		atomic_load(
			migration->plan.incoming ? &terms->to_local_rate : &terms->to_peer_rate));
}

static json_t *to_json(const struct migration *migration)
{
	const struct migration_plan *plan = &migration->plan;
	const struct migration_figures *figures = &migration->figures;
	char policy[40];
	json_t *object;

	switch_policy_text(&plan->policy, policy, sizeof(policy));
	object = json_pack("{ss ss ss ss ss ss ss ss sb ss ss}", "id", plan->id, "vm", plan->vm,
		"destination_vm", plan->destination_vm, "direction",
		plan->incoming ? "incoming" : "outgoing", "host", plan->host, "mode",
		migration_mode_name(plan->mode), "switch", policy, "phase",
		phase_name(migration->phase), "ended", migration->ended, "status", figures->status,
		"guest", phase_guest_name(migration->guest));
	set_number(object, "pass", figures->pass_count);
	set_number(object, "ram_total_bytes", figures->ram_total_bytes);
	set_number(object, "ram_remaining_bytes", figures->ram_remaining_bytes);
	set_number(object, "ram_transferred_bytes", figures->ram_transferred_bytes);
	set_number(object, "rate_bytes_per_s", figures->rate_bytes_per_s);
	set_number(object, "dirty_rate_bytes_per_s", figures->dirty_rate_bytes_per_s);
	set_number(object, "disk_total_bytes", figures->disk_total_bytes);
	set_number(object, "disk_copied_bytes", figures->disk_copied_bytes);
	set_number(object, "page_requests", figures->page_requests);
	set_number(object, "expected_downtime_ms", figures->expected_downtime_ms);
	set_number(object, "downtime_ms", figures->downtime_ms);
	set_number(object, "setup_ms", figures->setup_ms);
	set_number(object, "total_ms", figures->total_ms);
	set_number(object, "elapsed_ms", migration_elapsed_ms(migration));
	set_number(object, "tunnel_to_peer_bytes", migration->tunnel.to_peer_bytes);
	set_number(object, "tunnel_to_local_bytes", migration->tunnel.to_local_bytes);
	set_number(object, "links_lost", migration->tunnel.links_lost);
	set_number(object, "replayed_bytes", migration->tunnel.replayed_bytes);
	set_number(object, "linkless_ms", migration->tunnel.linkless_ms);
	set_number(object, "linkless_total_ms", migration->tunnel.linkless_total_ms);
	set_number(object, "resume_deadline_ms", migration->tunnel.resume_deadline_ms);
	set_bandwidth(object, migration);
	json_object_set_new(object, "waiting",
		*migration->waiting ? json_string(migration->waiting) : json_null());
	json_object_set_new(object, "error",
		migration->failure.code == ERROR_NONE ? json_null()
						      : control_error_encode(&migration->failure));
	json_object_set_new(
		object, "advice", migration->advice ? json_string(migration->advice) : json_null());
	return object;
}

bool migrations_find_ended(struct migrations *migrations, const char *id, const char *host,
	struct migration_outcome *outcome)
{
	const struct migration *found;

	uv_mutex_lock(&migrations->lock);
	found = find(migrations, id);
	if (found &&
		(!found->ended || !found->plan.incoming || strcmp(found->plan.host, host) != 0))
		found = NULL;
	if (found)
		*outcome = (struct migration_outcome){.phase = found->phase,
			.guest = found->guest,
			.running = found->running,
			.failure = found->failure,
			.advice = found->advice};
	uv_mutex_unlock(&migrations->lock);
	return found != NULL;
}

json_t *migrations_list(struct migrations *migrations)
{
	json_t *list = json_array();

	uv_mutex_lock(&migrations->lock);
	for (struct list *place = migrations->all.next; place != &migrations->all;
		place = place->next)
		json_array_append_new(list, to_json(member(place)));
	uv_mutex_unlock(&migrations->lock);
	return list;
}

int migrations_follow(struct migrations *migrations, const char *name, uint64_t *seen,
	unsigned timeout_ms, json_t **value, bool *ended, struct error *err)
{
	uint64_t deadline_ms = clock_now_ms() + timeout_ms;
	struct migration *migration;

	*value = NULL;
	uv_mutex_lock(&migrations->lock);
	while ((migration = find(migrations, name)) && migration->change == *seen) {
		uint64_t now_ms = clock_now_ms();

		if (now_ms >= deadline_ms)
			break;
		(void)uv_cond_timedwait(
			&migrations->changed, &migrations->lock, (deadline_ms - now_ms) * 1000000);
	}
	if (migration && migration->change != *seen) {
		*seen = migration->change;
		*value = to_json(migration);
		*ended = migration->ended;
	}
	uv_mutex_unlock(&migrations->lock);
	return migration ? 0 : no_such(name, err);
}

size_t migrations_running(struct migrations *migrations)
{
	size_t count;

	uv_mutex_lock(&migrations->lock);
	count = migrations->running_count;
	uv_mutex_unlock(&migrations->lock);
	return count;
}
