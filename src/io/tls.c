#include "io/tls.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/identity.h"
#include "io/tls_error.h"

static const unsigned char alpn[] = "\x09"
				    "culvert/1";

/* Sealed records: 22 bytes more for each 16 KiB, and room for what TLS itself sends (a handshake
 * flight, an alert, a key update). */
#define UNSENT_BYTES     (TLS_SEAL_LONGEST_BYTES + 16384)
#define READ_AHEAD_BYTES 65536

/* Messages of TLS itself that a peer may send over one connection: some ten make a handshake, and
 * new keys are wanted once in many GiB. Each costs much more than it has bytes, and an answer. */
#define MESSAGES_MOST 100

struct tls_buffer {
	struct tls_buffer *next;
	unsigned char bytes[UNSENT_BYTES];
};

struct tls_context {
	SSL_CTX *ssl;
};

struct tls_stream {
	SSL *ssl;
	int fd;
	int read_errno; /* of the last failed recv(), 0 for end of file */
	bool ended;     /* the socket's reading side ended */
	bool emptied;   /* the last recv() took all there was: the next one would be in vain */
	bool secured;   /* the handshake is done */
	bool broken;    /* SSL must not be used any more */
	bool starved;   /* there was no memory for what was to be sent */
	unsigned message_count; /* of TLS itself, from the peer */
	X509 *refused;          /* the certificate that did not verify */
	struct tls_memory *memory;
	struct tls_buffer *unsent; /* NULL: there is nothing */
	size_t unsent_begin;
	size_t unsent_end;
};

void tls_memory_init(struct tls_memory *memory)
{
	*memory = (struct tls_memory){0};
}

static void keep_at_most(struct tls_memory *memory, size_t count)
{
	while (memory->free_count > count) {
		struct tls_buffer *buffer = memory->free;

		memory->free = buffer->next;
		memory->free_count--;
		free(buffer);
	}
}

void tls_memory_fini(struct tls_memory *memory)
{
	keep_at_most(memory, 0);
}

void tls_memory_tidy(struct tls_memory *memory)
{
	keep_at_most(memory, memory->free_count - memory->idle_count);
	memory->idle_count = memory->free_count;
}

static struct tls_buffer *take_buffer(struct tls_memory *memory)
{
	struct tls_buffer *buffer = memory ? memory->free : NULL;

	if (!buffer)
		return malloc(sizeof(*buffer));
	memory->free = buffer->next;
	memory->free_count--;
	if (memory->idle_count > memory->free_count)
		memory->idle_count = memory->free_count;
	return buffer;
}

static void put_buffer(struct tls_memory *memory, struct tls_buffer *buffer)
{
	if (!memory) {
		free(buffer);
		return;
	}
	buffer->next = memory->free;
	memory->free = buffer;
	memory->free_count++;
}

static void drop_unsent(struct tls_stream *stream)
{
	if (stream->unsent)
		put_buffer(stream->memory, stream->unsent);
	stream->unsent = NULL;
	stream->unsent_begin = 0;
	stream->unsent_end = 0;
}

void tls_stream_use(struct tls_stream *stream, struct tls_memory *memory)
{
	stream->memory = memory;
}

/* What OpenSSL reads and writes through: recv() directly, writes gathered in stream->unsent. */

static int bio_read(BIO *bio, char *bytes, size_t size, size_t *length)
{
	struct tls_stream *stream = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (stream->message_count > MESSAGES_MOST)
		return 0;
	if (stream->emptied) {
		/* Told once; then poll() tells of more, also of what came meanwhile. */
		stream->emptied = false;
		BIO_set_retry_read(bio);
		return 0;
	}
	do
		got = recv(stream->fd, bytes, size, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		stream->emptied = (size_t)got < size;
		*length = (size_t)got;
		return 1;
	}
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		BIO_set_retry_read(bio);
		return 0;
	}
	stream->ended = true;
	stream->read_errno = got < 0 ? errno : 0;
	return 0;
}

static int bio_write(BIO *bio, const char *bytes, size_t size, size_t *length)
{
	struct tls_stream *stream = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (UNSENT_BYTES - stream->unsent_end < size) {
		BIO_set_retry_write(bio);
		return 0;
	}
	if (!stream->unsent)
		stream->unsent = take_buffer(stream->memory);
	stream->starved = !stream->unsent;
	if (stream->starved)
		return 0;
	memcpy(stream->unsent->bytes + stream->unsent_end, bytes, size);
	stream->unsent_end += size;
	*length = size;
	return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	struct tls_stream *stream = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_FLUSH)
		return 1;
	return command == BIO_CTRL_EOF ? stream->ended : 0;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (!method) {
		method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "culvert");
		if (!method)
			abort();
		BIO_meth_set_read_ex(method, bio_read);
		BIO_meth_set_write_ex(method, bio_write);
		BIO_meth_set_ctrl(method, bio_control);
	}
	return method;
}

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
	const unsigned char *offered, unsigned int offered_length, void *unused)
{
	(void)ssl;
	(void)unused;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)chosen, chosen_length, alpn,
		    sizeof(alpn) - 1, offered, offered_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static void on_message(int written, int version, int type, const void *bytes, size_t length,
	SSL *ssl, void *argument)
{
	struct tls_stream *stream = argument;

	(void)version;
	(void)bytes;
	(void)length;
	(void)ssl;
	if (!written && type == SSL3_RT_HANDSHAKE)
		stream->message_count++;
}

/* OpenSSL forgets which certificate it refused; a message needs its dates. */
static int note_refused(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_stream *stream = SSL_get_app_data(ssl);
	X509 *certificate = X509_STORE_CTX_get_current_cert(store);

	if (!good && certificate && !stream->refused && X509_up_ref(certificate) == 1)
		stream->refused = certificate;
	return good;
}

/* A key with a passphrase is an unusable key: a daemon has nobody to ask. */
static int no_passphrase(char *text, int size, int writing, void *asked)
{
	(void)text;
	(void)size;
	(void)writing;
	if (asked)
		*(bool *)asked = true;
	return -1;
}

static int load_key(SSL_CTX *ssl, const char *key_file, struct error *err)
{
	bool asked = false;
	int code;

	SSL_CTX_set_default_passwd_cb_userdata(ssl, &asked);
	code = SSL_CTX_use_PrivateKey_file(ssl, key_file, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
	/* A key of another kind than the certificate's is only noticed when asked about. */
	if (code == 1 && SSL_CTX_check_private_key(ssl) == 1)
		return 0;
	if (!asked)
		return tls_error_file(err, "key", key_file);
	ERR_clear_error();
	return error_set(err, ERROR_LOCAL,
		"key = %s: it has a passphrase, which a daemon cannot enter: write it without one "
		"('openssl pkey')",
		key_file);
}

static int load_files(SSL_CTX *ssl, unsigned roles, const char *ca_file,
	const char *certificate_file, const char *key_file, struct error *err)
{
	ERR_clear_error();
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	if (SSL_CTX_load_verify_file(ssl, ca_file) != 1)
		return tls_error_file(err, "ca", ca_file);
	if (SSL_CTX_use_certificate_chain_file(ssl, certificate_file) != 1)
		return tls_error_file(err, "certificate", certificate_file);
	if (load_key(ssl, key_file, err) < 0)
		return -1;
	return identity_check_own(ssl, roles, certificate_file, err);
}

struct tls_context *tls_context_new(unsigned roles, const char *ca_file,
	const char *certificate_file, const char *key_file, struct error *err)
{
	struct tls_context *context = calloc(1, sizeof(*context));

	if (context)
		context->ssl = SSL_CTX_new(TLS_method());
	if (!context || !context->ssl) {
		tls_context_free(context);
		error_set(err, ERROR_LOCAL, "no memory for TLS");
		return NULL;
	}
	bio_method();
	SSL_CTX_set_min_proto_version(context->ssl, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(context->ssl,
		"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
	SSL_CTX_set_options(context->ssl, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(context->ssl, 0);
	SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(
		context->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, note_refused);
	SSL_CTX_set_mode(context->ssl, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context->ssl, 1);
	SSL_CTX_set_default_read_buffer_len(context->ssl, READ_AHEAD_BYTES);
	SSL_CTX_set_alpn_protos(context->ssl, alpn, sizeof(alpn) - 1);
	SSL_CTX_set_alpn_select_cb(context->ssl, choose_protocol, NULL);
	if (load_files(context->ssl, roles, ca_file, certificate_file, key_file, err) < 0) {
		tls_context_free(context);
		return NULL;
	}
	return context;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ssl);
	free(context);
}

void tls_context_find_expiry(const struct tls_context *context, struct identity_expiry *expiry)
{
	identity_find_expiry(context->ssl, expiry);
}

struct tls_stream *tls_stream_new(
	struct tls_context *context, int fd, bool acceptor, struct error *err)
{
	struct tls_stream *stream = calloc(1, sizeof(*stream));
	BIO *bio = NULL;

	if (stream) {
		stream->fd = fd;
		stream->ssl = SSL_new(context->ssl);
		bio = BIO_new(bio_method());
	}
	if (!stream || !stream->ssl || !bio) {
		BIO_free(bio);
		tls_stream_free(stream);
		error_set(err, ERROR_LOCAL, "no memory for TLS");
		return NULL;
	}
	BIO_set_data(bio, stream);
	BIO_set_init(bio, 1);
	SSL_set_bio(stream->ssl, bio, bio);
	SSL_set_app_data(stream->ssl, stream);
	SSL_set_msg_callback(stream->ssl, on_message);
	SSL_set_msg_callback_arg(stream->ssl, stream);
	if (acceptor)
		SSL_set_accept_state(stream->ssl);
	else
		SSL_set_connect_state(stream->ssl);
	return stream;
}

void tls_stream_free(struct tls_stream *stream)
{
	if (!stream)
		return;
	SSL_free(stream->ssl);
	X509_free(stream->refused);
	drop_unsent(stream);
	free(stream);
}

/* SSL is of no use any more: why? */
static void explain(struct tls_stream *stream, struct error *err)
{
	stream->broken = true;
	if (stream->starved)
		error_set(err, ERROR_LOCAL, "no memory for TLS");
	else if (stream->message_count > MESSAGES_MOST)
		error_set(err, ERROR_PEER, "the other side renews its keys without end");
	else if (stream->ended)
		error_set(err, ERROR_LINK, "connection lost: %s",
			stream->read_errno ? strerror(stream->read_errno) : "closed by the peer");
	else
		tls_error_connection(err, stream->ssl, stream->secured, stream->refused);
	ERR_clear_error();
}

/* After an SSL call that returned @code */
static enum io_result judge(struct tls_stream *stream, int code, struct error *err)
{
	int problem = SSL_get_error(stream->ssl, code);

	if (problem == SSL_ERROR_WANT_READ || problem == SSL_ERROR_WANT_WRITE)
		return IO_AGAIN;
	if (problem == SSL_ERROR_ZERO_RETURN)
		return IO_EOF;
	explain(stream, err);
	return IO_FAILED;
}

enum io_result tls_handshake(struct tls_stream *stream, struct error *err)
{
	const unsigned char *protocol;
	unsigned int length;
	int code;

	ERR_clear_error();
	code = SSL_do_handshake(stream->ssl);
	if (code != 1)
		return judge(stream, code, err);
	stream->secured = true;
	/* OpenSSL lets a side pass that says nothing about protocols. */
	SSL_get0_alpn_selected(stream->ssl, &protocol, &length);
	if (length > 0)
		return IO_OK;
	error_set(err, ERROR_PEER, "the other side does not speak this protocol (no ALPN)");
	return IO_FAILED;
}

bool tls_peer_is(const struct tls_stream *stream, const char *identity)
{
	return identity_matches(SSL_get0_peer_certificate(stream->ssl), identity);
}

void tls_peer_names(const struct tls_stream *stream, char *text, size_t size)
{
	identity_names(SSL_get0_peer_certificate(stream->ssl), text, size);
}

enum io_result tls_read(
	struct tls_stream *stream, void *bytes, size_t size, size_t *length, struct error *err)
{
	int code;

	ERR_clear_error();
	if (stream->message_count > MESSAGES_MOST) {
		explain(stream, err);
		return IO_FAILED;
	}
	code = SSL_read_ex(stream->ssl, bytes, size, length);
	return code == 1 ? IO_OK : judge(stream, code, err);
}

size_t tls_seal_room(const struct tls_stream *stream)
{
	return stream->unsent_end < TLS_SEAL_LONGEST_BYTES
		? TLS_SEAL_LONGEST_BYTES - stream->unsent_end
		: 0;
}

int tls_seal(struct tls_stream *stream, const void *bytes, size_t length, struct error *err)
{
	size_t written;

	assert(length <= tls_seal_room(stream));
	ERR_clear_error();
	if (SSL_write_ex(stream->ssl, bytes, length, &written) == 1) {
		assert(written == length);
		return 0;
	}
	/* There was room: it is broken, or out of memory. */
	explain(stream, err);
	return -1;
}

enum io_result tls_flush(struct tls_stream *stream, struct error *err)
{
	while (stream->unsent_begin < stream->unsent_end) {
		ssize_t sent = send(stream->fd, stream->unsent->bytes + stream->unsent_begin,
			stream->unsent_end - stream->unsent_begin, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return IO_AGAIN;
		if (sent < 0) {
			error_set(err, ERROR_LINK, "connection lost: %s", strerror(errno));
			return IO_FAILED;
		}
		stream->unsent_begin += (size_t)sent;
	}
	drop_unsent(stream);
	return IO_OK;
}

bool tls_unsent(const struct tls_stream *stream)
{
	return stream->unsent_begin < stream->unsent_end;
}

void tls_finish(struct tls_stream *stream)
{
	if (stream->broken || !SSL_is_init_finished(stream->ssl))
		return;
	ERR_clear_error();
	(void)SSL_shutdown(stream->ssl);
}
