#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/client.h"

/* A daemon of one connection that reads nothing: it says its text at once, so that a client finds
 * greeting and answer there. */
struct fake {
	char directory[64];
	char path[96];
	const char *says;
	int listener;
	pthread_t thread;
};

static void *serve(void *argument)
{
	struct fake *fake = argument;
	int fd = accept(fake->listener, NULL, NULL);
	char rest[1024];

	if (write(fd, fake->says, strlen(fake->says)) < 0)
		abort();
	shutdown(fd, SHUT_WR);
	while (read(fd, rest, sizeof(rest)) > 0)
		continue;
	close(fd);
	return NULL;
}

static void fake_start(struct fake *fake, const char *says)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(fake->directory, "/tmp/test_client.XXXXXX");
	assert_non_null(mkdtemp(fake->directory));
	snprintf(fake->path, sizeof(fake->path), "%s/control.sock", fake->directory);
	strcpy(address.sun_path, fake->path);
	fake->says = says;
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fake->listener, 1), 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
}

static void fake_finish(struct fake *fake)
{
	pthread_join(fake->thread, NULL);
	close(fake->listener);
	unlink(fake->path);
	rmdir(fake->directory);
}

#define GREETING "{\"culvert\": {\"version\": \"0.1.0\", \"host\": \"hosta\"}}\n"

/* One call of `status` on a daemon that says greeting and @says */
static int call(const char *says, json_t **result, bool *lost, struct error *err)
{
	char text[1024];
	struct fake fake;
	struct client *client;
	int called;

	snprintf(text, sizeof(text), "%s%s", GREETING, says);
	fake_start(&fake, text);
	client = client_open(fake.path, err);
	assert_non_null(client);
	assert_string_equal(client_host(client), "hosta");
	called = client_call(client, "status", NULL, 5000, result, err);
	*lost = client_lost(client);
	client_free(client);
	fake_finish(&fake);
	return called;
}

static void a_return_is_taken(void **state)
{
	json_t *result;
	struct error err;
	bool lost;

	(void)state;
	assert_int_equal(call("{\"return\": {\"n\": 3}, \"id\": 1}\n", &result, &lost, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(result, "n")), 3);
	json_decref(result);
}

static void fails(const char *says, enum error_code code, const char *expected)
{
	json_t *result;
	struct error err;
	bool lost;

	assert_int_equal(call(says, &result, &lost, &err), -1);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.message, expected));
	assert_false(lost);
}

static void an_error_keeps_its_class(void **state)
{
	(void)state;
	fails("{\"error\": {\"class\": \"IDENTITY\", \"desc\": \"expired\"}, \"id\": 1}\n",
		ERROR_IDENTITY, "expired");
}

static void an_error_without_an_id_is_the_answer(void **state)
{
	(void)state;
	fails("{\"error\": {\"class\": \"USAGE\", \"desc\": \"what?\"}}\n", ERROR_USAGE, "what?");
}

static void the_answer_to_another_command_is_refused(void **state)
{
	(void)state;
	fails("{\"return\": {}, \"id\": 2}\n", ERROR_LOCAL, "not understood");
}

static void what_is_not_json_is_refused(void **state)
{
	(void)state;
	fails("hello\n", ERROR_LOCAL, "not understood");
}

static void the_end_of_the_daemon_is_told(void **state)
{
	json_t *result;
	struct error err;
	bool lost;

	(void)state;
	assert_int_equal(call("", &result, &lost, &err), -1);
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_true(lost);
}

static void another_program_is_not_greeted(void **state)
{
	struct fake fake;
	struct error err;

	(void)state;
	fake_start(&fake, "{\"QMP\": {\"version\": {}}}\n");
	assert_null(client_open(fake.path, &err));
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, "does not greet"));
	fake_finish(&fake);
}

static void events_of_other_names_are_skipped(void **state)
{
	struct fake fake;
	struct error err;
	struct client *client;
	json_t *data = NULL;
	int got = 0;

	(void)state;
	fake_start(&fake,
		GREETING "{\"event\": \"weather\", \"data\": 1}\n"
			 "{\"event\": \"migration\", \"data\": 2}\n");
	client = client_open(fake.path, &err);
	assert_non_null(client);
	for (int tries = 0; got == 0 && tries < 2; tries++)
		got = client_take_event(client, 5000, &data, &err);
	assert_int_equal(got, 1);
	assert_int_equal(json_integer_value(data), 2);
	json_decref(data);
	client_free(client);
	fake_finish(&fake);
}

static void an_absent_socket_is_explained(void **state)
{
	struct error err;

	(void)state;
	assert_null(client_open("/nonexistent/control.sock", &err));
	assert_int_equal(err.code, ERROR_LOCAL);
	assert_non_null(strstr(err.message, "start culvertd"));
}

static void a_path_that_is_too_long_is_usage(void **state)
{
	char path[200];
	struct error err;

	(void)state;
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_null(client_open(path, &err));
	assert_int_equal(err.code, ERROR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_return_is_taken),
		cmocka_unit_test(an_error_keeps_its_class),
		cmocka_unit_test(an_error_without_an_id_is_the_answer),
		cmocka_unit_test(the_answer_to_another_command_is_refused),
		cmocka_unit_test(what_is_not_json_is_refused),
		cmocka_unit_test(the_end_of_the_daemon_is_told),
		cmocka_unit_test(another_program_is_not_greeted),
		cmocka_unit_test(events_of_other_names_are_skipped),
		cmocka_unit_test(an_absent_socket_is_explained),
		cmocka_unit_test(a_path_that_is_too_long_is_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
