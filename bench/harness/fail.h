/* The harness ends at the first thing that goes wrong: half a measurement is none. */
#ifndef CULVERT_BENCH_FAIL_H
#define CULVERT_BENCH_FAIL_H

/** One line of JSON on standard output, {"error": ...}, and exit code 1; from any thread */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
