/* The local program of a host: what it writes can be told from what its peer writes, at every
 * position, so that a lost, doubled or misplaced byte shows. */
#ifndef CULVERT_SIM_PROGRAM_H
#define CULVERT_SIM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct program {
	size_t host;
	uint64_t write_bytes; /* that it will write in all */
	uint64_t written;
	uint64_t read;
	bool eof_written;
	bool eof_read;
	bool gone;
	uint64_t blocked_ms; /* it reads nothing before */
	uint64_t quiet_ms;   /* it writes nothing before */
};

/** Write the next @length bytes to @bytes */
void program_write(struct program *program, unsigned char *bytes, size_t length);

/** @returns whether the next @length bytes are those that the peer's program wrote there */
bool program_read(struct program *program, const unsigned char *bytes, size_t length);

/** @returns whether these are the bytes that it wrote at @position */
bool program_wrote(const struct program *program, uint64_t position, const unsigned char *bytes,
	size_t length);

#endif
