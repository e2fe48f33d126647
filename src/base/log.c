#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static atomic_int highest = LOG_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&highest, (int)level);
}

static void write_line(
	enum log_level level, const char *event, const char *format, va_list arguments)
{
	char line[2048];
	int length;

	if ((int)level > atomic_load(&highest))
		return;
	length = snprintf(line, sizeof(line) - 1, "<%d>event=%s ", (int)level, event);
	vsnprintf(line + length, sizeof(line) - 1 - (size_t)length, format, arguments);
	length = (int)strlen(line);
	while (length > 0 && line[length - 1] == ' ')
		length--;
	for (int i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)line[i];

		if (byte < 0x20 || byte == 0x7f)
			line[i] = '?';
	}
	line[length++] = '\n';
	/* One write, so that lines of different threads never mix. A log that cannot be written
	 * must not stop a migration. */
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_line(level, event, format, arguments);
	va_end(arguments);
}

/* How often an event was written of late */
struct limit {
	const char *event; /* NULL: of no event yet */
	uint64_t written;  /* of LOG_LIMITED_COUNT; one less each LOG_LIMITED_MS */
	uint64_t since_ms; /* when it was made less last */
	uint64_t suppressed;
};

/* Those of more events than there are places share the last one. */
static struct limit *find_limit(const char *event)
{
	static struct limit limits[32];
	struct limit *limit = limits;
	const struct limit *last = limits + sizeof(limits) / sizeof(limits[0]) - 1;

	while (limit < last && limit->event && strcmp(limit->event, event) != 0)
		limit++;
	limit->event = event;
	return limit;
}

static void forget_old(struct limit *limit, uint64_t now_ms)
{
	uint64_t turns = (now_ms - limit->since_ms) / LOG_LIMITED_MS;

	limit->since_ms += turns * LOG_LIMITED_MS;
	limit->written -= turns < limit->written ? turns : limit->written;
}

/* @returns whether a limited line may be written now; *@left_out: how many were not, to be told */
static bool take_turn(const char *event, uint64_t *left_out)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint64_t now_ms = clock_now_ms();
	struct limit *limit;
	bool allowed;

	*left_out = 0;
	pthread_mutex_lock(&lock);
	limit = find_limit(event);
	forget_old(limit, now_ms);
	allowed = limit->written < LOG_LIMITED_COUNT;
	if (allowed) {
		*left_out = limit->suppressed;
		limit->suppressed = 0;
		limit->written += *left_out > 0 ? 2 : 1;
	} else {
		limit->suppressed++;
	}
	pthread_mutex_unlock(&lock);
	return allowed;
}

void log_event_limited(enum log_level level, const char *event, const char *format, ...)
{
	uint64_t left_out;
	va_list arguments;

	if (!take_turn(event, &left_out))
		return;
	if (left_out > 0)
		log_event(LOG_WARNING, "log.suppressed", "of=%s lines=%llu", event,
			(unsigned long long)left_out);
	va_start(arguments, format);
	write_line(level, event, format, arguments);
	va_end(arguments);
}
