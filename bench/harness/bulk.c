/* Pages as a source in pre-copy sends them: 32 at a time, 128 KiB. */
#include <stdlib.h>
#include <sys/uio.h>

#include "endpoint.h"
#include "fail.h"
#include "load.h"
#include "page.h"
#include "reader.h"

#define BATCH_PAGES   32
#define RECEIVE_BYTES 262144

static void put_page(struct iovec *pieces, uint64_t *header, enum page_kind kind, uint64_t number)
{
	*header = page_header(kind, number);
	pieces[0] = (struct iovec){header, sizeof(*header)};
	pieces[1] = (struct iovec){page_contents(number), PAGE_BYTES};
}

void *bulk_send(void *argument)
{
	struct lane *lane = argument;
	struct iovec pieces[2 * BATCH_PAGES];
	uint64_t headers[BATCH_PAGES];
	uint64_t number = 0;

	while (!atomic_load(&lane->load->stopping)) {
		unsigned count = fault_take_asked(pieces, headers, BATCH_PAGES);

		for (; count < BATCH_PAGES; count++)
			put_page(&pieces[2 * count], &headers[count], PAGE_BULK, number++);
		endpoint_write_pieces(lane->source, pieces, 2 * BATCH_PAGES);
	}
	headers[0] = page_header(PAGE_END, number);
	endpoint_write(lane->source, headers, sizeof(headers[0]));
	return NULL;
}

void *bulk_receive(void *argument)
{
	struct lane *lane = argument;
	struct reader *reader = calloc(1, sizeof(*reader));
	unsigned char *buffer = malloc(RECEIVE_BYTES);

	if (!reader || !buffer)
		fail("no memory");
	while (!reader->ended) {
		size_t got = endpoint_read_some(lane->sink, buffer, RECEIVE_BYTES);

		if (got == 0)
			fail("the stream ended before its last page");
		reader_take(reader, buffer, got);
		atomic_fetch_add_explicit(&lane->received_bytes, got, memory_order_relaxed);
	}
	free(buffer);
	free(reader);
	return NULL;
}

static void start(struct load *load)
{
	for (unsigned i = 0; i < load->lane_count; i++) {
		load_start(&load->lanes[i], 0, bulk_send);
		load_start(&load->lanes[i], 1, bulk_receive);
	}
}

static void join(struct load *load)
{
	for (unsigned i = 0; i < load->lane_count; i++) {
		pthread_join(load->lanes[i].threads[0], NULL);
		pthread_join(load->lanes[i].threads[1], NULL);
	}
}

const struct load_kind load_bulk = {.start = start, .join = join};
