#include "daemon/conversation.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define CONVERSATIONS_MOST 1024

struct start {
	void (*talk)(void *argument);
	void *argument;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static unsigned running;

static void count_down(void)
{
	pthread_mutex_lock(&lock);
	running--;
	pthread_cond_broadcast(&ended);
	pthread_mutex_unlock(&lock);
}

static void *run(void *argument)
{
	struct start start = *(struct start *)argument;

	free(argument);
	start.talk(start.argument);
	count_down();
	return NULL;
}

static bool count_up(void)
{
	bool room;

	pthread_mutex_lock(&lock);
	room = running < CONVERSATIONS_MOST;
	if (room)
		running++;
	pthread_mutex_unlock(&lock);
	return room;
}

int conversation_start(void (*talk)(void *argument), void *argument, struct error *err)
{
	struct start *start = malloc(sizeof(*start));
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	int code;

	if (!start || !count_up()) {
		free(start);
		return error_set(err, ERROR_LOCAL, "too many conversations at once");
	}
	*start = (struct start){.talk = talk, .argument = argument};
	/* Signals are the main loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&thread, NULL, run, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code != 0) {
		count_down();
		free(start);
		return error_set(err, ERROR_LOCAL, "cannot start a thread");
	}
	pthread_detach(thread);
	return 0;
}

bool conversations_wait(unsigned timeout_ms)
{
	struct timespec until;
	bool all;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&lock);
	while (running > 0 && pthread_cond_clockwait(&ended, &lock, CLOCK_MONOTONIC, &until) == 0)
		;
	all = running == 0;
	pthread_mutex_unlock(&lock);
	return all;
}
