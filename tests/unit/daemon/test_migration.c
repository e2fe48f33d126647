/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "daemon/migration.h"
#include "daemon/terms.h"

/* As in migration.c */
enum { ENDED_KEPT = 64, RUNNING_MOST = 256 };

#define DEADLINE_MS 20000

struct fixture {
	struct migrations *migrations;
	struct error err;
	uint64_t seen;
	json_t *value;
	bool ended;
};

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture = (struct fixture){.migrations = migrations_new(NULL)};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	json_decref(fixture.value);
	migrations_free(fixture.migrations);
	return 0;
}

static struct migration_plan outgoing_plan(const char *vm)
{
	struct migration_plan plan = {.host = "hostb", .mode = MODE_HYBRID};

	migration_choose_id(&plan);

	snprintf(plan.vm, sizeof(plan.vm), "%s", vm);
	snprintf(plan.destination_vm, sizeof(plan.destination_vm), "%s", vm);
	return plan;
}

static struct migration *begin(const char *vm)
{
	struct migration_plan plan = outgoing_plan(vm);

	return migrations_begin(fixture.migrations, &plan, &fixture.err);
}

static uint64_t listed_number(const char *key)
{
	json_t *list = migrations_list(fixture.migrations);
	json_int_t number = json_integer_value(json_object_get(json_array_get(list, 0), key));

	json_decref(list);
	return (uint64_t)number;
}

static void a_limit_is_listed_and_changed_while_it_runs(void **state)
{
	struct migration_plan plan = outgoing_plan("vm");
	struct migration *migration;

	(void)state;
	plan.bandwidth = 500000;
	migration = migrations_begin(fixture.migrations, &plan, &fixture.err);
	assert_int_equal(listed_number("bandwidth_bytes_per_s"), 500000);
	assert_int_equal(migrations_limit(fixture.migrations, "vm", 250000, &fixture.err), 0);
	assert_int_equal(listed_number("bandwidth_bytes_per_s"), 250000);
	assert_int_equal(atomic_load(&migration_terms(migration)->limit_bytes_per_s), 250000);
	assert_int_equal(migrations_limit(fixture.migrations, "other", 1, &fixture.err), -1);
	assert_int_equal(fixture.err.code, ERROR_USAGE);
}

static void its_class_follows_its_phase(void **state)
{
	struct migration_plan plan = outgoing_plan("vm");
	struct migration *migration = migrations_begin(fixture.migrations, &plan, &fixture.err);
	atomic_int *share_class = &migration_terms(migration)->share_class;

	(void)state;
	assert_int_equal(atomic_load(share_class), SHARE_BULK);
	migration_hasten(migration);
	assert_int_equal(atomic_load(share_class), SHARE_POSTCOPY);
	migration_set_phase(migration, PHASE_PRECOPY, GUEST_SOURCE);
	assert_int_equal(atomic_load(share_class), SHARE_BULK);
	migration_set_phase(migration, PHASE_POSTCOPY, GUEST_SOURCE);
	migration_set_phase(migration, PHASE_PAUSED, GUEST_DESTINATION);
	migration_set_phase(migration, PHASE_FINISHING, GUEST_DESTINATION);
	assert_int_equal(atomic_load(share_class), SHARE_POSTCOPY);
}

static struct migration *begin_in_mode(const char *vm, enum migration_mode mode)
{
	struct migration_plan plan = outgoing_plan(vm);

	plan.mode = mode;
	return migrations_begin(fixture.migrations, &plan, &fixture.err);
}

static struct migration *begin_incoming(const char *id, const char *vm, const char *source_vm)
{
	struct migration_plan plan = outgoing_plan(source_vm);

	plan.incoming = true;
	snprintf(plan.id, sizeof(plan.id), "%s", id);
	snprintf(plan.destination_vm, sizeof(plan.destination_vm), "%s", vm);
	return migrations_begin(fixture.migrations, &plan, &fixture.err);
}

static void complete(struct migration *migration)
{
	struct migration_outcome outcome = {.phase = PHASE_COMPLETED, .guest = GUEST_DESTINATION};

	migration_end(migration, &outcome);
}

static int follow(const char *name, unsigned timeout_ms)
{
	json_decref(fixture.value);
	return migrations_follow(fixture.migrations, name, &fixture.seen, timeout_ms,
		&fixture.value, &fixture.ended, &fixture.err);
}

static void assert_refused(const char *thing, const char *remedy)
{
	const char *message = fixture.err.message;

	if (fixture.err.code != ERROR_USAGE || !strstr(message, thing) || !strstr(message, remedy))
		fail_msg("%s: %s", error_code_name(fixture.err.code), message);
}

static const char *text_of(const char *key)
{
	return json_string_value(json_object_get(fixture.value, key));
}

static int request(const char *name, enum migration_request wanted)
{
	return migrations_request(fixture.migrations, name, wanted, &fixture.err);
}

static void a_new_migration_gets_an_id(void **state)
{
	const char *id = migration_plan(begin("web1"))->id;

	(void)state;
	assert_int_equal(strlen(id), 8);
	assert_int_equal(strspn(id, "0123456789abcdef"), 8);
}

static void a_second_migration_of_the_same_vm_is_refused(void **state)
{
	const char *id = migration_plan(begin("web1"))->id;
	char remedy[40];

	(void)state;
	snprintf(remedy, sizeof(remedy), "culvert watch %s", id);
	assert_null(begin("web1"));
	assert_refused("web1 is being migrated already (to hostb", remedy);
}

static struct migration *begin_told(unsigned number, const char *host)
{
	struct migration_plan plan = outgoing_plan("web1");

	plan.incoming = plan.told = true;
	snprintf(plan.id, sizeof(plan.id), "%08x", number);
	snprintf(plan.host, sizeof(plan.host), "%s", host);
	return migrations_begin(fixture.migrations, &plan, &fixture.err);
}

static void a_source_s_word_keeps_no_guest_from_moving(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++)
		assert_non_null(begin_told(i, "hostb"));
	assert_null(begin_told(64, "hostb"));
	assert_non_null(strstr(fixture.err.message, "64 migrations from there"));
	assert_non_null(begin_told(64, "hostc"));
	assert_non_null(begin("web1"));
}

static void a_vm_that_arrives_is_not_sent_on(void **state)
{
	(void)state;
	assert_non_null(begin_incoming("0123abcd", "web1", "web1"));
	assert_null(begin("web1"));
	assert_refused("web1 is being migrated already (from hostb", "culvert watch 0123abcd");
}

static void the_name_at_this_host_counts(void **state)
{
	(void)state;
	assert_non_null(begin_incoming("0123abcd", "web1-moved", "web1"));
	assert_non_null(begin("web1"));
}

static void an_id_that_runs_already_is_refused(void **state)
{
	(void)state;
	assert_non_null(begin_incoming("0123abcd", "web1", "web1"));
	assert_null(begin_incoming("0123abcd", "web2", "web2"));
	assert_refused("migration 0123abcd runs already", "");
}

static void a_vm_may_be_migrated_again_after_the_end(void **state)
{
	(void)state;
	complete(begin("web1"));
	assert_non_null(begin("web1"));
}

static void too_many_at_once_are_refused(void **state)
{
	char vm[16];

	(void)state;
	for (int i = 0; i < RUNNING_MOST; i++) {
		snprintf(vm, sizeof(vm), "vm%d", i);
		assert_non_null(begin(vm));
	}
	assert_null(begin("one-more"));
	assert_int_equal(fixture.err.code, ERROR_LOCAL);
	assert_non_null(strstr(fixture.err.message, "wait for some to end"));
}

static void those_that_run_are_counted(void **state)
{
	struct migration *first = begin("web1");

	(void)state;
	begin("web2");
	assert_int_equal(migrations_running(fixture.migrations), 2);
	complete(first);
	assert_int_equal(migrations_running(fixture.migrations), 1);
}

static void the_oldest_that_ended_are_forgotten(void **state)
{
	char vm[16];
	json_t *list;

	(void)state;
	begin("runs");
	for (int i = 0; i < ENDED_KEPT + 3; i++) {
		snprintf(vm, sizeof(vm), "vm%d", i);
		complete(begin(vm));
	}
	list = migrations_list(fixture.migrations);
	assert_int_equal(json_array_size(list), ENDED_KEPT + 1);
	json_decref(list);
	assert_int_equal(follow("runs", 0), 0);
	assert_int_equal(follow("vm2", 0), -1);
	assert_int_equal(follow("vm3", 0), 0);
}

static void the_first_look_shows_a_migration(void **state)
{
	const char *id = migration_plan(begin("web1"))->id;

	(void)state;
	assert_int_equal(follow("web1", 0), 0);
	assert_string_equal(text_of("id"), id);
	assert_string_equal(text_of("vm"), "web1");
	assert_string_equal(text_of("host"), "hostb");
	assert_string_equal(text_of("direction"), "outgoing");
	assert_string_equal(text_of("mode"), "hybrid");
	assert_string_equal(text_of("switch"), "auto");
	assert_string_equal(text_of("phase"), "preparing");
	assert_string_equal(text_of("guest"), "source");
	assert_false(fixture.ended);
}

static void nothing_new_is_nothing(void **state)
{
	(void)state;
	begin("web1");
	assert_int_equal(follow("web1", 0), 0);
	assert_int_equal(follow("web1", 0), 0);
	assert_null(fixture.value);
}

static void a_change_is_seen_once(void **state)
{
	struct migration *migration = begin("web1");

	(void)state;
	assert_int_equal(follow("web1", 0), 0);
	migration_set_phase(migration, PHASE_PRECOPY, GUEST_SOURCE);
	assert_int_equal(follow("web1", 0), 0);
	assert_string_equal(text_of("phase"), "precopy");
	assert_int_equal(follow("web1", 0), 0);
	assert_null(fixture.value);
}

static void figures_are_shown_as_they_were_set(void **state)
{
	struct migration *migration = begin("web1");
	struct migration_figures figures = {.status = "postcopy-active",
		.pass_count = 3,
		.ram_total_bytes = 1ull << 40,
		.page_requests = 17};

	(void)state;
	migration_set_figures(migration, &figures);
	migration_set_tunnel(
		migration, &(struct tunnel_figures){.to_peer_bytes = 5, .to_local_bytes = 6});
	assert_int_equal(follow("web1", 0), 0);
	assert_string_equal(text_of("status"), "postcopy-active");
	assert_int_equal(json_integer_value(json_object_get(fixture.value, "pass")), 3);
	assert_int_equal(
		json_integer_value(json_object_get(fixture.value, "ram_total_bytes")), 1ull << 40);
	assert_int_equal(json_integer_value(json_object_get(fixture.value, "page_requests")), 17);
	assert_int_equal(
		json_integer_value(json_object_get(fixture.value, "tunnel_to_peer_bytes")), 5);
	assert_int_equal(
		json_integer_value(json_object_get(fixture.value, "tunnel_to_local_bytes")), 6);
}

static void the_end_is_the_last_change(void **state)
{
	struct migration_outcome outcome = {
		.phase = PHASE_LOST, .guest = GUEST_NOWHERE, .advice = "start it again"};

	(void)state;
	error_set(&outcome.failure, ERROR_GUEST, "the QEMU on hostb ended");
	migration_end(begin("web1"), &outcome);
	assert_int_equal(follow("web1", 0), 0);
	assert_true(fixture.ended);
	assert_string_equal(text_of("phase"), "lost");
	assert_string_equal(text_of("guest"), "nowhere");
	assert_string_equal(text_of("advice"), "start it again");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(fixture.value, "error"), "class")),
		"GUEST");
}

static void an_unknown_name_is_refused(void **state)
{
	(void)state;
	assert_int_equal(follow("web9", 0), -1);
	assert_refused("no migration 'web9'", "culvert status");
}

static void a_name_means_the_newest_migration(void **state)
{
	const char *id;

	(void)state;
	complete(begin("web1"));
	id = migration_plan(begin("web1"))->id;
	assert_int_equal(follow("web1", 0), 0);
	assert_string_equal(text_of("id"), id);
}

static void *change_phase(void *migration)
{
	migration_set_phase(migration, PHASE_PRECOPY, GUEST_SOURCE);
	return NULL;
}

static void a_follower_is_woken_by_a_change(void **state)
{
	struct migration *migration = begin("web1");
	pthread_t thread;

	(void)state;
	assert_int_equal(follow("web1", 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, change_phase, migration), 0);
	assert_int_equal(follow("web1", DEADLINE_MS), 0);
	pthread_join(thread, NULL);
	assert_string_equal(text_of("phase"), "precopy");
}

static void a_request_reaches_the_leader_once(void **state)
{
	struct migration *migration = begin("web1");

	(void)state;
	assert_int_equal(request("web1", REQUEST_SWITCH), 0);
	assert_int_equal(request("web1", REQUEST_CANCEL), 0);
	assert_int_equal(migration_take_requests(migration), REQUEST_SWITCH | REQUEST_CANCEL);
	assert_int_equal(migration_take_requests(migration), 0);
}

static void a_request_by_id_is_taken(void **state)
{
	struct migration *migration = begin("web1");

	(void)state;
	assert_int_equal(request(migration_plan(migration)->id, REQUEST_CANCEL), 0);
	assert_int_equal(migration_take_requests(migration), REQUEST_CANCEL);
}

static void a_request_of_what_is_unknown_is_refused(void **state)
{
	(void)state;
	assert_int_equal(request("web9", REQUEST_CANCEL), -1);
	assert_refused("no migration 'web9'", "culvert status");
}

static void a_cancel_in_precopy_is_taken(void **state)
{
	struct migration *migration = begin("web1");

	(void)state;
	migration_set_phase(migration, PHASE_PRECOPY, GUEST_SOURCE);
	assert_int_equal(request("web1", REQUEST_CANCEL), 0);
}

static void a_cancel_in_postcopy_is_refused_saying_why(void **state)
{
	struct migration *migration = begin("web1");

	(void)state;
	migration_set_phase(migration, PHASE_POSTCOPY, GUEST_DESTINATION);
	assert_int_equal(request("web1", REQUEST_CANCEL), -1);
	assert_refused("cannot be cancelled: post-copy has begun", "hostb");
	assert_int_equal(migration_take_requests(migration), 0);
}

static void a_cancel_while_paused_is_refused(void **state)
{
	struct migration *migration = begin("web1");

	(void)state;
	migration_set_phase(migration, PHASE_PAUSED, GUEST_DESTINATION);
	assert_int_equal(request("web1", REQUEST_CANCEL), -1);
	assert_refused("cannot be cancelled", "");
}

static void a_switch_of_a_precopy_is_refused(void **state)
{
	(void)state;
	begin_in_mode("web1", MODE_PRECOPY);
	assert_int_equal(request("web1", REQUEST_SWITCH), -1);
	assert_refused("cannot switch", "--mode hybrid");
}

static void a_switch_after_the_switch_is_refused(void **state)
{
	struct migration *migration = begin("web1");

	(void)state;
	migration_set_phase(migration, PHASE_POSTCOPY, GUEST_DESTINATION);
	assert_int_equal(request("web1", REQUEST_SWITCH), -1);
	assert_refused("has switched to post-copy already", "");
}

static void a_request_after_the_end_is_refused(void **state)
{
	(void)state;
	complete(begin("web1"));
	assert_int_equal(request("web1", REQUEST_CANCEL), -1);
	assert_refused("has ended (completed)", "");
}

static void a_request_of_an_incoming_migration_is_refused(void **state)
{
	(void)state;
	assert_non_null(begin_incoming("0123abcd", "web1", "web1"));
	assert_int_equal(request("web1", REQUEST_CANCEL), -1);
	assert_refused("0123abcd comes from hostb", "ask there");
}

static void the_modes_have_names(void **state)
{
	static const char *const names[] = {"precopy", "postcopy", "hybrid"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		enum migration_mode mode;

		assert_int_equal(migration_mode_parse(names[i], &mode, &fixture.err), 0);
		assert_string_equal(migration_mode_name(mode), names[i]);
	}
}

static void an_unknown_mode_is_refused(void **state)
{
	enum migration_mode mode;

	(void)state;
	assert_int_equal(migration_mode_parse("live", &mode, &fixture.err), -1);
	assert_refused("mode 'live'", "precopy, postcopy and hybrid");
}

static void the_policies_are_understood(void **state)
{
	struct switch_policy policy;

	(void)state;
	assert_int_equal(switch_policy_parse("auto", &policy, &fixture.err), 0);
	assert_int_equal(policy.when, SWITCH_AUTO);
	assert_int_equal(switch_policy_parse("pass:3", &policy, &fixture.err), 0);
	assert_int_equal(policy.when, SWITCH_PASS);
	assert_int_equal(policy.pass_count, 3);
	assert_int_equal(switch_policy_parse("after:30s", &policy, &fixture.err), 0);
	assert_int_equal(policy.when, SWITCH_AFTER);
	assert_int_equal(policy.after_ms, 30000);
}

static void an_unknown_policy_is_refused(void **state)
{
	struct switch_policy policy;

	(void)state;
	assert_int_equal(switch_policy_parse("later", &policy, &fixture.err), -1);
	assert_refused("switch 'later'", "auto, pass:N or after:DURATION");
}

static void a_policy_of_no_pass_is_refused(void **state)
{
	struct switch_policy policy;

	(void)state;
	assert_int_equal(switch_policy_parse("pass:0", &policy, &fixture.err), -1);
	assert_refused("switch", "from 1 to");
}

static void a_policy_of_no_time_is_refused(void **state)
{
	struct switch_policy policy;

	(void)state;
	assert_int_equal(switch_policy_parse("after:soon", &policy, &fixture.err), -1);
	assert_refused("switch", "30s");
}

static void the_tunnels_figures_are_listed(void **state)
{
	struct tunnel_figures tunnel = {.links_lost = 2,
		.replayed_bytes = 4711,
		.linkless_ms = 3,
		.linkless_total_ms = 4210};

	(void)state;
	migration_set_tunnel(begin("web1"), &tunnel);
	assert_int_equal(listed_number("links_lost"), 2);
	assert_int_equal(listed_number("replayed_bytes"), 4711);
	assert_int_equal(listed_number("linkless_ms"), 3);
	assert_int_equal(listed_number("linkless_total_ms"), 4210);
}

static void how_it_came_to_its_end_is_known_with_whether_the_guest_runs(void **state)
{
	struct migration_plan plan = outgoing_plan("vm");
	struct migration_outcome outcome = {
		.phase = PHASE_COMPLETED, .guest = GUEST_DESTINATION, .running = true};
	struct migration_outcome found = {0};

	(void)state;
	plan.incoming = true;
	for (int running = 0; running < 2; running++) {
		struct migration *migration =
			migrations_begin(fixture.migrations, &plan, &fixture.err);

		assert_false(migrations_find_ended(fixture.migrations, plan.id, "hostb", &found));
		outcome.running = running;
		migration_end(migration, &outcome);
		assert_true(migrations_find_ended(fixture.migrations, plan.id, "hostb", &found));
		assert_int_equal(found.phase, PHASE_COMPLETED);
		assert_int_equal(found.guest, GUEST_DESTINATION);
		assert_int_equal(found.running, running);
	}
	assert_false(migrations_find_ended(fixture.migrations, plan.id, "hostc", &found));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_migration_gets_an_id),
		TEST(a_second_migration_of_the_same_vm_is_refused),
		TEST(a_source_s_word_keeps_no_guest_from_moving),
		TEST(a_vm_that_arrives_is_not_sent_on),
		TEST(the_name_at_this_host_counts),
		TEST(an_id_that_runs_already_is_refused),
		TEST(a_vm_may_be_migrated_again_after_the_end),
		TEST(too_many_at_once_are_refused),
		TEST(those_that_run_are_counted),
		TEST(the_oldest_that_ended_are_forgotten),
		TEST(the_first_look_shows_a_migration),
		TEST(nothing_new_is_nothing),
		TEST(a_change_is_seen_once),
		TEST(figures_are_shown_as_they_were_set),
		TEST(the_end_is_the_last_change),
		TEST(an_unknown_name_is_refused),
		TEST(a_name_means_the_newest_migration),
		TEST(a_follower_is_woken_by_a_change),
		TEST(a_request_reaches_the_leader_once),
		TEST(a_request_by_id_is_taken),
		TEST(a_request_of_what_is_unknown_is_refused),
		TEST(a_cancel_in_precopy_is_taken),
		TEST(a_cancel_in_postcopy_is_refused_saying_why),
		TEST(a_cancel_while_paused_is_refused),
		TEST(a_switch_of_a_precopy_is_refused),
		TEST(a_switch_after_the_switch_is_refused),
		TEST(a_request_after_the_end_is_refused),
		TEST(a_request_of_an_incoming_migration_is_refused),
		TEST(the_modes_have_names),
		TEST(an_unknown_mode_is_refused),
		TEST(the_policies_are_understood),
		TEST(an_unknown_policy_is_refused),
		TEST(a_policy_of_no_pass_is_refused),
		TEST(a_policy_of_no_time_is_refused),
		TEST(the_tunnels_figures_are_listed),
		TEST(how_it_came_to_its_end_is_known_with_whether_the_guest_runs),
		TEST(a_limit_is_listed_and_changed_while_it_runs),
		TEST(its_class_follows_its_phase),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
