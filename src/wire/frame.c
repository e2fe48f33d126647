#include "wire/frame.h"

#include <string.h>

#include "base/bytes.h"

/* Bytes of payload that a type may have */
static const struct {
	uint32_t shortest;
	uint32_t longest;
} lengths[] = {
	[FRAME_OPEN] = {2 + 16 + 32 + 8 + 1 + 1, 2 + 16 + 32 + 8 + 256 + 256},
	[FRAME_ACCEPT] = {8, 8},
	[FRAME_REFUSE] = {2, 1 + 256},
	[FRAME_RESUME] = {2 + 16 + 32 + 8 + 8, 2 + 16 + 32 + 8 + 8},
	[FRAME_RESUMED] = {8, 8},
	[FRAME_DATA] = {1, FRAME_DATA_LONGEST_BYTES},
	[FRAME_ACK] = {8, 8},
	[FRAME_EOF] = {0, 0},
	[FRAME_RESET] = {2, 1 + 256},
	[FRAME_PING] = {0, 0},
	[FRAME_PONG] = {0, 0},
	[FRAME_RATE] = {0, 0},
};

void frame_header_encode(const struct frame_header *header, unsigned char bytes[FRAME_HEADER_BYTES])
{
	struct bytes_writer writer = {.bytes = bytes, .size = FRAME_HEADER_BYTES};

	bytes_put_number(&writer, (uint64_t)header->type, 1);
	bytes_put_number(&writer, 0, 3);
	bytes_put_number(&writer, header->length, 4);
	bytes_put_number(&writer, header->offset, 8);
}

int frame_header_decode(const unsigned char bytes[FRAME_HEADER_BYTES], struct frame_header *header,
	struct error *err)
{
	struct bytes_reader reader = {.next = bytes, .left = FRAME_HEADER_BYTES};
	uint64_t type = bytes_take_number(&reader, 1);
	uint64_t zero = bytes_take_number(&reader, 3);
	uint64_t length = bytes_take_number(&reader, 4);

	if (type < FRAME_OPEN || type > FRAME_RATE)
		return error_set(err, ERROR_PEER, "frame of unknown type %u", (unsigned)type);
	if (zero != 0)
		return error_set(err, ERROR_PEER, "frame with unknown flags");
	if (length < lengths[type].shortest || length > lengths[type].longest)
		return error_set(err, ERROR_PEER, "frame of type %u with %u bytes", (unsigned)type,
			(unsigned)length);
	header->type = (enum frame_type)type;
	header->length = (uint32_t)length;
	header->offset = bytes_take_number(&reader, 8);
	return 0;
}

static void start_frame(struct frame_reader *reader)
{
	reader->header_have = 0;
	reader->payload_have = 0;
}

void frame_reader_init(struct frame_reader *reader)
{
	start_frame(reader);
	reader->failed = false;
}

void frame_reader_fail(struct frame_reader *reader)
{
	reader->failed = true;
}

size_t frame_reader_wants(const struct frame_reader *reader)
{
	if (reader->header_have < FRAME_HEADER_BYTES)
		return FRAME_HEADER_BYTES - reader->header_have;
	return reader->header.length - reader->payload_have;
}

/* Move up to @wanted bytes from the front of the data */
static size_t take(const unsigned char **data, size_t *length, void *to, size_t wanted)
{
	size_t taken = *length < wanted ? *length : wanted;

	if (taken == 0)
		return 0;
	memcpy(to, *data, taken);
	*data += taken;
	*length -= taken;
	return taken;
}

static void view_piece(struct frame_reader *reader, const unsigned char **data, size_t *length,
	struct frame_view *view)
{
	uint32_t left = reader->header.length - reader->payload_have;
	uint32_t piece = *length < left ? (uint32_t)*length : left;

	view->header = reader->header;
	view->header.length = piece;
	view->header.offset = reader->header.offset + reader->payload_have;
	view->payload = *data;
	*data += piece;
	*length -= piece;
	reader->payload_have += piece;
	if (reader->payload_have == reader->header.length)
		start_frame(reader);
}

int frame_reader_next(struct frame_reader *reader, const unsigned char **data, size_t *length,
	struct frame_view *view, struct error *err)
{
	if (reader->failed)
		return error_set(err, ERROR_PEER, "the stream of frames is broken");
	if (reader->header_have < FRAME_HEADER_BYTES) {
		reader->header_have +=
			take(data, length, reader->header_bytes + reader->header_have,
				FRAME_HEADER_BYTES - reader->header_have);
		if (reader->header_have < FRAME_HEADER_BYTES)
			return 0;
		if (frame_header_decode(reader->header_bytes, &reader->header, err) < 0) {
			reader->failed = true;
			return -1;
		}
	}
	if (reader->header.type == FRAME_DATA) {
		if (*length == 0)
			return 0;
		view_piece(reader, data, length, view);
		return 1;
	}
	reader->payload_have += (uint32_t)take(data, length, reader->payload + reader->payload_have,
		reader->header.length - reader->payload_have);
	if (reader->payload_have < reader->header.length)
		return 0;
	view->header = reader->header;
	view->payload = reader->payload;
	start_frame(reader);
	return 1;
}
