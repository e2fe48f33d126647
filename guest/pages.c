#include "pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))

static uint64_t *page_words(const struct pages *pages, uint64_t page)
{
	return (uint64_t *)(void *)(pages->memory + page * PAGE_BYTES);
}

/* The finalizer of splitmix64: neighbouring numbers and versions give unrelated pages. */
static uint64_t scramble(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Words 0 and 1 say which page and version this is, for the report; the rest is a linear
 * congruential sequence, because one multiplication a word is cheap under emulation. */
static void content(const struct pages *pages, uint64_t page, uint32_t version, uint64_t *words)
{
	uint64_t word = scramble(pages->seed ^ scramble(page << 32 | version));

	words[0] = page;
	words[1] = version;
	for (size_t i = 2; i < PAGE_WORDS; i++) {
		word = word * 6364136223846793005u + 1442695040888963407u;
		words[i] = word;
	}
}

int pages_init(struct pages *pages, uint64_t count, uint64_t seed)
{
	memset(pages, 0, sizeof(*pages));
	pages->memory = mmap(NULL, count * PAGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages->memory == MAP_FAILED)
		return -1;
	pages->versions = calloc(count, sizeof(*pages->versions));
	if (!pages->versions) {
		munmap(pages->memory, count * PAGE_BYTES);
		return -1;
	}
	pages->count = count;
	pages->seed = seed;
	return 0;
}

void pages_fini(struct pages *pages)
{
	munmap(pages->memory, pages->count * PAGE_BYTES);
	free(pages->versions);
}

void pages_write(struct pages *pages, uint64_t page)
{
	content(pages, page, ++pages->versions[page], page_words(pages, page));
	pages->writes++;
}

bool pages_verify(struct pages *pages, uint64_t page, struct pages_fault *fault)
{
	const unsigned char *found = pages->memory + page * PAGE_BYTES;
	uint64_t expected[PAGE_WORDS];

	content(pages, page, pages->versions[page], expected);
	pages->verified++;
	if (memcmp(found, expected, PAGE_BYTES) == 0)
		return true;

	fault->page = page;
	fault->expected_version = pages->versions[page];
	memcpy(&fault->found_page, found, sizeof(fault->found_page));
	memcpy(&fault->found_version, found + 8, sizeof(fault->found_version));
	fault->wrong_bytes = 0;
	for (size_t i = 0; i < PAGE_BYTES; i++)
		fault->wrong_bytes += found[i] != ((unsigned char *)expected)[i];
	pages->corrupt++;
	pages_write(pages, page);
	return false;
}

bool pages_books_balance(const struct pages *pages)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < pages->count; i++)
		sum += pages->versions[i];
	return sum == pages->writes;
}

void pages_spoil(struct pages *pages, uint64_t page, enum pages_damage damage)
{
	uint64_t *words = page_words(pages, page);

	switch (damage) {
	case DAMAGE_FLIPPED:
		words[PAGE_WORDS / 2] ^= 1;
		break;
	case DAMAGE_LOST:
		memset(words, 0, PAGE_BYTES);
		break;
	case DAMAGE_STALE:
		content(pages, page, pages->versions[page] - 1, words);
		break;
	case DAMAGE_MISPLACED:
		memcpy(words, page_words(pages, (page + 1) % pages->count), PAGE_BYTES);
		break;
	}
}
