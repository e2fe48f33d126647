/* A region of memory whose every page proves itself.
 *
 * The content of a page follows from the seed, the page's own number and how often the page was
 * written; how often is kept apart from the pages. So a page that was lost (zeroes), is stale (an
 * older version), was misplaced (another page's content) or torn fails its verification.
 */
#ifndef CULVERT_GUEST_PAGES_H
#define CULVERT_GUEST_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096

struct pages {
	unsigned char *memory;
	uint32_t *versions; /* expected version of each page */
	uint64_t count;
	uint64_t seed;
	uint64_t writes;
	uint64_t verified;
	uint64_t corrupt;
};

/* What verification found wrong with one page */
struct pages_fault {
	uint64_t page;
	uint32_t expected_version;
	uint64_t found_page; /* the number and version the page itself claims */
	uint64_t found_version;
	size_t wrong_bytes;
};

/** Take the memory, all of it unwritten; @returns 0, or -1 when there is not enough */
int pages_init(struct pages *pages, uint64_t count, uint64_t seed);
void pages_fini(struct pages *pages);

/** Write the next version of @page without looking at what is there */
void pages_write(struct pages *pages, uint64_t page);

/**
 * Compare every byte of @page with what was last written to it.
 *
 * A corrupt page is counted, described in @fault, and written anew so that it counts once.
 */
bool pages_verify(struct pages *pages, uint64_t page, struct pages_fault *fault);

/** @returns whether versions and the count of writes agree: a check of the books themselves */
bool pages_books_balance(const struct pages *pages);

enum pages_damage { DAMAGE_FLIPPED, DAMAGE_LOST, DAMAGE_STALE, DAMAGE_MISPLACED };

/** Spoil @page on purpose, to prove that verification can fail */
void pages_spoil(struct pages *pages, uint64_t page, enum pages_damage damage);

#endif
