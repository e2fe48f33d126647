#include "hypervisor/libvirt_connection.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A libvirt that says nothing for so long is given up: on a new connection, and on one that is
 * asked every KEEPALIVE_S seconds. */
#define OPEN_S          8
#define KEEPALIVE_S     2
#define KEEPALIVE_COUNT 3
/* Of threads that were left behind, each for a libvirt that has not answered yet */
#define LEFT_MOST 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static unsigned left_count;

/* Shared by who waits and by the thread that opens; the last of them frees it. */
struct attempt {
	char *uri;
	virConnectPtr connection;
	struct error failure;
	bool done;
	bool left; /* nobody waits any more */
};

/* libvirt would print what it answers on standard error. */
static void keep_quiet(void *unused, virErrorPtr error)
{
	(void)unused;
	(void)error;
}

/* Keepalive wants a loop of libvirt's own. */
static void *run_events(void *unused)
{
	(void)unused;
	while (virEventRunDefaultImpl() == 0)
		;
	return NULL;
}

static void set_up(void)
{
	pthread_t thread;

	(void)virInitialize();
	virSetErrorFunc(NULL, keep_quiet);
	if (virEventRegisterDefaultImpl() == 0 &&
		pthread_create(&thread, NULL, run_events, NULL) == 0)
		pthread_detach(thread);
}

int libvirt_connection_fail(struct error *err, enum error_code code, const char *what)
{
	const char *words = virGetLastErrorMessage();

	return error_set(err, code, "%s: %s", what, words ? words : "libvirt does not say why");
}

static void attempt_free(struct attempt *attempt)
{
	free(attempt->uri);
	free(attempt);
}

/* On a thread of its own: nothing bounds virConnectOpen() where somebody accepts, and is silent. */
static void *open_there(void *argument)
{
	struct attempt *attempt = argument;
	virConnectPtr connection = virConnectOpen(attempt->uri);
	bool left;

	if (!connection)
		libvirt_connection_fail(&attempt->failure, ERROR_LOCAL, "cannot reach libvirt");
	pthread_mutex_lock(&lock);
	attempt->connection = connection;
	attempt->done = true;
	left = attempt->left;
	if (left)
		left_count--;
	pthread_cond_broadcast(&opened);
	pthread_mutex_unlock(&lock);
	if (!left)
		return NULL;
	if (connection)
		virConnectClose(connection);
	attempt_free(attempt);
	return NULL;
}

/* @returns whether it is done; otherwise it is left to its thread */
static bool wait_for(struct attempt *attempt)
{
	struct timespec until;
	bool done;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += OPEN_S;
	pthread_mutex_lock(&lock);
	while (!attempt->done &&
		pthread_cond_clockwait(&opened, &lock, CLOCK_MONOTONIC, &until) == 0)
		;
	done = attempt->done;
	if (!done) {
		attempt->left = true;
		left_count++;
	}
	pthread_mutex_unlock(&lock);
	return done;
}

static bool too_many_left(void)
{
	bool many;

	pthread_mutex_lock(&lock);
	many = left_count >= LEFT_MOST;
	pthread_mutex_unlock(&lock);
	return many;
}

static int begin(struct attempt *attempt)
{
	pthread_t thread;
	int code = pthread_create(&thread, NULL, open_there, attempt);

	if (code == 0)
		pthread_detach(thread);
	return code;
}

static int fail_silent(struct error *err)
{
	return error_set(err, ERROR_LOCAL,
		"cannot reach libvirt: it takes connections, and did not answer within %d s",
		OPEN_S);
}

static struct attempt *attempt_new(const char *uri)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));

	if (!attempt)
		return NULL;
	attempt->uri = strdup(uri);
	if (attempt->uri)
		return attempt;
	free(attempt);
	return NULL;
}

virConnectPtr libvirt_connection_open_patient(const char *uri, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct attempt *attempt;
	virConnectPtr connection;

	pthread_once(&once, set_up);
	if (too_many_left()) {
		fail_silent(err);
		return NULL;
	}
	attempt = attempt_new(uri);
	if (!attempt || begin(attempt) != 0) {
		if (attempt)
			attempt_free(attempt);
		error_set(err, ERROR_LOCAL, "cannot start a thread");
		return NULL;
	}
	if (!wait_for(attempt)) {
		fail_silent(err);
		return NULL;
	}
	connection = attempt->connection;
	if (!connection)
		*err = attempt->failure;
	attempt_free(attempt);
	return connection;
}

virConnectPtr libvirt_connection_open(const char *uri, struct error *err)
{
	virConnectPtr connection = libvirt_connection_open_patient(uri, err);

	if (connection)
		(void)virConnectSetKeepAlive(connection, KEEPALIVE_S, KEEPALIVE_COUNT);
	return connection;
}
