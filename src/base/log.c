#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int highest = LOG_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&highest, (int)level);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	char line[2048];
	va_list arguments;
	int length;

	if ((int)level > atomic_load(&highest))
		return;
	length = snprintf(line, sizeof(line) - 1, "<%d>event=%s ", (int)level, event);
	va_start(arguments, format);
	vsnprintf(line + length, sizeof(line) - 1 - (size_t)length, format, arguments);
	va_end(arguments);
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
