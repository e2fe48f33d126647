#include "wire/message.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

/* Leaves room for the header; finish() fills it in */
static struct bytes_writer begin(unsigned char *bytes)
{
	return (struct bytes_writer){
		.bytes = bytes, .size = MESSAGE_LONGEST_BYTES, .used = FRAME_HEADER_BYTES};
}

static size_t finish(struct bytes_writer *writer, enum frame_type type, uint64_t offset)
{
	struct frame_header header = {
		.type = type,
		.length = (uint32_t)(writer->used - FRAME_HEADER_BYTES),
		.offset = offset,
	};

	assert(!writer->failed);
	frame_header_encode(&header, writer->bytes);
	return writer->used;
}

size_t message_encode_open(const struct open_message *message, unsigned char *bytes)
{
	struct bytes_writer writer = begin(bytes);

	bytes_put_number(&writer, message->version, 2);
	bytes_put(&writer, message->id, sizeof(message->id));
	bytes_put(&writer, message->secret, sizeof(message->secret));
	bytes_put_number(&writer, message->limit, 8);
	bytes_put_text(&writer, message->service);
	bytes_put_text(&writer, message->argument);
	return finish(&writer, FRAME_OPEN, 0);
}

size_t message_encode_resume(const struct resume_message *message, unsigned char *bytes)
{
	struct bytes_writer writer = begin(bytes);

	bytes_put_number(&writer, message->version, 2);
	bytes_put(&writer, message->id, sizeof(message->id));
	bytes_put(&writer, message->secret, sizeof(message->secret));
	bytes_put_number(&writer, message->limit, 8);
	bytes_put_number(&writer, message->epoch, 8);
	return finish(&writer, FRAME_RESUME, message->delivered);
}

size_t message_encode_limit(
	enum frame_type type, uint64_t offset, uint64_t limit, unsigned char *bytes)
{
	struct bytes_writer writer = begin(bytes);

	bytes_put_number(&writer, limit, 8);
	return finish(&writer, type, offset);
}

size_t message_encode_reason(
	enum frame_type type, const struct reason_message *message, unsigned char *bytes)
{
	struct bytes_writer writer = begin(bytes);
	char text[sizeof(message->text)];
	size_t length = strlen(message->text);

	for (size_t i = 0; i <= length; i++) {
		bool printable = message->text[i] >= 0x20 && message->text[i] <= 0x7e;

		text[i] = printable || i == length ? message->text[i] : '?';
	}
	bytes_put_number(&writer, (uint64_t)message->reason, 1);
	bytes_put_text(&writer, text);
	return finish(&writer, type, 0);
}

size_t message_encode_empty(enum frame_type type, uint64_t offset, unsigned char *bytes)
{
	struct bytes_writer writer = begin(bytes);

	return finish(&writer, type, offset);
}

static struct bytes_reader payload(const struct frame_view *view)
{
	return (struct bytes_reader){.next = view->payload, .left = view->header.length};
}

static int check(const struct bytes_reader *reader, const char *what, struct error *err)
{
	if (reader->failed || reader->left > 0)
		return error_set(err, ERROR_PEER, "malformed %s", what);
	return 0;
}

int message_decode_open(
	const struct frame_view *view, struct open_message *message, struct error *err)
{
	struct bytes_reader reader = payload(view);

	*message = (struct open_message){0};
	message->version = (uint16_t)bytes_take_number(&reader, 2);
	if (!reader.failed && message->version != PROTOCOL_VERSION)
		return 0;
	bytes_take(&reader, message->id, sizeof(message->id));
	bytes_take(&reader, message->secret, sizeof(message->secret));
	message->limit = bytes_take_number(&reader, 8);
	bytes_take_text(&reader, message->service, sizeof(message->service));
	bytes_take_text(&reader, message->argument, sizeof(message->argument));
	return check(&reader, "OPEN", err);
}

int message_decode_resume(
	const struct frame_view *view, struct resume_message *message, struct error *err)
{
	struct bytes_reader reader = payload(view);

	message->version = (uint16_t)bytes_take_number(&reader, 2);
	bytes_take(&reader, message->id, sizeof(message->id));
	bytes_take(&reader, message->secret, sizeof(message->secret));
	message->delivered = view->header.offset;
	message->limit = bytes_take_number(&reader, 8);
	message->epoch = bytes_take_number(&reader, 8);
	return check(&reader, "RESUME", err);
}

int message_decode_limit(const struct frame_view *view, uint64_t *limit, struct error *err)
{
	struct bytes_reader reader = payload(view);

	*limit = bytes_take_number(&reader, 8);
	return check(&reader, "limit", err);
}

int message_decode_reason(
	const struct frame_view *view, struct reason_message *message, struct error *err)
{
	struct bytes_reader reader = payload(view);
	uint64_t reason = bytes_take_number(&reader, 1);

	bytes_take_text(&reader, message->text, sizeof(message->text));
	/* It is quoted in logs, and must not end the quotation. */
	for (char *mark = message->text; (mark = strchr(mark, '"'));)
		*mark = '\'';
	if (reason < REASON_LOCAL_GONE || reason > REASON_TOO_MANY)
		reader.failed = true;
	message->reason = (enum reason)reason;
	return check(&reader, "reason", err);
}
