/* The end of the simulation at the first thing that is wrong, with the seed that shows it. */
#ifndef CULVERT_SIM_FAIL_H
#define CULVERT_SIM_FAIL_H

#include <stdint.h>

/** The schedule that now runs: its seed is printed however the program ends */
void fail_watch(uint64_t seed);

_Noreturn void fail(uint64_t now_ms, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
