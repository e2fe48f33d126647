#include "fail.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The sanitizers call it before they end the program. */
void __asan_on_error(void);

static uint64_t running;

static void print_seed(void)
{
	fprintf(stderr, "sim: failed: see it again with: sim --seed %llu\n",
		(unsigned long long)running);
}

void __asan_on_error(void)
{
	print_seed();
}

static void on_abort(int number)
{
	(void)number;
	print_seed();
}

void fail_watch(uint64_t seed)
{
	running = seed;
	signal(SIGABRT, on_abort);
}

void fail(uint64_t now_ms, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "sim: at %llu ms: ", (unsigned long long)now_ms);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	print_seed();
	exit(1);
}
