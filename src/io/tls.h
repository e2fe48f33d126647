/* TLS 1.3 with both sides verified, over a non-blocking socket.
 *
 * What is sealed is gathered, record after record, and sent with one call. No tickets, no
 * resumption: every connection proves both identities anew.
 *
 * Spec:    RFC 8446; docs/PROTOCOL.md, "Transport".
 * Threads: a context may be shared; a stream belongs to one thread at a time.
 */
#ifndef CULVERT_IO_TLS_H
#define CULVERT_IO_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "io/identity.h"
#include "io/result.h"

/* What tls_seal() takes at most between two flushes */
#define TLS_SEAL_LONGEST_BYTES (65536 + 1024)

struct tls_context;
struct tls_stream;

/* Memory for what is sealed and not sent yet: a stream has some only as long as there is any. It
 * belongs to one thread, and so do the streams that use it meanwhile. */
struct tls_memory {
	struct tls_buffer *free;
	size_t free_count;
	size_t idle_count; /* of those that are free: not wanted since tls_memory_tidy() */
};

void tls_memory_init(struct tls_memory *memory);
void tls_memory_fini(struct tls_memory *memory);

/** Give back to the system what was not wanted since the last time */
void tls_memory_tidy(struct tls_memory *memory);

/**
 * @roles  set of enum identity_role: what the certificate must be good for
 * @errors ERROR_LOCAL naming the file and what is wrong with it: unreadable, not PEM, the key not
 * of the certificate, the certificate not valid now or not signed by the CA
 */
struct tls_context *tls_context_new(unsigned roles, const char *ca_file,
	const char *certificate_file, const char *key_file, struct error *err);
void tls_context_free(struct tls_context *context);

/** Until when what was loaded is good */
void tls_context_find_expiry(const struct tls_context *context, struct identity_expiry *expiry);

/**
 * @fd        stays the caller's, and must outlive the stream
 * @acceptor  whether the other side connected
 */
struct tls_stream *tls_stream_new(
	struct tls_context *context, int fd, bool acceptor, struct error *err);
void tls_stream_free(struct tls_stream *stream);

/** Take memory from @memory from now on, which outlives the stream, or another takes its place;
 * NULL: from the system */
void tls_stream_use(struct tls_stream *stream, struct tls_memory *memory);

/**
 * Go on with the handshake; IO_OK when it is done. After IO_AGAIN see tls_unsent().
 *
 * @errors ERROR_IDENTITY: a certificate was not accepted, here or there; ERROR_LINK; ERROR_PEER:
 *         not TLS 1.3
 */
enum io_result tls_handshake(struct tls_stream *stream, struct error *err);

/** Whether the peer's certificate carries @identity as DNS or URI subjectAltName */
bool tls_peer_is(const struct tls_stream *stream, const char *identity);

/** The peer's DNS and URI names for a message, printable, "a, b" or "(no name)" */
void tls_peer_names(const struct tls_stream *stream, char *text, size_t size);

/** Up to @size bytes. IO_AGAIN: call again once poll() says that the socket is readable, which it
 * may be already. IO_EOF: the peer ended TLS properly; an end without that is ERROR_LINK */
enum io_result tls_read(
	struct tls_stream *stream, void *bytes, size_t size, size_t *length, struct error *err);

/**
 * Encrypt @length bytes for sending. All or nothing; only while tls_seal_room() >= @length.
 *
 * @returns 0, or -1 with @err set: the stream is broken
 */
int tls_seal(struct tls_stream *stream, const void *bytes, size_t length, struct error *err);
size_t tls_seal_room(const struct tls_stream *stream);

/** Send what is sealed. IO_OK: all of it; IO_AGAIN: wait until the socket is writable */
enum io_result tls_flush(struct tls_stream *stream, struct error *err);

/** Whether tls_flush() has anything to send */
bool tls_unsent(const struct tls_stream *stream);

/** Seal the proper end of TLS; flush it afterwards */
void tls_finish(struct tls_stream *stream);

#endif
