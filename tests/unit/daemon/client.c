/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static void wait_for(struct client *client, short events)
{
	struct pollfd wanted = {.fd = client->fd, .events = events};

	assert_int_equal(poll(&wanted, 1, HOSTS_DEADLINE_MS), 1);
}

static void flush(struct client *client)
{
	struct error err;

	while (tls_flush(client->stream, &err) == IO_AGAIN)
		wait_for(client, POLLOUT);
}

void client_say(struct client *client, const void *bytes, size_t length)
{
	struct error err;

	assert_int_equal(tls_seal(client->stream, bytes, length, &err), 0);
	flush(client);
}

bool client_hear(struct client *client, unsigned char *bytes, size_t wanted)
{
	struct error err;
	size_t length;

	for (size_t have = 0; have < wanted;) {
		enum io_result result =
			tls_read(client->stream, bytes + have, wanted - have, &length, &err);

		if (result == IO_OK)
			have += length;
		else if (result == IO_AGAIN)
			wait_for(client, POLLIN);
		else
			return false;
	}
	return true;
}

static void secure(struct client *client)
{
	struct error err;
	enum io_result result;

	while ((result = tls_handshake(client->stream, &err)) == IO_AGAIN) {
		flush(client);
		wait_for(client, POLLIN);
	}
	if (result != IO_OK)
		fail_msg("%s", err.message);
}

void client_connect(struct client *client, struct hosts *hosts, struct tls_context *tls)
{
	struct error err;

	client->fd = hosts_connect(hosts);
	assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
	client->stream = tls_stream_new(tls, client->fd, false, &err);
	assert_non_null(client->stream);
	secure(client);
}

void client_put_question(struct client *client)
{
	size_t length;
	const void *question = handshake_unsent(&client->answer, &length);

	client_say(client, question, length);
}

enum handshake_state client_ask(struct client *client, struct hosts *hosts, struct tls_context *tls)
{
	unsigned char bytes[MESSAGE_LONGEST_BYTES];
	struct error err;
	size_t length;

	client_connect(client, hosts, tls);
	client_put_question(client);
	while ((length = handshake_wants(&client->answer)) > 0) {
		assert_true(client_hear(client, bytes, length));
		assert_int_equal(handshake_receive(&client->answer, bytes, length, &err), 0);
	}
	return client->answer.state;
}

void client_close(struct client *client)
{
	tls_stream_free(client->stream);
	close(client->fd);
}

void client_says_data(struct client *client, uint64_t offset, const char *text)
{
	struct frame_header header = {
		.type = FRAME_DATA, .length = (uint32_t)strlen(text), .offset = offset};
	unsigned char frame[FRAME_HEADER_BYTES + 64];

	frame_header_encode(&header, frame);
	memcpy(frame + FRAME_HEADER_BYTES, text, strlen(text));
	client_say(client, frame, FRAME_HEADER_BYTES + strlen(text));
}

void client_hears_data(struct client *client, uint64_t offset, const char *text)
{
	unsigned char bytes[FRAME_CONTROL_LONGEST_BYTES];
	struct frame_header header = {.type = FRAME_PONG};
	struct error err;

	while (header.type != FRAME_DATA) {
		assert_true(client_hear(client, bytes, FRAME_HEADER_BYTES));
		assert_int_equal(frame_header_decode(bytes, &header, &err), 0);
		assert_true(header.length <= sizeof(bytes));
		assert_true(client_hear(client, bytes, header.length));
	}
	assert_int_equal(header.offset, offset);
	assert_int_equal(header.length, strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

void client_pings(struct client *client)
{
	unsigned char frame[MESSAGE_LONGEST_BYTES];

	client_say(client, frame, message_encode_empty(FRAME_PING, 0, frame));
}
