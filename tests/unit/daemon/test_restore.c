/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/conversation.h"
#include "daemon/journal.h"
#include "daemon/restore.h"
#include "hosts.h"

#define TURN_MS 10

static struct hosts hosts;
static sem_t talked;

static int set_up(void **state)
{
	(void)state;
	hosts_start(&hosts);
	hosts.a.config.runtime_directory = hosts.directory;
	return sem_init(&talked, 0, 0);
}

static int tear_down(void **state)
{
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/migrations", hosts.directory);
	assert_int_equal(rmdir(path), 0);
	hosts_stop(&hosts);
	return sem_destroy(&talked);
}

static struct journal_entry entry(bool incoming)
{
	return (struct journal_entry){
		.plan = {.id = "0badcafe",
			.incoming = incoming,
			.vm = "web1",
			.destination_vm = "web1",
			.host = "hostb",
			.mode = MODE_POSTCOPY},
		.started = true,
	};
}

static void write_down(const struct journal_entry *entry)
{
	struct error err;

	assert_int_equal(journal_write(hosts.directory, entry, &err), 0);
}

static void wait_until_forgotten(const struct migration_plan *plan)
{
	for (int waited_ms = 0; journal_has(hosts.directory, plan); waited_ms += TURN_MS) {
		if (waited_ms > HOSTS_DEADLINE_MS)
			fail_msg("it is still in the journal");
		usleep(TURN_MS * 1000);
	}
}

static void talk_until_told(void *argument)
{
	(void)argument;
	sem_wait(&talked);
}

/* @returns how many more conversations there was room for */
static int fill_conversations(void)
{
	struct error err;
	int count = 0;

	while (conversation_start(talk_until_told, NULL, &err) == 0)
		count++;
	return count;
}

static void end_conversations(int count)
{
	while (count-- > 0)
		sem_post(&talked);
	assert_true(conversations_wait(HOSTS_DEADLINE_MS));
}

static json_t *listed(void)
{
	json_t *list = migrations_list(hosts.a.daemon.migrations);
	json_t *only = json_incref(json_array_get(list, 0));

	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	return only;
}

static void assert_ends_unled(bool incoming)
{
	struct journal_entry left = entry(incoming);
	struct migrations *migrations = hosts.a.daemon.migrations;
	struct migration_outcome none = {.phase = PHASE_FAILED};
	int count = fill_conversations();
	struct migration *next;
	struct error err;
	json_t *record;

	write_down(&left);
	restore_migrations(&hosts.a.daemon);
	end_conversations(count);

	assert_int_equal(migrations_running(migrations), 0);
	record = listed();
	assert_string_equal(json_string_value(json_object_get(record, "phase")), "failed");
	assert_string_equal(json_string_value(json_object_get(record, "guest")), "unknown");
	assert_non_null(strstr(
		json_string_value(json_object_get(record, "advice")), "start culvertd again"));
	json_decref(record);
	assert_true(journal_has(hosts.directory, &left.plan));
	/* The name is free. */
	next = migrations_begin(migrations, &left.plan, &err);
	assert_non_null(next);
	migration_end(next, &none);
	journal_remove(hosts.directory, &left.plan);
}

static void an_incoming_migration_that_nobody_can_lead_ends_and_is_left_to_the_next_daemon(
	void **state)
{
	(void)state;
	assert_ends_unled(true);
}

static void an_outgoing_migration_that_nobody_can_lead_ends_and_is_left_to_the_next_daemon(
	void **state)
{
	(void)state;
	assert_ends_unled(false);
}

static void a_guest_that_was_kept_is_told_without_a_migration_of_it(void **state)
{
	struct journal_entry kept = entry(false);
	struct migration_outcome none = {.phase = PHASE_FAILED};
	struct migration_plan other = kept.plan;
	struct migration *migration;
	struct error err;

	(void)state;
	kept.kept = true;
	write_down(&kept);
	restore_migrations(&hosts.a.daemon);

	assert_int_equal(migrations_running(hosts.a.daemon.migrations), 0);
	memcpy(other.id, "0badbeef", sizeof(other.id));
	migration = migrations_begin(hosts.a.daemon.migrations, &other, &err);
	assert_non_null(migration);
	wait_until_forgotten(&kept.plan);
	migration_end(migration, &none);
}

/* @returns the entry of a guest that was kept, taken up while its destination hears nothing */
static struct journal_entry restore_unheard(void)
{
	struct journal_entry kept = entry(false);

	kept.kept = true;
	write_down(&kept);
	hosts_set_deaf(&hosts, true);
	restore_migrations(&hosts.a.daemon);
	return kept;
}

static void a_guest_that_was_kept_is_told_when_the_destination_is_back(void **state)
{
	struct journal_entry kept = restore_unheard();

	(void)state;
	usleep(1500 * 1000);
	assert_true(journal_has(hosts.directory, &kept.plan));
	hosts_set_deaf(&hosts, false);
	wait_until_forgotten(&kept.plan);
}

static void a_guest_that_was_kept_is_told_by_the_next_daemon_if_this_one_stops(void **state)
{
	struct journal_entry kept = restore_unheard();

	(void)state;
	atomic_store(&hosts.a.daemon.stopping, true);
	assert_true(conversations_wait(HOSTS_DEADLINE_MS));
	assert_true(journal_has(hosts.directory, &kept.plan));
	journal_remove(hosts.directory, &kept.plan);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_incoming_migration_that_nobody_can_lead_ends_and_is_left_to_the_next_daemon),
		TEST(an_outgoing_migration_that_nobody_can_lead_ends_and_is_left_to_the_next_daemon),
		TEST(a_guest_that_was_kept_is_told_without_a_migration_of_it),
		TEST(a_guest_that_was_kept_is_told_when_the_destination_is_back),
		TEST(a_guest_that_was_kept_is_told_by_the_next_daemon_if_this_one_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
