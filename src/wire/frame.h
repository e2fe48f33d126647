/* The 16 bytes in front of everything that crosses a link, and finding frames in a byte stream.
 *
 * Floor: wire (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Frames".
 */
#ifndef CULVERT_WIRE_FRAME_H
#define CULVERT_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define FRAME_HEADER_BYTES          16
#define FRAME_DATA_LONGEST_BYTES    65520 /* with its header, 64 KiB */
#define FRAME_CONTROL_LONGEST_BYTES 640

enum frame_type {
	FRAME_OPEN = 1,
	FRAME_ACCEPT = 2,
	FRAME_REFUSE = 3,
	FRAME_RESUME = 4,
	FRAME_RESUMED = 5,
	FRAME_DATA = 6,
	FRAME_ACK = 7,
	FRAME_EOF = 8,
	FRAME_RESET = 9,
	FRAME_PING = 10,
	FRAME_PONG = 11,
	FRAME_RATE = 12,
};

struct frame_header {
	enum frame_type type;
	uint32_t length; /* bytes of payload */
	uint64_t offset;
};

void frame_header_encode(
	const struct frame_header *header, unsigned char bytes[FRAME_HEADER_BYTES]);

/** @errors ERROR_PEER: unknown type, flags set, length not of the type */
int frame_header_decode(const unsigned char bytes[FRAME_HEADER_BYTES], struct frame_header *header,
	struct error *err);

/* Takes a byte stream in any portions. DATA comes out piece by piece where it lies; every other
 * frame comes out whole. */
struct frame_reader {
	unsigned char header_bytes[FRAME_HEADER_BYTES];
	size_t header_have;
	struct frame_header header;
	unsigned char payload[FRAME_CONTROL_LONGEST_BYTES];
	uint32_t payload_have;
	bool failed;
};

struct frame_view {
	struct frame_header header; /* of DATA: length and offset are those of this piece */
	const unsigned char *payload;
};

void frame_reader_init(struct frame_reader *reader);

/** A frame meant nothing to its reader: frame_reader_next() fails from now on */
void frame_reader_fail(struct frame_reader *reader);

/** Bytes up to the end of the header or of the payload that is being read; reading no more than
 * this leaves what follows the frame untouched */
size_t frame_reader_wants(const struct frame_reader *reader);

/**
 * The next frame, or piece of DATA.
 *
 * @data,@length  what has arrived; moved past what was used
 * @view          valid until the next call, and while the data is
 * @returns       1 with @view; 0: all data used, more is needed; -1 with @err (ERROR_PEER), for
 * good
 */
int frame_reader_next(struct frame_reader *reader, const unsigned char **data, size_t *length,
	struct frame_view *view, struct error *err);

#endif
