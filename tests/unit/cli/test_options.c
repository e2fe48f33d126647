#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/options.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])) - 1)

static void the_socket_may_stand_before_and_after_the_command(void **state)
{
	char *before[] = {"culvert", "--socket", "/a", "status", NULL};
	char *after[] = {"status", "web1", "--socket=/b", NULL};
	struct options options;
	struct error err;

	(void)state;
	assert_int_equal(options_read_global(&options, COUNT(before), before, &err), 3);
	assert_string_equal(options.socket_path, "/a");
	assert_int_equal(options_read_command(&options, COUNT(after), after, 0, &err), 0);
	assert_string_equal(options.socket_path, "/b");
	assert_int_equal(options.operand_count, 1);
	assert_string_equal(options.operands[0], "web1");
}

static void options_and_operands_mix(void **state)
{
	char *line[] = {
		"migrate", "--mode", "precopy", "web1", "--json", "hostb", "--detach", NULL};
	struct options options = {0};
	struct error err;

	(void)state;
	assert_int_equal(options_read_command(&options, COUNT(line), line,
				 OPTION_MODE | OPTION_JSON | OPTION_DETACH, &err),
		0);
	assert_string_equal(options.mode, "precopy");
	assert_true(options.json);
	assert_true(options.detach);
	assert_false(options.quit_source);
	assert_int_equal(options.operand_count, 2);
	assert_string_equal(options.operands[1], "hostb");
}

static void what_stands_after_two_dashes_is_an_operand(void **state)
{
	char *line[] = {"status", "--", "--json", NULL};
	struct options options = {0};
	struct error err;

	(void)state;
	assert_int_equal(options_read_command(&options, COUNT(line), line, OPTION_JSON, &err), 0);
	assert_false(options.json);
	assert_string_equal(options.operands[0], "--json");
}

static void refused(char **line, int count, unsigned allowed, const char *expected)
{
	struct options options = {0};
	struct error err;

	assert_int_equal(options_read_command(&options, count, line, allowed, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_string_equal(err.message, expected);
}

static void an_option_of_another_command_is_unknown(void **state)
{
	char *line[] = {"status", "--mode", "hybrid", NULL};

	(void)state;
	refused(line, COUNT(line), OPTION_JSON, "unknown option '--mode'");
}

static void an_unknown_short_option_is_named(void **state)
{
	char *line[] = {"status", "--json", "-xy", NULL};

	(void)state;
	refused(line, COUNT(line), OPTION_JSON, "unknown option '-x'");
}

static void a_missing_value_is_named(void **state)
{
	char *line[] = {"migrate", "--mode", NULL};

	(void)state;
	refused(line, COUNT(line), OPTION_MODE, "option '--mode' needs a value");
}

static void a_time_and_channels_have_their_limits(void **state)
{
	char *good[] = {"bench", "hostb", "--time", "60", "--channels", "16", NULL};
	char *longer[] = {"bench", "--time", "61", NULL};
	char *none[] = {"bench", "--channels", "0", NULL};
	unsigned allowed = OPTION_TIME | OPTION_CHANNELS;
	struct options options = {0};
	struct error err;

	(void)state;
	assert_int_equal(options_read_command(&options, COUNT(good), good, allowed, &err), 0);
	assert_int_equal(options.time_s, 60);
	assert_int_equal(options.channels, 16);
	refused(longer, COUNT(longer), allowed, "--time: '61' is not a number from 1 to 60");
	refused(none, COUNT(none), allowed, "--channels: '0' is not a number from 1 to 16");
}

static void options_of_libvirt_are_read(void **state)
{
	char *line[] = {"migrate", "web1", "hostb", "--persistent", "--undefine-source",
		"--copy-storage", "inc", "--parallel=255", "--compressed", "--auto-converge",
		"--connect", "qemu:///session", NULL};
	char *many[] = {"migrate", "--parallel", "256", NULL};
	struct options options = {0};
	struct error err;

	(void)state;
	assert_int_equal(options_read_command(&options, COUNT(line), line,
				 OPTION_PERSISTENT | OPTION_UNDEFINE_SOURCE | OPTION_COPY_STORAGE |
					 OPTION_PARALLEL | OPTION_COMPRESSED |
					 OPTION_AUTO_CONVERGE | OPTION_CONNECT,
				 &err),
		0);
	assert_true(options.persistent);
	assert_true(options.undefine_source);
	assert_true(options.compressed);
	assert_true(options.auto_converge);
	assert_string_equal(options.copy_storage, "inc");
	assert_string_equal(options.connect, "qemu:///session");
	assert_int_equal(options.parallel, 255);
	assert_int_equal(options.operand_count, 2);
	refused(many, COUNT(many), OPTION_PARALLEL,
		"--parallel: '256' is not a number from 1 to 255");
}

static void disks_and_preempt_take_no_value(void **state)
{
	char *line[] = {"migrate", "web1", "hostb", "--disks", "--preempt", NULL};
	char *valued[] = {"migrate", "--disks=one", NULL};
	struct options options = {0};
	struct error err;

	(void)state;
	assert_int_equal(options_read_command(
				 &options, COUNT(line), line, OPTION_DISKS | OPTION_PREEMPT, &err),
		0);
	assert_true(options.disks && options.preempt);
	refused(valued, COUNT(valued), OPTION_DISKS, "unknown option '--disks=one'");
}

static void a_count_is_a_number(void **state)
{
	char *line[] = {"ping", "--count", "many", NULL};

	(void)state;
	refused(line, COUNT(line), OPTION_COUNT, "--count: 'many' is not a number from 1 to 1000");
}

static void a_command_to_type_names_the_socket_only_where_needed(void **state)
{
	char text[100];

	(void)state;
	options_command(&(struct options){.socket_path = "/run/culvert/control.sock"}, "watch",
		"3fa91c02", text, sizeof(text));
	assert_string_equal(text, "culvert watch 3fa91c02");
	options_command(
		&(struct options){.socket_path = "/s"}, "watch", "3fa91c02", text, sizeof(text));
	assert_string_equal(text, "culvert --socket /s watch 3fa91c02");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_socket_may_stand_before_and_after_the_command),
		cmocka_unit_test(options_and_operands_mix),
		cmocka_unit_test(what_stands_after_two_dashes_is_an_operand),
		cmocka_unit_test(an_option_of_another_command_is_unknown),
		cmocka_unit_test(an_unknown_short_option_is_named),
		cmocka_unit_test(a_missing_value_is_named),
		cmocka_unit_test(a_time_and_channels_have_their_limits),
		cmocka_unit_test(options_of_libvirt_are_read),
		cmocka_unit_test(disks_and_preempt_take_no_value),
		cmocka_unit_test(a_count_is_a_number),
		cmocka_unit_test(a_command_to_type_names_the_socket_only_where_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
