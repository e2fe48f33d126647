#include "program.h"

#include <string.h>

#include "random.h"

/* A prime number of random bytes, over and over: no size in use divides it */
#define PATTERN_BYTES 65521

static const unsigned char *pattern(size_t host)
{
	static unsigned char patterns[2][PATTERN_BYTES];
	static bool drawn;
	struct random random = {.state = 1};

	for (size_t i = 0; !drawn && i < PATTERN_BYTES; i++) {
		patterns[0][i] = (unsigned char)random_next(&random);
		patterns[1][i] = (unsigned char)random_next(&random);
	}
	drawn = true;
	return patterns[host];
}

void program_write(struct program *program, unsigned char *bytes, size_t length)
{
	while (length > 0) {
		size_t at = (size_t)(program->written % PATTERN_BYTES);
		size_t part = PATTERN_BYTES - at < length ? PATTERN_BYTES - at : length;

		memcpy(bytes, pattern(program->host) + at, part);
		bytes += part;
		length -= part;
		program->written += part;
	}
}

static bool matches(size_t host, uint64_t position, const unsigned char *bytes, size_t length)
{
	while (length > 0) {
		size_t at = (size_t)(position % PATTERN_BYTES);
		size_t part = PATTERN_BYTES - at < length ? PATTERN_BYTES - at : length;

		if (memcmp(bytes, pattern(host) + at, part) != 0)
			return false;
		bytes += part;
		length -= part;
		position += part;
	}
	return true;
}

bool program_read(struct program *program, const unsigned char *bytes, size_t length)
{
	if (!matches(1 - program->host, program->read, bytes, length))
		return false;
	program->read += length;
	return true;
}

bool program_wrote(
	const struct program *program, uint64_t position, const unsigned char *bytes, size_t length)
{
	return matches(program->host, position, bytes, length);
}
