#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/verdict.h"

static const struct options options = {.socket_path = "/run/culvert/control.sock"};

static const struct snapshot completed = {
	.vm = "web1",
	.destination_vm = "web1",
	.host = "hostb",
	.mode = "hybrid",
	.phase = PHASE_COMPLETED,
	.phase_name = "completed",
	.guest = GUEST_DESTINATION,
	.ended = true,
	.pass = 2,
	.ram_total_bytes = 512ull << 20,
	.ram_transferred_bytes = 640ull << 20,
	.page_requests = 143,
	.downtime_ms = 23,
	.setup_ms = 12,
	.total_ms = 4210,
	.tunnel_to_peer_bytes = 641ull << 20,
	.tunnel_to_local_bytes = 9000,
};

static char *verdict(const struct snapshot *snapshot, bool colour)
{
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	verdict_print(file, snapshot, "hosta", &options, colour);
	fclose(file);
	return text;
}

static void success_says_where_the_guest_runs_and_what_it_cost(void **state)
{
	char *text = verdict(&completed, false);

	(void)state;
	assert_string_equal(text,
		"web1 now runs on hostb\n"
		"  mode           hybrid\n"
		"  total          4.21 s, of it setup 12 ms\n"
		"  downtime       23 ms\n"
		"  memory sent    640 MiB in 2 passes, the guest has 512 MiB\n"
		"  page requests  143\n"
		"  tunnel         641 MiB to hostb, 8.8 KiB from it\n");
	free(text);
}

static void another_name_at_the_destination_is_told(void **state)
{
	struct snapshot snapshot = completed;
	char *text;

	(void)state;
	strcpy(snapshot.destination_vm, "web1-new");
	text = verdict(&snapshot, false);
	assert_non_null(strstr(text, "web1 now runs on hostb as web1-new\n"));
	free(text);
}

static void failure_says_that_the_guest_runs_on_and_how_to_begin_again(void **state)
{
	struct snapshot snapshot = {.vm = "web1",
		.host = "hostb",
		.phase = PHASE_FAILED,
		.phase_name = "failed",
		.guest = GUEST_SOURCE,
		.ram_total_bytes = 512ull << 20,
		.elapsed_ms = 900};
	char *text = verdict(&snapshot, false);

	(void)state;
	assert_string_equal(text,
		"failed: web1 runs on hosta\n"
		"  total          900 ms\n"
		"  what to do     mend the cause, then begin again: culvert migrate "
		"web1 hostb\n");
	free(text);
}

static void failure_before_memory_moved_claims_nothing_of_the_guest(void **state)
{
	struct snapshot snapshot = {.vm = "web1",
		.host = "hostb",
		.phase = PHASE_FAILED,
		.phase_name = "failed",
		.guest = GUEST_SOURCE};
	char *text = verdict(&snapshot, false);

	(void)state;
	assert_non_null(
		strstr(text, "failed: nothing was moved: web1 was left as it was on hosta\n"));
	assert_null(strstr(text, "runs on"));
	free(text);
}

static void advice_is_given_where_there_is_any(void **state)
{
	struct snapshot snapshot = {.vm = "web1",
		.host = "hostb",
		.phase = PHASE_LOST,
		.phase_name = "lost",
		.guest = GUEST_NOWHERE,
		.advice = "restore it from its last backup"};
	char *text = verdict(&snapshot, false);

	(void)state;
	assert_non_null(strstr(text, "lost: web1 runs on neither host\n"));
	assert_non_null(strstr(text, "what to do     restore it from its last backup\n"));
	free(text);
}

static void there_is_no_control_code_without_colour(void **state)
{
	char *plain = verdict(&completed, false);
	char *coloured = verdict(&completed, true);

	(void)state;
	assert_null(strchr(plain, '\033'));
	assert_non_null(strstr(coloured, "\033[32mweb1 now runs on hostb\033[0m\n"));
	free(plain);
	free(coloured);
}

static void lost_links_are_told_with_what_was_sent_again(void **state)
{
	struct snapshot snapshot = {.vm = "web1",
		.host = "hostb",
		.phase = PHASE_COMPLETED,
		.guest = GUEST_DESTINATION,
		.links_lost = 2,
		.linkless_total_ms = 4210,
		.replayed_bytes = 3 << 20};
	char *text = verdict(&snapshot, false);

	(void)state;
	assert_non_null(
		strstr(text, "  links lost     2, 4.21 s without one, 3.0 MiB sent again\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lost_links_are_told_with_what_was_sent_again),
		cmocka_unit_test(success_says_where_the_guest_runs_and_what_it_cost),
		cmocka_unit_test(another_name_at_the_destination_is_told),
		cmocka_unit_test(failure_says_that_the_guest_runs_on_and_how_to_begin_again),
		cmocka_unit_test(failure_before_memory_moved_claims_nothing_of_the_guest),
		cmocka_unit_test(advice_is_given_where_there_is_any),
		cmocka_unit_test(there_is_no_control_code_without_colour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
