/* Payloads of the frames that are not DATA, and whole such frames.
 *
 * Floor: wire (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Frames".
 */
#ifndef CULVERT_WIRE_MESSAGE_H
#define CULVERT_WIRE_MESSAGE_H

#include <stdint.h>

#include "wire/frame.h"

#define PROTOCOL_VERSION 1
#define CHANNEL_ID_BYTES 16
/* Of these, at the end: the same for all channels of one run of the opener's daemon */
#define CHANNEL_RUN_BYTES    8
#define CHANNEL_SECRET_BYTES 32

/* Room for any frame but DATA */
#define MESSAGE_LONGEST_BYTES (FRAME_HEADER_BYTES + FRAME_CONTROL_LONGEST_BYTES)

enum reason {
	REASON_LOCAL_GONE = 1,
	REASON_STOPPING = 2,
	REASON_NOT_PERMITTED = 3,
	REASON_NO_SERVICE = 4,
	REASON_VERSION = 5,
	REASON_PROTOCOL = 6,
	REASON_ENDED = 7,
	REASON_TOO_MANY = 8,
};

struct open_message {
	uint16_t version;
	unsigned char id[CHANNEL_ID_BYTES];
	unsigned char secret[CHANNEL_SECRET_BYTES];
	uint64_t limit; /* position before which the opener is ready to hold bytes */
	char service[256];
	char argument[256];
};

struct resume_message {
	uint16_t version;
	unsigned char id[CHANNEL_ID_BYTES];
	unsigned char secret[CHANNEL_SECRET_BYTES];
	uint64_t delivered; /* position before which the opener has delivered everything */
	uint64_t limit;
	uint64_t epoch; /* 1 for the first RESUME of a channel, and rising */
};

/* REFUSE and RESET */
struct reason_message {
	enum reason reason;
	char text[256]; /* for people; what is not printable ASCII is sent as '?' */
};

/** Each encodes one whole frame into @bytes, of MESSAGE_LONGEST_BYTES. @returns its length */
size_t message_encode_open(const struct open_message *message, unsigned char *bytes);
size_t message_encode_resume(const struct resume_message *message, unsigned char *bytes);
size_t message_encode_limit(
	enum frame_type type, uint64_t offset, uint64_t limit, unsigned char *bytes);
size_t message_encode_reason(
	enum frame_type type, const struct reason_message *message, unsigned char *bytes);
size_t message_encode_empty(enum frame_type type, uint64_t offset, unsigned char *bytes);

/** Each decodes the payload of a frame of the right type. @errors ERROR_PEER: malformed */

/** Of an OPEN of another version, only the version is decoded */
int message_decode_open(
	const struct frame_view *view, struct open_message *message, struct error *err);
int message_decode_resume(
	const struct frame_view *view, struct resume_message *message, struct error *err);
int message_decode_limit(const struct frame_view *view, uint64_t *limit, struct error *err);
int message_decode_reason(
	const struct frame_view *view, struct reason_message *message, struct error *err);

#endif
