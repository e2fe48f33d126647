#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cli/snapshot.h"

static json_t *whole(void)
{
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:i, s:I, s:I, s:f, s:n, s:n}", "id",
		"3fa91c02", "vm", "web1", "host", "hostb", "direction", "outgoing", "mode",
		"hybrid", "phase", "postcopy", "guest", "destination", "ended", 0, "status",
		"postcopy-active", "pass", 2, "ram_total_bytes", (json_int_t)1000,
		"ram_remaining_bytes", (json_int_t)250, "rate_bytes_per_s", 1.5e9, "error",
		"advice");
}

static void everything_that_is_said_is_read(void **state)
{
	struct snapshot snapshot;
	struct error err;
	json_t *object = whole();

	(void)state;
	assert_int_equal(snapshot_read(object, &snapshot, &err), 0);
	assert_string_equal(snapshot.id, "3fa91c02");
	assert_int_equal(snapshot.phase, PHASE_POSTCOPY);
	assert_int_equal(snapshot.guest, GUEST_DESTINATION);
	assert_int_equal(snapshot.pass, 2);
	assert_int_equal(snapshot.rate_bytes_per_s, 1500000000);
	assert_int_equal(snapshot.page_requests, 0);
	assert_int_equal(snapshot.failure.code, ERROR_NONE);
	assert_string_equal(snapshot.advice, "");
	assert_false(snapshot.ended);
	assert_int_equal(snapshot_percent(&snapshot), 75);
	json_decref(object);
}

static void while_disks_are_copied_the_progress_is_theirs(void **state)
{
	struct snapshot snapshot = {
		.phase = PHASE_DISKS, .disk_total_bytes = 1000, .disk_copied_bytes = 400};
	char text[100];

	(void)state;
	snapshot_phase_text(&snapshot, text, sizeof(text));
	assert_string_equal(text, "copying disks");
	assert_int_equal(snapshot_percent(&snapshot), 40);
	snapshot.phase = PHASE_PRECOPY; /* as libvirt's */
	snapshot_phase_text(&snapshot, text, sizeof(text));
	assert_string_equal(text, "copying disks");
	snapshot.ram_total_bytes = 100;
	snapshot.ram_remaining_bytes = 90;
	snapshot_phase_text(&snapshot, text, sizeof(text));
	assert_string_equal(text, "pre-copy");
	assert_int_equal(snapshot_percent(&snapshot), 10);
}

static void what_cannot_be_done_without_is_demanded(void **state)
{
	static const char *const keys[] = {"id", "vm", "host", "phase", "ended"};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct snapshot snapshot;
		struct error err;
		json_t *object = whole();

		json_object_del(object, keys[i]);
		assert_int_equal(snapshot_read(object, &snapshot, &err), -1);
		assert_int_equal(err.code, ERROR_LOCAL);
		assert_non_null(strstr(err.message, keys[i]));
		json_decref(object);
	}
}

static void what_is_no_object_is_refused(void **state)
{
	struct snapshot snapshot;
	struct error err;
	json_t *value = json_integer(3);

	(void)state;
	assert_int_equal(snapshot_read(value, &snapshot, &err), -1);
	json_decref(value);
}

static void an_unknown_phase_is_shown_as_it_is(void **state)
{
	struct snapshot snapshot;
	struct error err;
	char text[64];
	json_t *object = whole();

	(void)state;
	json_object_set_new(object, "phase", json_string("hovering"));
	assert_int_equal(snapshot_read(object, &snapshot, &err), 0);
	assert_int_equal(snapshot.phase, PHASE_OTHER);
	snapshot_phase_text(&snapshot, text, sizeof(text));
	assert_string_equal(text, "hovering");
	json_decref(object);
}

static void text_is_made_safe_to_print(void **state)
{
	struct snapshot snapshot;
	struct error err;
	json_t *object = whole();

	(void)state;
	json_object_set_new(object, "vm", json_string("we\033[2Jb"));
	json_object_set_new(object, "error",
		json_pack("{s:s, s:s}", "class", "PEER", "desc", "no\033]0;x\007"));
	assert_int_equal(snapshot_read(object, &snapshot, &err), 0);
	assert_string_equal(snapshot.vm, "we?[2Jb");
	assert_string_equal(snapshot.failure.message, "no?]0;x?");
	json_decref(object);
}

static void the_guests_host_depends_on_the_direction(void **state)
{
	struct snapshot snapshot = {.host = "other", .guest = GUEST_SOURCE};

	(void)state;
	assert_string_equal(snapshot_guest_host(&snapshot, "here"), "here");
	snapshot.incoming = true;
	assert_string_equal(snapshot_guest_host(&snapshot, "here"), "other");
	snapshot.guest = GUEST_DESTINATION;
	assert_string_equal(snapshot_guest_host(&snapshot, "here"), "here");
	snapshot.incoming = false;
	assert_string_equal(snapshot_guest_host(&snapshot, "here"), "other");
	snapshot.guest = GUEST_NOWHERE;
	assert_null(snapshot_guest_host(&snapshot, "here"));
}

static enum error_code outcome(
	enum migration_phase phase, enum guest_place guest, enum error_code failure)
{
	struct snapshot snapshot = {.phase = phase, .guest = guest, .failure.code = failure};
	struct error err;

	return snapshot_outcome(&snapshot, &err) == 0 ? ERROR_NONE : err.code;
}

static void a_guest_that_arrived_is_success(void **state)
{
	(void)state;
	assert_int_equal(outcome(PHASE_COMPLETED, GUEST_DESTINATION, ERROR_NONE), ERROR_NONE);
}

static void a_failure_keeps_its_class_while_the_guest_is_safe(void **state)
{
	(void)state;
	assert_int_equal(outcome(PHASE_FAILED, GUEST_SOURCE, ERROR_LINK), ERROR_LINK);
	assert_int_equal(outcome(PHASE_FAILED, GUEST_SOURCE, ERROR_NONE), ERROR_LOCAL);
	assert_int_equal(outcome(PHASE_CANCELLED, GUEST_SOURCE, ERROR_NONE), ERROR_CANCELLED);
}

static void a_guest_that_is_not_found_comes_before_every_class(void **state)
{
	(void)state;
	assert_int_equal(outcome(PHASE_LOST, GUEST_NOWHERE, ERROR_HYPERVISOR), ERROR_GUEST);
	assert_int_equal(outcome(PHASE_FAILED, GUEST_UNKNOWN, ERROR_LINK), ERROR_GUEST);
	assert_int_equal(outcome(PHASE_COMPLETED, GUEST_UNKNOWN, ERROR_NONE), ERROR_GUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_that_is_said_is_read),
		cmocka_unit_test(while_disks_are_copied_the_progress_is_theirs),
		cmocka_unit_test(what_cannot_be_done_without_is_demanded),
		cmocka_unit_test(what_is_no_object_is_refused),
		cmocka_unit_test(an_unknown_phase_is_shown_as_it_is),
		cmocka_unit_test(text_is_made_safe_to_print),
		cmocka_unit_test(the_guests_host_depends_on_the_direction),
		cmocka_unit_test(a_guest_that_arrived_is_success),
		cmocka_unit_test(a_failure_keeps_its_class_while_the_guest_is_safe),
		cmocka_unit_test(a_guest_that_is_not_found_comes_before_every_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
