#include "daemon/outgoing_reach.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/outgoing_stream.h"

#define FIRST_PAUSE_MS   500
#define LONGEST_PAUSE_MS 30000
#define TURN_MS          250

int outgoing_reach_once(struct outgoing *outgoing, struct error *err)
{
	const struct migration_plan *plan = &outgoing->plan;
	struct error ignored;

	contact_free(outgoing->contact);
	outgoing->contact_lost = true;
	outgoing->contact = contact_new(outgoing->daemon, outgoing->peer, err);
	if (!outgoing->contact ||
		contact_rejoin(outgoing->contact, plan->id, plan->destination_vm, err) < 0) {
		outgoing->contact_failure = *err;
		return -1;
	}
	outgoing->contact_lost = false;
	outgoing->attempts = 0;
	if (outgoing->migration)
		migration_set_waiting(outgoing->migration, "");
	(void)contact_listen(outgoing->contact, 0, &outgoing->news, &ignored);
	log_event(LOG_NOTICE, "migration.rejoined", "migration=%s vm=%s host=%s status=%s",
		plan->id, plan->vm, plan->host, outgoing->news.status);
	return 0;
}

/* Doubling, and up to a quarter more, so that many migrations do not come all at once */
static uint64_t pause_ms(struct outgoing *outgoing)
{
	uint64_t pause = FIRST_PAUSE_MS;
	unsigned char random = 0;

	for (unsigned i = 0; i < outgoing->attempts && pause < LONGEST_PAUSE_MS; i++)
		pause *= 2;
	if (pause > LONGEST_PAUSE_MS)
		pause = LONGEST_PAUSE_MS;
	outgoing->attempts++;
	(void)RAND_bytes(&random, 1);
	return pause + pause * random / 1024;
}

static void tell(struct outgoing *outgoing, const struct error *why, uint64_t pause)
{
	const struct migration_plan *plan = &outgoing->plan;
	struct error text;

	error_set(&text, ERROR_LINK,
		"attempt %u failed, the next in %llu s or at 'culvert recover %s': %s",
		outgoing->attempts, (unsigned long long)(pause + 999) / 1000, plan->id,
		why->message);
	if (outgoing->migration)
		migration_set_waiting(outgoing->migration, text.message);
	log_event_limited(LOG_WARNING, "migration.unreachable",
		"migration=%s host=%s attempt=%u reason=\"%s\"", plan->id, plan->host,
		outgoing->attempts, why->message);
}

/* One turn, in which the end of QEMU is noticed */
static void idle(struct outgoing *outgoing)
{
	struct timespec turn = {.tv_nsec = TURN_MS * 1000000L};
	struct error ignored;

	if (!outgoing->qemu || qemu_gone(outgoing->qemu))
		nanosleep(&turn, NULL);
	else
		(void)qemu_query(outgoing->qemu, TURN_MS, &outgoing->figures, &ignored);
	outgoing_stream_publish(outgoing);
}

bool outgoing_reach_wait(struct outgoing *outgoing, const struct error *why)
{
	bool had_source = outgoing_has_source(outgoing);
	uint64_t pause = pause_ms(outgoing);
	uint64_t due_ms = clock_now_ms() + pause;

	tell(outgoing, why, pause);
	while (clock_now_ms() < due_ms && outgoing_has_source(outgoing) == had_source) {
		if (atomic_load(&outgoing->daemon->stopping))
			return false;
		if (outgoing->migration &&
			migration_take_requests(outgoing->migration) & REQUEST_RECOVER)
			break;
		idle(outgoing);
	}
	return !atomic_load(&outgoing->daemon->stopping);
}

bool outgoing_reach(struct outgoing *outgoing)
{
	struct error err;

	while (outgoing_reach_once(outgoing, &err) < 0) {
		if (!outgoing_reach_wait(outgoing, &err))
			return false;
	}
	return true;
}
