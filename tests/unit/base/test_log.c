/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define LINE_BYTES 16384

struct capture {
	int saved;
	int pipe[2];
};

static void start_capture(struct capture *capture)
{
	assert_int_equal(pipe(capture->pipe), 0);
	capture->saved = dup(STDERR_FILENO);
	dup2(capture->pipe[1], STDERR_FILENO);
}

/* What was written to stderr since start_capture() */
static void finish_capture(struct capture *capture, char text[LINE_BYTES])
{
	ssize_t length;

	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	close(capture->pipe[1]);
	length = read(capture->pipe[0], text, LINE_BYTES - 1);
	close(capture->pipe[0]);
	text[length > 0 ? length : 0] = '\0';
}

static void a_line_has_a_priority_an_event_and_pairs(void **state)
{
	struct capture capture;
	char text[LINE_BYTES];

	(void)state;
	start_capture(&capture);
	log_event(LOG_INFO, "link.up", "peer=%s channel=%s", "hostb", "1f2e");
	finish_capture(&capture, text);
	assert_string_equal(text, "<6>event=link.up peer=hostb channel=1f2e\n");
}

static void an_event_without_pairs_ends_without_a_space(void **state)
{
	struct capture capture;
	char text[LINE_BYTES];

	(void)state;
	start_capture(&capture);
	log_event(LOG_ERROR, "daemon.stopped", "%s", "");
	finish_capture(&capture, text);
	assert_string_equal(text, "<3>event=daemon.stopped\n");
}

static void control_characters_never_forge_a_line(void **state)
{
	struct capture capture;
	char text[LINE_BYTES];

	(void)state;
	start_capture(&capture);
	log_event(LOG_WARNING, "link.down", "reason=\"%s\"",
		"x\n<0>event=forged\r\033[2J\t\177\001y");
	finish_capture(&capture, text);
	assert_string_equal(text, "<4>event=link.down reason=\"x?<0>event=forged??[2J???y\"\n");
}

static void a_line_that_is_too_long_is_cut_and_still_ends(void **state)
{
	struct capture capture;
	char text[LINE_BYTES];
	char much[3000];

	(void)state;
	memset(much, 'x', sizeof(much));
	much[sizeof(much) - 1] = '\0';
	start_capture(&capture);
	log_event(LOG_INFO, "much", "value=%s", much);
	finish_capture(&capture, text);
	assert_in_range(strlen(text), 1000, 2048);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void what_is_less_urgent_than_the_level_is_not_written(void **state)
{
	struct capture capture;
	char text[LINE_BYTES];

	(void)state;
	start_capture(&capture);
	log_event(LOG_DEBUG, "quiet", "%s", "");
	log_set_level(LOG_DEBUG);
	log_event(LOG_DEBUG, "heard", "%s", "");
	log_set_level(LOG_INFO);
	finish_capture(&capture, text);
	assert_string_equal(text, "<7>event=heard\n");
}

static size_t count_lines(const char *text)
{
	size_t lines = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		lines++;
		text++;
	}
	return lines;
}

static void a_flood_of_one_event_is_limited_and_hides_no_other(void **state)
{
	struct capture capture;
	char text[LINE_BYTES];

	(void)state;
	start_capture(&capture);
	for (int i = 0; i < 10 * LOG_LIMITED_COUNT; i++)
		log_event_limited(LOG_INFO, "flood", "%s", "");
	log_event_limited(LOG_INFO, "alone", "%s", "");
	finish_capture(&capture, text);
	/* On a slow machine one or two more */
	assert_in_range(count_lines(text), LOG_LIMITED_COUNT + 1, LOG_LIMITED_COUNT + 5);
	assert_non_null(strstr(text, "event=alone\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_a_priority_an_event_and_pairs),
		cmocka_unit_test(an_event_without_pairs_ends_without_a_space),
		cmocka_unit_test(control_characters_never_forge_a_line),
		cmocka_unit_test(a_line_that_is_too_long_is_cut_and_still_ends),
		cmocka_unit_test(what_is_less_urgent_than_the_level_is_not_written),
		cmocka_unit_test(a_flood_of_one_event_is_limited_and_hides_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
