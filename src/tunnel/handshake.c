#include "tunnel/handshake.h"

#include <assert.h>
#include <stdio.h>

void handshake_init_opener(struct handshake *handshake, const struct open_message *open)
{
	*handshake = (struct handshake){.state = HANDSHAKE_WAITING};
	frame_reader_init(&handshake->reader);
	handshake->unsent_length = message_encode_open(open, handshake->unsent);
}

void handshake_init_resumer(struct handshake *handshake, const struct resume_message *resume)
{
	*handshake = (struct handshake){.state = HANDSHAKE_WAITING, .resuming = true};
	frame_reader_init(&handshake->reader);
	handshake->unsent_length = message_encode_resume(resume, handshake->unsent);
}

void handshake_init_acceptor(struct handshake *handshake)
{
	*handshake = (struct handshake){.state = HANDSHAKE_WAITING, .acceptor = true};
	frame_reader_init(&handshake->reader);
}

static int take_question(
	struct handshake *handshake, const struct frame_view *view, struct error *err)
{
	uint16_t version;

	if (view->header.type == FRAME_RESUME) {
		if (message_decode_resume(view, &handshake->resume, err) < 0)
			return -1;
		handshake->resuming = true;
		handshake->peer_limit = handshake->resume.limit;
		handshake->peer_delivered = handshake->resume.delivered;
		version = handshake->resume.version;
	} else if (view->header.type == FRAME_OPEN) {
		if (message_decode_open(view, &handshake->open, err) < 0)
			return -1;
		handshake->peer_limit = handshake->open.limit;
		version = handshake->open.version;
	} else {
		return error_set(err, ERROR_PEER, "the first frame is neither OPEN nor RESUME");
	}
	if (version == PROTOCOL_VERSION)
		handshake->state = HANDSHAKE_ASKED;
	else
		handshake_refuse(handshake, REASON_VERSION, "this host speaks version 1");
	return 0;
}

static int take_answer(
	struct handshake *handshake, const struct frame_view *view, struct error *err)
{
	if (view->header.type == (handshake->resuming ? FRAME_RESUMED : FRAME_ACCEPT)) {
		handshake->peer_delivered = view->header.offset;
		if (message_decode_limit(view, &handshake->peer_limit, err) < 0)
			return -1;
		handshake->state = HANDSHAKE_ACCEPTED;
		return 0;
	}
	if (view->header.type == FRAME_REFUSE) {
		if (message_decode_reason(view, &handshake->refusal, err) < 0)
			return -1;
		handshake->state = HANDSHAKE_REFUSED;
		return 0;
	}
	return error_set(err, ERROR_PEER, "the first frame is not the answer to what was asked");
}

size_t handshake_wants(const struct handshake *handshake)
{
	size_t wanted = frame_reader_wants(&handshake->reader);

	if (handshake->state != HANDSHAKE_WAITING)
		return 0;
	/* The payload of a DATA frame, which has no place here, may be far longer. */
	return wanted < MESSAGE_LONGEST_BYTES ? wanted : MESSAGE_LONGEST_BYTES;
}

int handshake_receive(
	struct handshake *handshake, const unsigned char *data, size_t length, struct error *err)
{
	struct frame_view view;
	int found;

	assert(length <= handshake_wants(handshake));
	found = frame_reader_next(&handshake->reader, &data, &length, &view, err);
	if (found <= 0)
		return found;
	found = handshake->acceptor ? take_question(handshake, &view, err)
				    : take_answer(handshake, &view, err);
	if (found < 0)
		frame_reader_fail(&handshake->reader);
	return found;
}

void handshake_accept(struct handshake *handshake, uint64_t limit)
{
	assert(handshake->state == HANDSHAKE_ASKED);
	handshake->state = HANDSHAKE_ACCEPTED;
	handshake->unsent_length = message_encode_limit(FRAME_ACCEPT, 0, limit, handshake->unsent);
}

void handshake_accept_resume(struct handshake *handshake, uint64_t delivered, uint64_t limit)
{
	assert(handshake->state == HANDSHAKE_ASKED && handshake->resuming);
	handshake->state = HANDSHAKE_ACCEPTED;
	handshake->unsent_length =
		message_encode_limit(FRAME_RESUMED, delivered, limit, handshake->unsent);
}

void handshake_refuse(struct handshake *handshake, enum reason reason, const char *text)
{
	handshake->state = HANDSHAKE_REFUSED;
	handshake->refusal.reason = reason;
	snprintf(handshake->refusal.text, sizeof(handshake->refusal.text), "%s", text);
	handshake->unsent_length =
		message_encode_reason(FRAME_REFUSE, &handshake->refusal, handshake->unsent);
}

const void *handshake_unsent(const struct handshake *handshake, size_t *length)
{
	*length = handshake->unsent_length;
	return *length > 0 ? handshake->unsent : NULL;
}

void handshake_sent(struct handshake *handshake)
{
	handshake->unsent_length = 0;
}
