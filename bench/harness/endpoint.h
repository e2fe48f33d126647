/* The two ends of a channel: where the source's hypervisor would connect to, and where the
 * destination's would listen. Blocking, and a failure ends the program. */
#ifndef CULVERT_BENCH_ENDPOINT_H
#define CULVERT_BENCH_ENDPOINT_H

#include <stddef.h>
#include <sys/uio.h>

/* @address "unix:PATH" or "tcp:IP:PORT"; @name_space a file to enter for the socket, or NULL */
int endpoint_listen(const char *address, const char *name_space);
int endpoint_connect(const char *address, const char *name_space);
int endpoint_accept(int listener);

void endpoint_write(int fd, const void *data, size_t length);
void endpoint_write_pieces(int fd, struct iovec *pieces, size_t count);

/** At least one byte. @returns 0 at the end of the stream */
size_t endpoint_read_some(int fd, void *data, size_t size);

/** All of @length. @returns whether the stream did not end before the first of them */
int endpoint_read(int fd, void *data, size_t length);

#endif
