/* The pages that are carried, and what stands in front of each.
 *
 * The stream is that of a migration: eight bytes, then a page. Their order and contents are known
 * to both ends, so that not a byte may be lost, doubled or changed unseen.
 */
#ifndef CULVERT_BENCH_PAGE_H
#define CULVERT_BENCH_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES        4096
#define PAGE_HEADER_BYTES 8

enum page_kind {
	PAGE_BULK = 1, /* numbered from 0, without gaps */
	PAGE_URGENT,   /* numbered as it was asked for */
	PAGE_END,      /* no page follows; the number of those before */
};

static inline uint64_t page_header(enum page_kind kind, uint64_t number)
{
	return (uint64_t)kind << 56 | number;
}

static inline enum page_kind page_kind(uint64_t header)
{
	return (enum page_kind)(header >> 56);
}

static inline uint64_t page_number(uint64_t header)
{
	return header & 0xffffffffffffff;
}

/** Before any other; 64 MiB, more than the caches of most machines */
void pages_make(void);

/** The contents of page @number */
void *page_contents(uint64_t number);

/** Whether @contents is what page_contents(@number) was */
bool page_is_intact(const void *contents, uint64_t number);

#endif
