#include "reader.h"

#include <inttypes.h>
#include <string.h>

#include "fail.h"

static void check_page(struct reader *reader, const unsigned char *contents)
{
	uint64_t number = page_number(reader->header);

	if (!page_is_intact(contents, number))
		fail("page %" PRIu64 " is damaged", number);
	if (page_kind(reader->header) == PAGE_URGENT && reader->urgent)
		reader->urgent(number, reader->owner);
}

static void check_header(struct reader *reader)
{
	uint64_t number = page_number(reader->header);

	switch (page_kind(reader->header)) {
	case PAGE_BULK:
		if (number != reader->next)
			fail("page %" PRIu64 " came, %" PRIu64 " was due", number, reader->next);
		reader->next++;
		return;
	case PAGE_URGENT:
		return;
	case PAGE_END:
		if (number != reader->next)
			fail("the end after %" PRIu64 " pages, %" PRIu64 " came", number,
				reader->next);
		reader->ended = true;
		return;
	}
	fail("no header after page %" PRIu64, reader->next);
}

static size_t take_header(struct reader *reader, const unsigned char *data, size_t length)
{
	size_t count = PAGE_HEADER_BYTES - reader->have;

	if (count > length)
		count = length;
	memcpy((unsigned char *)&reader->header + reader->have, data, count);
	reader->have += count;
	if (reader->have == PAGE_HEADER_BYTES)
		check_header(reader);
	return count;
}

static size_t take_page(struct reader *reader, const unsigned char *data, size_t length)
{
	size_t begun = reader->have - PAGE_HEADER_BYTES;
	size_t count = PAGE_BYTES - begun;

	if (begun == 0 && length >= PAGE_BYTES) {
		check_page(reader, data);
		reader->have = 0;
		return PAGE_BYTES;
	}
	if (count > length)
		count = length;
	memcpy(reader->page + begun, data, count);
	reader->have += count;
	if (begun + count == PAGE_BYTES) {
		check_page(reader, reader->page);
		reader->have = 0;
	}
	return count;
}

void reader_take(struct reader *reader, const unsigned char *data, size_t length)
{
	while (length > 0) {
		size_t count;

		if (reader->ended)
			fail("bytes after the end");
		count = reader->have < PAGE_HEADER_BYTES ? take_header(reader, data, length)
							 : take_page(reader, data, length);
		data += count;
		length -= count;
	}
}
