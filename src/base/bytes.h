/* Big-endian fields in a buffer. Errors stick: read or write every field, then look once. */
#ifndef CULVERT_BASE_BYTES_H
#define CULVERT_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes_reader {
	const unsigned char *next;
	size_t left;
	bool failed; /* something was read past the end, or did not fit its place */
};

struct bytes_writer {
	unsigned char *bytes;
	size_t size;
	size_t used;
	bool failed; /* something did not fit */
};

static inline uint64_t bytes_take_number(struct bytes_reader *reader, size_t width)
{
	uint64_t value = 0;

	if (reader->failed || reader->left < width) {
		reader->failed = true;
		return 0;
	}
	for (size_t i = 0; i < width; i++)
		value = value << 8 | reader->next[i];
	reader->next += width;
	reader->left -= width;
	return value;
}

static inline void bytes_take(struct bytes_reader *reader, void *bytes, size_t length)
{
	if (reader->failed || reader->left < length) {
		reader->failed = true;
		memset(bytes, 0, length);
		return;
	}
	memcpy(bytes, reader->next, length);
	reader->next += length;
	reader->left -= length;
}

/** A u8 length and so many bytes of printable ASCII, as a C string in @text */
static inline void bytes_take_text(struct bytes_reader *reader, char *text, size_t size)
{
	size_t length = (size_t)bytes_take_number(reader, 1);

	text[0] = '\0';
	if (length >= size)
		reader->failed = true;
	if (reader->failed)
		return;
	bytes_take(reader, text, length);
	text[length] = '\0';
	for (size_t i = 0; i < length; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e)
			reader->failed = true;
	}
}

static inline void bytes_put(struct bytes_writer *writer, const void *bytes, size_t length)
{
	if (writer->failed || writer->size - writer->used < length) {
		writer->failed = true;
		return;
	}
	memcpy(writer->bytes + writer->used, bytes, length);
	writer->used += length;
}

static inline void bytes_put_number(struct bytes_writer *writer, uint64_t value, size_t width)
{
	unsigned char bytes[8];

	for (size_t i = 0; i < width; i++)
		bytes[i] = (unsigned char)(value >> 8 * (width - 1 - i));
	bytes_put(writer, bytes, width);
}

/** As bytes_take_text(): at most 255 bytes */
static inline void bytes_put_text(struct bytes_writer *writer, const char *text)
{
	size_t length = strlen(text);

	if (length > 255)
		writer->failed = true;
	bytes_put_number(writer, length, 1);
	bytes_put(writer, text, length);
}

#endif
