#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[ERROR_NONE] = "NONE",
	[ERROR_USAGE] = "USAGE",
	[ERROR_LOCAL] = "LOCAL",
	[ERROR_LINK] = "LINK",
	[ERROR_PEER] = "PEER",
	[ERROR_IDENTITY] = "IDENTITY",
	[ERROR_HYPERVISOR] = "HYPERVISOR",
	[ERROR_CANCELLED] = "CANCELLED",
	[ERROR_GUEST] = "GUEST",
};

int error_set(struct error *err, enum error_code code, const char *format, ...)
{
	va_list arguments;

	err->code = code;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	return -1;
}

int error_errno(struct error *err, const char *format, ...)
{
	int saved = errno;
	char text[ERROR_MESSAGE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	error_set(err, ERROR_LOCAL, "%s: %s", text, strerror(saved));
	errno = saved;
	return -1;
}

int error_prefix(struct error *err, const char *format, ...)
{
	char old[ERROR_MESSAGE_BYTES];
	char text[ERROR_MESSAGE_BYTES];
	va_list arguments;

	memcpy(old, err->message, sizeof(old));
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return error_set(err, err->code, "%s: %s", text, old);
}

const char *error_code_name(enum error_code code)
{
	return names[code];
}

enum error_code error_code_find(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0)
			return (enum error_code)i;
	}
	return ERROR_LOCAL;
}
