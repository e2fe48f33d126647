/* Any bytes, in any portions, to the reader of frames and the decoders of messages.
 *
 * The first byte is the size of the portions; the rest are the bytes. How to run a target under
 * libFuzzer: see replay.c.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire/message.h"

static void decode(const struct frame_view *view)
{
	struct open_message open;
	struct reason_message reason;
	struct error err;
	uint64_t limit;

	switch (view->header.type) {
	case FRAME_OPEN:
		if (message_decode_open(view, &open, &err) == 0)
			fuzz_demand(strlen(open.service) < sizeof(open.service));
		return;
	case FRAME_REFUSE:
	case FRAME_RESET:
		if (message_decode_reason(view, &reason, &err) == 0)
			fuzz_demand(reason.reason >= REASON_LOCAL_GONE &&
				reason.reason <= REASON_TOO_MANY);
		return;
	case FRAME_ACCEPT:
	case FRAME_RESUMED:
	case FRAME_ACK:
		fuzz_demand(message_decode_limit(view, &limit, &err) == 0);
		return;
	case FRAME_DATA:
		fuzz_demand(
			view->header.length > 0 && view->header.length <= FRAME_DATA_LONGEST_BYTES);
		return;
	case FRAME_RESUME:
	case FRAME_EOF:
	case FRAME_PING:
	case FRAME_PONG:
	case FRAME_RATE:
		return;
	}
	fuzz_demand(false);
}

/* @returns whether the stream is still sound */
static bool read_portion(struct frame_reader *reader, const unsigned char *bytes, size_t length)
{
	struct frame_view view;
	struct error err;
	int found;

	while ((found = frame_reader_next(reader, &bytes, &length, &view, &err)) > 0)
		decode(&view);
	if (found == 0) {
		fuzz_demand(length == 0 && frame_reader_wants(reader) > 0);
		return true;
	}
	fuzz_demand(err.code == ERROR_PEER);
	fuzz_demand(frame_reader_next(reader, &bytes, &length, &view, &err) == -1);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader;
	size_t portion;

	if (size < 1)
		return 0;
	portion = data[0] + 1u;
	frame_reader_init(&reader);
	for (size_t at = 1; at < size; at += portion) {
		size_t length = size - at < portion ? size - at : portion;

		if (!read_portion(&reader, data + at, length))
			return 0;
	}
	return 0;
}
