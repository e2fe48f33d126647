/* Any bytes as the other side's first frame.
 *
 * The first byte: bit 0 acceptor, bit 1 refuse, the other bits are the size of the portions.
 */
#include <string.h>

#include "fuzz.h"
#include "tunnel/handshake.h"

static void init(struct handshake *handshake, bool acceptor)
{
	struct open_message open = {
		.version = PROTOCOL_VERSION, .limit = 1 << 20, .service = "control"};

	if (acceptor)
		handshake_init_acceptor(handshake);
	else
		handshake_init_opener(handshake, &open);
}

static void answer(struct handshake *handshake, bool refuse)
{
	if (handshake->state != HANDSHAKE_ASKED)
		return;
	if (refuse)
		handshake_refuse(handshake, REASON_NO_SERVICE, handshake->open.service);
	else
		handshake_accept(handshake, 4096);
}

static void check_unsent(struct handshake *handshake)
{
	size_t length;
	const unsigned char *frame = handshake_unsent(handshake, &length);
	struct frame_header header;
	struct error err;

	if (!frame)
		return;
	fuzz_demand(length >= FRAME_HEADER_BYTES && length <= MESSAGE_LONGEST_BYTES);
	fuzz_demand(frame_header_decode(frame, &header, &err) == 0);
	fuzz_demand(header.length == length - FRAME_HEADER_BYTES);
	handshake_sent(handshake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* As large as the daemon's: a portion that does not fit is found by the sanitizer. */
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct handshake handshake;
	struct error err;
	size_t at = 1;
	size_t wanted;

	if (size < 1)
		return 0;
	init(&handshake, data[0] & 1);
	check_unsent(&handshake);
	while (at < size && (wanted = handshake_wants(&handshake)) > 0) {
		size_t portion = (data[0] >> 2) + 1u;
		size_t length = size - at;

		fuzz_demand(wanted <= sizeof(bytes));
		/* The largest portion stands for everything that is wanted. */
		if (portion < 64 && length > portion)
			length = portion;
		if (length > wanted)
			length = wanted;
		memcpy(bytes, data + at, length);
		at += length;
		if (handshake_receive(&handshake, bytes, length, &err) < 0) {
			fuzz_demand(err.code == ERROR_PEER);
			fuzz_demand(handshake.state == HANDSHAKE_WAITING);
			break;
		}
		answer(&handshake, data[0] & 2);
		check_unsent(&handshake);
	}
	return 0;
}
