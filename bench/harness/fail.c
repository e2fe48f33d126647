#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void fail(const char *format, ...)
{
	char text[300];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\' || *p == '\n')
			*p = '\'';
	}
	printf("{\"error\": \"%s\"}\n", text);
	fflush(stdout);
	_exit(1);
}
