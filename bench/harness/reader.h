/* Takes a stream of pages apart as it comes, and checks each. */
#ifndef CULVERT_BENCH_READER_H
#define CULVERT_BENCH_READER_H

#include <stddef.h>

#include "page.h"

struct reader {
	uint64_t header;
	uint64_t next; /* the bulk page that is due */
	size_t have;   /* bytes of header and page that are here */
	bool ended;
	void (*urgent)(uint64_t number, void *owner); /* an urgent page is here */
	void *owner;
	unsigned char page[PAGE_BYTES];
};

/** Fails when anything is amiss */
void reader_take(struct reader *reader, const unsigned char *data, size_t length);

#endif
