/* A peer that a test plays itself, frame by frame over TLS. Any failure fails the test that asked.
 */
#ifndef CULVERT_TEST_CLIENT_H
#define CULVERT_TEST_CLIENT_H

#include "hosts.h"
#include "tunnel/handshake.h"

struct client {
	int fd;
	struct tls_stream *stream;
	struct handshake answer;
};

/** Connect to the second host and ask what client->answer was initialised with. @returns how it
 * was answered */
enum handshake_state client_ask(
	struct client *client, struct hosts *hosts, struct tls_context *tls);
void client_close(struct client *client);

/** The same in steps, without waiting for the answer */
void client_connect(struct client *client, struct hosts *hosts, struct tls_context *tls);
void client_put_question(struct client *client);

void client_say(struct client *client, const void *bytes, size_t length);

/** @returns whether all of @wanted bytes came */
bool client_hear(struct client *client, unsigned char *bytes, size_t wanted);

void client_says_data(struct client *client, uint64_t offset, const char *text);

/** The next DATA is @text, at @offset; what else comes is left out */
void client_hears_data(struct client *client, uint64_t offset, const char *text);

/** A sign of life */
void client_pings(struct client *client);

#endif
