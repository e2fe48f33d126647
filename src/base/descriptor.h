/* Cleanup of locals when they go out of scope, and handing them over. */
#ifndef CULVERT_BASE_DESCRIPTOR_H
#define CULVERT_BASE_DESCRIPTOR_H

#include <stdlib.h>
#include <unistd.h>

static inline void descriptor_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void memory_cleanup(void *pointer)
{
	free(*(void **)pointer);
}

#define CLEANUP_FD   __attribute__((cleanup(descriptor_cleanup)))
#define CLEANUP_FREE __attribute__((cleanup(memory_cleanup)))

/** Hand a descriptor over: the local no longer closes it */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/** Close a descriptor now, once */
static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		close(fd_take(fd));
}

#endif
