/* How much of the time a thread wanted a processor.
 *
 * Threads: initialised on the thread that it is about.
 */
#ifndef CULVERT_IO_PROCESSOR_H
#define CULVERT_IO_PROCESSOR_H

#include <stdint.h>

struct processor {
	int fd;
};

/** Of the thread that calls it */
void processor_init(struct processor *processor);
void processor_fini(struct processor *processor);

/** Microseconds since the thread began, in which it ran, or waited until it might; always 0 where
 * the kernel does not tell (schedstat, see proc(5)) */
uint64_t processor_wanted_us(struct processor *processor);

#endif
