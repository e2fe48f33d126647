#include "io/processor.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/descriptor.h"

/* "running waiting slices", both times in nanoseconds */
#define SCHEDSTAT "/proc/thread-self/schedstat"

void processor_init(struct processor *processor)
{
	processor->fd = open(SCHEDSTAT, O_RDONLY | O_CLOEXEC);
}

void processor_fini(struct processor *processor)
{
	fd_close(&processor->fd);
}

uint64_t processor_wanted_us(struct processor *processor)
{
	char text[80];
	uint64_t running_ns;
	uint64_t waiting_ns;
	ssize_t length;

	length = pread(processor->fd, text, sizeof(text) - 1, 0);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	if (sscanf(text, "%" SCNu64 " %" SCNu64, &running_ns, &waiting_ns) != 2)
		return 0;
	return (running_ns + waiting_ns) / 1000;
}
