/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificates.h"
#include "io/socket.h"
#include "io/tls.h"

enum { DAY_S = 24 * 3600, ROUNDS_MOST = 20 };

/* Made once for the whole run */
static struct {
	char directory[64];
	struct authority authority;
	struct authority stranger;
	struct credential hosta;
	struct credential hostb;
	struct credential of_stranger;
	struct credential expired;
	struct credential early;
	struct credential only_server;
	struct credential only_client;
	struct credential nameless;
} made;

/* One end of a connection: Culvert's own TLS */
struct side {
	struct tls_context *context;
	struct tls_stream *stream;
	int fd;
	enum io_result result;
	struct error err;
};

static struct side opener;
static struct side acceptor;

/* The other end where it misbehaves: OpenSSL by itself */
static struct {
	SSL_CTX *context;
	SSL *ssl;
	int code; /* of the last call */
} raw;

static int make_certificates(void **state)
{
	(void)state;
	certificates_make_directory(made.directory);
	authority_init(&made.authority, made.directory, "ca");
	authority_init(&made.stranger, made.directory, "stranger");
	authority_issue(
		&made.authority, "hosta", &(struct certificate_plan){.dns = "hosta"}, &made.hosta);
	authority_issue(&made.authority, "hostb",
		&(struct certificate_plan){
			.dns = "hostb", .uri = "urn:hostb", .usage = "serverAuth,clientAuth"},
		&made.hostb);
	authority_issue(&made.stranger, "of-stranger", &(struct certificate_plan){.dns = "hosta"},
		&made.of_stranger);
	authority_issue(&made.authority, "expired",
		&(struct certificate_plan){
			.dns = "hosta", .begins_after_s = -2 * DAY_S, .ends_before_s = DAY_S},
		&made.expired);
	authority_issue(&made.authority, "early",
		&(struct certificate_plan){
			.dns = "hosta", .begins_after_s = DAY_S, .ends_before_s = -2 * DAY_S},
		&made.early);
	authority_issue(&made.authority, "only-server",
		&(struct certificate_plan){.dns = "hosta", .usage = "serverAuth"},
		&made.only_server);
	authority_issue(&made.authority, "only-client",
		&(struct certificate_plan){.dns = "hosta", .usage = "clientAuth"},
		&made.only_client);
	authority_issue(&made.authority, "nameless",
		&(struct certificate_plan){.common_name = "hosta"}, &made.nameless);
	return 0;
}

static int forget_certificates(void **state)
{
	(void)state;
	credential_fini(&made.hosta);
	credential_fini(&made.hostb);
	credential_fini(&made.of_stranger);
	credential_fini(&made.expired);
	credential_fini(&made.early);
	credential_fini(&made.only_server);
	credential_fini(&made.only_client);
	credential_fini(&made.nameless);
	authority_fini(&made.authority);
	authority_fini(&made.stranger);
	certificates_remove_directory(made.directory);
	return 0;
}

static int set_up(void **state)
{
	struct error err;
	int pair[2];

	(void)state;
	assert_int_equal(socket_pair(pair, &err), 0);
	opener = (struct side){.fd = pair[0], .result = IO_AGAIN};
	acceptor = (struct side){.fd = pair[1], .result = IO_AGAIN};
	return 0;
}

static void side_fini(struct side *side)
{
	tls_stream_free(side->stream);
	tls_context_free(side->context);
	if (side->fd >= 0)
		close(side->fd);
}

static int tear_down(void **state)
{
	(void)state;
	SSL_free(raw.ssl);
	SSL_CTX_free(raw.context);
	raw.ssl = NULL;
	raw.context = NULL;
	side_fini(&opener);
	side_fini(&acceptor);
	return 0;
}

static void use(struct side *side, const struct credential *credential)
{
	side->context = tls_context_new(TLS_OPENER | TLS_ACCEPTOR, made.authority.file,
		credential->certificate_file, credential->key_file, &side->err);
	if (!side->context)
		fail_msg("%s", side->err.message);
	side->stream = tls_stream_new(side->context, side->fd, side == &acceptor, &side->err);
	assert_non_null(side->stream);
}

static void go_on(struct side *side)
{
	struct error ignored;

	if (side->result == IO_AGAIN)
		side->result = tls_handshake(side->stream, &side->err);
	(void)tls_flush(side->stream, &ignored);
}

static void shake_hands(void)
{
	use(&opener, &made.hosta);
	use(&acceptor, &made.hostb);
	for (int i = 0; i < ROUNDS_MOST; i++) {
		go_on(&opener);
		go_on(&acceptor);
	}
	if (opener.result != IO_OK || acceptor.result != IO_OK)
		fail_msg("%s / %s", opener.err.message, acceptor.err.message);
}

static int choose_first(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
	const unsigned char *offered, unsigned int offered_length, void *unused)
{
	(void)ssl;
	(void)offered_length;
	(void)unused;
	*chosen = offered + 1;
	*chosen_length = offered[0];
	return SSL_TLSEXT_ERR_OK;
}

/* A TLS end of the most permissive kind. @credential  NULL: it has no certificate */
static void use_raw(struct side *side, const struct credential *credential)
{
	static const unsigned char alpn[] = "\x09"
					    "culvert/1";

	raw.context = SSL_CTX_new(TLS_method());
	SSL_CTX_set_verify(raw.context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_alpn_protos(raw.context, alpn, sizeof(alpn) - 1);
	SSL_CTX_set_alpn_select_cb(raw.context, choose_first, NULL);
	if (credential) {
		assert_int_equal(SSL_CTX_use_certificate(raw.context, credential->certificate), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(raw.context, credential->key), 1);
	}
	raw.ssl = SSL_new(raw.context);
	SSL_set_fd(raw.ssl, side->fd);
	if (side == &acceptor)
		SSL_set_accept_state(raw.ssl);
	else
		SSL_set_connect_state(raw.ssl);
}

/* The raw end shakes hands with @side until nothing more happens. */
static void shake_hands_with_raw(struct side *side)
{
	for (int i = 0; i < ROUNDS_MOST; i++) {
		raw.code = SSL_do_handshake(raw.ssl);
		ERR_clear_error();
		go_on(side);
	}
}

static void acceptor_meets_raw(const struct credential *credential)
{
	use(&acceptor, &made.hostb);
	use_raw(&opener, credential);
	shake_hands_with_raw(&acceptor);
}

static void opener_meets_raw(const struct credential *credential)
{
	use(&opener, &made.hosta);
	use_raw(&acceptor, credential);
	shake_hands_with_raw(&opener);
}

static void assert_said(
	const struct error *err, enum error_code code, const char *thing, const char *remedy)
{
	if (err->code != code || !strstr(err->message, thing) || !strstr(err->message, remedy))
		fail_msg("%s: %s", error_code_name(err->code), err->message);
}

static void assert_failed(
	const struct side *side, enum error_code code, const char *thing, const char *remedy)
{
	assert_int_equal(side->result, IO_FAILED);
	assert_said(&side->err, code, thing, remedy);
}

static void seal(struct side *side, const char *text)
{
	assert_int_equal(tls_seal(side->stream, text, strlen(text), &side->err), 0);
	assert_int_equal(tls_flush(side->stream, &side->err), IO_OK);
}

/* As a loop does: what is there counts, not what the last read knew. */
static enum io_result read_some(struct side *side, void *bytes, size_t size, size_t *length)
{
	struct pollfd readable = {.fd = side->fd, .events = POLLIN};

	side->result = tls_read(side->stream, bytes, size, length, &side->err);
	if (side->result == IO_AGAIN && poll(&readable, 1, 0) > 0)
		side->result = tls_read(side->stream, bytes, size, length, &side->err);
	return side->result;
}

static enum io_result read_text(struct side *side, char *text, size_t size)
{
	size_t length = 0;

	(void)read_some(side, text, size - 1, &length);
	text[side->result == IO_OK ? length : 0] = '\0';
	return side->result;
}

static void both_sides_of_a_good_pair_know_each_other(void **state)
{
	(void)state;
	shake_hands();
	assert_true(tls_peer_is(opener.stream, "hostb"));
	assert_true(tls_peer_is(opener.stream, "urn:hostb"));
	assert_true(tls_peer_is(acceptor.stream, "hosta"));
	assert_false(tls_peer_is(opener.stream, "hosta"));
}

static void the_names_of_the_peer_are_told(void **state)
{
	char text[64];

	(void)state;
	shake_hands();
	tls_peer_names(opener.stream, text, sizeof(text));
	assert_string_equal(text, "hostb, urn:hostb");
}

static void what_is_sealed_arrives(void **state)
{
	char text[32];

	(void)state;
	shake_hands();
	seal(&opener, "page");
	seal(&acceptor, "request");
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_OK);
	assert_string_equal(text, "page");
	assert_int_equal(read_text(&opener, text, sizeof(text)), IO_OK);
	assert_string_equal(text, "request");
}

static void nothing_to_read_is_no_error(void **state)
{
	char text[32];

	(void)state;
	shake_hands();
	assert_int_equal(read_text(&opener, text, sizeof(text)), IO_AGAIN);
}

static void nothing_passes_in_plain_text(void **state)
{
	char bytes[256] = {0};

	(void)state;
	shake_hands();
	seal(&opener, "secret page");
	assert_true(recv(acceptor.fd, bytes, sizeof(bytes), MSG_PEEK) > 0);
	assert_null(memmem(bytes, sizeof(bytes), "secret page", 11));
}

static void many_records_leave_with_one_flush(void **state)
{
	static char bytes[TLS_SEAL_LONGEST_BYTES];
	static char got[TLS_SEAL_LONGEST_BYTES];
	size_t have = 0;

	(void)state;
	shake_hands();
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(tls_seal_room(opener.stream), sizeof(bytes));
	assert_int_equal(tls_seal(opener.stream, bytes, sizeof(bytes), &opener.err), 0);
	assert_int_equal(tls_seal_room(opener.stream), 0);
	assert_true(tls_unsent(opener.stream));
	assert_int_equal(tls_flush(opener.stream, &opener.err), IO_OK);
	assert_false(tls_unsent(opener.stream));
	while (have < sizeof(got)) {
		size_t length;

		assert_int_equal(
			read_some(&acceptor, got + have, sizeof(got) - have, &length), IO_OK);
		have += length;
	}
	assert_memory_equal(got, bytes, sizeof(bytes));
}

static void a_socket_that_takes_no_more_is_waited_for(void **state)
{
	static char bytes[TLS_SEAL_LONGEST_BYTES];
	enum io_result result = IO_OK;

	(void)state;
	shake_hands();
	for (int i = 0; i < 1000 && result == IO_OK; i++) {
		assert_int_equal(tls_seal(opener.stream, bytes, sizeof(bytes), &opener.err), 0);
		result = tls_flush(opener.stream, &opener.err);
	}
	assert_int_equal(result, IO_AGAIN);
	assert_true(tls_unsent(opener.stream));
}

static void a_proper_end_is_an_end(void **state)
{
	char text[32];

	(void)state;
	shake_hands();
	tls_finish(opener.stream);
	assert_int_equal(tls_flush(opener.stream, &opener.err), IO_OK);
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_EOF);
}

static void an_end_without_close_notify_is_a_lost_link(void **state)
{
	char text[32];

	(void)state;
	shake_hands();
	close(opener.fd);
	opener.fd = -1;
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_FAILED);
	assert_failed(&acceptor, ERROR_LINK, "connection lost", "closed by the peer");
}

static void bytes_before_a_truncation_are_still_read(void **state)
{
	char text[32];

	(void)state;
	shake_hands();
	seal(&opener, "last");
	close(opener.fd);
	opener.fd = -1;
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_OK);
	assert_string_equal(text, "last");
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_FAILED);
	assert_int_equal(acceptor.err.code, ERROR_LINK);
}

static void writing_to_a_closed_connection_is_a_lost_link(void **state)
{
	(void)state;
	shake_hands();
	close(acceptor.fd);
	acceptor.fd = -1;
	assert_int_equal(tls_seal(opener.stream, "x", 1, &opener.err), 0);
	opener.result = tls_flush(opener.stream, &opener.err);
	assert_failed(&opener, ERROR_LINK, "connection lost", "Broken pipe");
}

static void garbage_after_the_handshake_is_the_fault_of_the_peer(void **state)
{
	static const char garbage[] = "GET / HTTP/1.1\r\nHost: hostb\r\n\r\n";
	char text[32];

	(void)state;
	shake_hands();
	assert_true(send(opener.fd, garbage, sizeof(garbage), MSG_NOSIGNAL) > 0);
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_FAILED);
	assert_failed(&acceptor, ERROR_PEER, "TLS failed", "wrong version number");
}

static void a_changed_byte_is_noticed(void **state)
{
	unsigned char record[256];
	char text[32];
	ssize_t length;

	(void)state;
	shake_hands();
	assert_int_equal(tls_seal(opener.stream, "page", 4, &opener.err), 0);
	assert_int_equal(tls_flush(opener.stream, &opener.err), IO_OK);
	length = recv(acceptor.fd, record, sizeof(record), 0);
	assert_true(length > 8);
	record[length - 1] ^= 1;
	assert_int_equal(send(opener.fd, record, (size_t)length, MSG_NOSIGNAL), length);
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_FAILED);
	assert_int_equal(acceptor.err.code, ERROR_PEER);
}

/* @returns what it comes to when the raw end renews its keys @count times */
static enum io_result renew_keys(int kind, int count)
{
	char text[32];

	for (int i = 0; i < count; i++) {
		if (SSL_key_update(raw.ssl, kind) != 1 || SSL_do_handshake(raw.ssl) != 1)
			fail_msg("the raw end cannot renew its keys");
		if (read_text(&acceptor, text, sizeof(text)) == IO_FAILED)
			break;
	}
	return acceptor.result;
}

static void keys_may_be_renewed(void **state)
{
	char text[32];

	(void)state;
	acceptor_meets_raw(&made.hosta);
	assert_int_equal(renew_keys(SSL_KEY_UPDATE_REQUESTED, 30), IO_AGAIN);
	assert_int_equal(tls_flush(acceptor.stream, &acceptor.err), IO_OK);
	assert_int_equal(SSL_write(raw.ssl, "page", 4), 4);
	assert_int_equal(read_text(&acceptor, text, sizeof(text)), IO_OK);
	assert_string_equal(text, "page");
	seal(&acceptor, "request");
	assert_int_equal(SSL_read(raw.ssl, text, sizeof(text)), 7);
}

static void keys_that_are_renewed_without_end_end_the_connection(void **state)
{
	(void)state;
	acceptor_meets_raw(&made.hosta);
	assert_int_equal(renew_keys(SSL_KEY_UPDATE_NOT_REQUESTED, 10000), IO_FAILED);
	assert_failed(&acceptor, ERROR_PEER, "the other side", "without end");
}

/* Nobody takes the answers: they must not fill what is to be sent while the socket is readable. */
static void keys_that_the_peer_has_renewed_without_end_end_the_connection(void **state)
{
	(void)state;
	acceptor_meets_raw(&made.hosta);
	assert_int_equal(renew_keys(SSL_KEY_UPDATE_REQUESTED, 10000), IO_FAILED);
	assert_failed(&acceptor, ERROR_PEER, "the other side", "without end");
}

static bool no_memory;

/* The linker gives this to whoever calls malloc() in this program. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

static void want_of_memory_is_the_fault_of_this_host(void **state)
{
	int code;

	(void)state;
	shake_hands();
	no_memory = true;
	code = tls_seal(opener.stream, "page", 4, &opener.err);
	no_memory = false;
	assert_int_equal(code, -1);
	assert_said(&opener.err, ERROR_LOCAL, "no memory", "TLS");
}

static void plain_text_is_refused(void **state)
{
	static const char text[] = "{\"execute\": \"migrate\"}\n";

	(void)state;
	use(&acceptor, &made.hostb);
	assert_true(send(opener.fd, text, sizeof(text), MSG_NOSIGNAL) > 0);
	go_on(&acceptor);
	assert_failed(&acceptor, ERROR_PEER, "the other side", "does not speak this protocol");
}

static void a_connection_that_ends_before_the_handshake_is_a_lost_link(void **state)
{
	(void)state;
	use(&acceptor, &made.hostb);
	close(opener.fd);
	opener.fd = -1;
	go_on(&acceptor);
	assert_failed(&acceptor, ERROR_LINK, "connection lost", "closed by the peer");
}

static void a_client_of_tls_1_2_is_refused(void **state)
{
	(void)state;
	use(&acceptor, &made.hostb);
	use_raw(&opener, &made.hosta);
	SSL_set_max_proto_version(raw.ssl, TLS1_2_VERSION);
	shake_hands_with_raw(&acceptor);
	assert_failed(&acceptor, ERROR_PEER, "the other side", "TLS 1.3");
	assert_int_not_equal(raw.code, 1);
}

static void a_server_of_tls_1_2_is_refused(void **state)
{
	(void)state;
	use(&opener, &made.hosta);
	use_raw(&acceptor, &made.hostb);
	SSL_set_max_proto_version(raw.ssl, TLS1_2_VERSION);
	shake_hands_with_raw(&opener);
	assert_failed(&opener, ERROR_PEER, "the other side", "TLS 1.3");
}

static void a_client_of_another_protocol_is_refused(void **state)
{
	static const unsigned char http[] = "\x08"
					    "http/1.1";

	(void)state;
	use(&acceptor, &made.hostb);
	use_raw(&opener, &made.hosta);
	SSL_set_alpn_protos(raw.ssl, http, sizeof(http) - 1);
	shake_hands_with_raw(&acceptor);
	assert_failed(&acceptor, ERROR_PEER, "the other side", "does not speak this protocol");
}

static void a_client_that_names_no_protocol_is_refused(void **state)
{
	(void)state;
	use(&acceptor, &made.hostb);
	use_raw(&opener, &made.hosta);
	SSL_set_alpn_protos(raw.ssl, NULL, 0);
	shake_hands_with_raw(&acceptor);
	assert_failed(&acceptor, ERROR_PEER, "the other side", "does not speak this protocol");
}

static void a_server_that_names_no_protocol_is_refused(void **state)
{
	(void)state;
	use(&opener, &made.hosta);
	use_raw(&acceptor, &made.hostb);
	SSL_CTX_set_alpn_select_cb(raw.context, NULL, NULL);
	shake_hands_with_raw(&opener);
	assert_failed(&opener, ERROR_PEER, "the other side", "does not speak this protocol");
}

static void a_client_without_a_certificate_is_refused(void **state)
{
	(void)state;
	acceptor_meets_raw(NULL);
	assert_failed(&acceptor, ERROR_IDENTITY, "the peer", "no certificate");
}

static void a_client_of_another_ca_is_refused(void **state)
{
	(void)state;
	acceptor_meets_raw(&made.of_stranger);
	assert_failed(&acceptor, ERROR_IDENTITY, "the peer's certificate is not signed",
		"certificates of the same CA");
}

static void a_server_of_another_ca_is_refused(void **state)
{
	(void)state;
	opener_meets_raw(&made.of_stranger);
	assert_failed(&opener, ERROR_IDENTITY, "the peer's certificate is not signed",
		"certificates of the same CA");
}

static void an_expired_client_is_refused(void **state)
{
	(void)state;
	acceptor_meets_raw(&made.expired);
	assert_failed(&acceptor, ERROR_IDENTITY, "the peer's certificate expired at 2", "clock");
}

static void an_expired_server_is_refused(void **state)
{
	(void)state;
	opener_meets_raw(&made.expired);
	assert_failed(&opener, ERROR_IDENTITY, "the peer's certificate expired at 2", "renew");
}

static void a_client_that_is_not_yet_valid_is_refused(void **state)
{
	(void)state;
	acceptor_meets_raw(&made.early);
	assert_failed(&acceptor, ERROR_IDENTITY, "the peer's certificate is not valid before 2",
		"compare the clocks");
}

static void a_client_certificate_only_for_servers_is_refused(void **state)
{
	(void)state;
	acceptor_meets_raw(&made.only_server);
	assert_failed(&acceptor, ERROR_IDENTITY, "the peer's certificate", "extendedKeyUsage");
}

static void a_server_certificate_only_for_clients_is_refused(void **state)
{
	(void)state;
	opener_meets_raw(&made.only_client);
	assert_failed(&opener, ERROR_IDENTITY, "the peer's certificate", "extendedKeyUsage");
}

static void an_opener_learns_that_its_ca_is_not_known(void **state)
{
	char text[32];

	(void)state;
	use(&opener, &made.hosta);
	use_raw(&acceptor, &made.hostb);
	SSL_CTX_load_verify_file(raw.context, made.stranger.file);
	SSL_set1_verify_cert_store(raw.ssl, SSL_CTX_get_cert_store(raw.context));
	SSL_set_verify(raw.ssl, SSL_VERIFY_PEER, NULL);
	shake_hands_with_raw(&opener);
	assert_int_equal(read_text(&opener, text, sizeof(text)), IO_FAILED);
	assert_failed(&opener, ERROR_IDENTITY, "this host's certificate", "same CA");
}

/* The alert reaches the client after its own part of the handshake is done (RFC 8446, 4.4.2.4). */
static void a_client_learns_why_it_was_refused(void **state)
{
	char text[32];

	(void)state;
	acceptor_meets_raw(&made.of_stranger);
	assert_int_equal(raw.code, 1);
	assert_int_not_equal(SSL_read(raw.ssl, text, sizeof(text)), 1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_UNKNOWN_CA);
}

static void no_ticket_is_given_out(void **state)
{
	char text[32];

	(void)state;
	use(&acceptor, &made.hostb);
	use_raw(&opener, &made.hosta);
	shake_hands_with_raw(&acceptor);
	assert_int_equal(acceptor.result, IO_OK);
	assert_int_equal(SSL_read(raw.ssl, text, sizeof(text)), -1);
	assert_int_equal(SSL_SESSION_has_ticket(SSL_get0_session(raw.ssl)), 0);
}

/* What a host says of its own files */

static void assert_unusable(const char *ca, const char *certificate, const char *key,
	const char *thing, const char *remedy)
{
	struct error err;

	assert_null(tls_context_new(TLS_OPENER | TLS_ACCEPTOR, ca, certificate, key, &err));
	assert_said(&err, ERROR_LOCAL, thing, remedy);
	assert_int_equal(ERR_peek_error(), 0);
}

static void assert_own_refused(
	const struct credential *credential, const char *thing, const char *remedy)
{
	assert_unusable(made.authority.file, credential->certificate_file, credential->key_file,
		thing, remedy);
	assert_unusable(made.authority.file, credential->certificate_file, credential->key_file,
		credential->certificate_file, remedy);
}

static void a_missing_ca_is_named(void **state)
{
	(void)state;
	assert_unusable("/nonexistent/ca.pem", made.hosta.certificate_file, made.hosta.key_file,
		"ca = /nonexistent/ca.pem", "No such file");
}

static void a_missing_certificate_is_named(void **state)
{
	(void)state;
	assert_unusable(made.authority.file, "/nonexistent/host.pem", made.hosta.key_file,
		"certificate = /nonexistent/host.pem", "No such file");
}

static void a_missing_key_is_named(void **state)
{
	(void)state;
	assert_unusable(made.authority.file, made.hosta.certificate_file, "/nonexistent/host.key",
		"key = /nonexistent/host.key", "No such file");
}

static void a_key_that_may_not_be_read_is_named(void **state)
{
	char path[CERTIFICATE_PATH_BYTES];

	(void)state;
	if (geteuid() == 0) {
		/* Nothing is unreadable to root, but a directory is no file to anybody. */
		assert_unusable(made.authority.file, made.hosta.certificate_file, made.directory,
			"key = ", made.directory);
		return;
	}
	snprintf(path, sizeof(path), "%s/unreadable.key", made.directory);
	certificates_write_key(path, made.hosta.key, NULL);
	assert_int_equal(chmod(path, 0), 0);
	assert_unusable(made.authority.file, made.hosta.certificate_file, path,
		"key = ", "Permission denied");
}

static void a_key_with_a_passphrase_is_refused(void **state)
{
	char path[CERTIFICATE_PATH_BYTES];

	(void)state;
	snprintf(path, sizeof(path), "%s/encrypted.key", made.directory);
	certificates_write_key(path, made.hosta.key, "word");
	assert_unusable(
		made.authority.file, made.hosta.certificate_file, path, "key = ", "passphrase");
}

static void a_key_of_another_certificate_is_refused(void **state)
{
	(void)state;
	assert_unusable(made.authority.file, made.hosta.certificate_file, made.hostb.key_file,
		made.hostb.key_file, "does not belong to the certificate");
}

static void a_key_of_another_kind_is_refused(void **state)
{
	char path[CERTIFICATE_PATH_BYTES];
	EVP_PKEY *key = EVP_RSA_gen(2048);

	(void)state;
	snprintf(path, sizeof(path), "%s/rsa.key", made.directory);
	certificates_write_key(path, key, NULL);
	EVP_PKEY_free(key);
	assert_unusable(made.authority.file, made.hosta.certificate_file, path, path,
		"does not belong to the certificate");
}

static void a_certificate_file_that_is_not_pem_is_refused(void **state)
{
	char path[CERTIFICATE_PATH_BYTES];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/text.pem", made.directory);
	file = fopen(path, "w");
	fputs("not a certificate\n", file);
	fclose(file);
	assert_unusable(made.authority.file, path, made.hosta.key_file, path, "not usable PEM");
	assert_unusable(
		path, made.hosta.certificate_file, made.hosta.key_file, "ca = ", "not usable PEM");
}

static void an_own_certificate_of_another_ca_is_refused(void **state)
{
	(void)state;
	assert_own_refused(&made.of_stranger, "certificate = ", "same CA");
}

static void an_own_certificate_that_has_expired_is_refused(void **state)
{
	(void)state;
	assert_own_refused(&made.expired, "expired at 2", "renew");
}

static void an_own_certificate_that_is_not_yet_valid_is_refused(void **state)
{
	(void)state;
	assert_own_refused(&made.early, "not valid before 2", "clocks");
}

static void an_own_certificate_only_for_servers_is_refused(void **state)
{
	(void)state;
	assert_own_refused(&made.only_server, "certificate = ", "extendedKeyUsage");
}

static void an_own_certificate_only_for_clients_is_refused(void **state)
{
	(void)state;
	assert_own_refused(&made.only_client, "certificate = ", "extendedKeyUsage");
}

static void an_own_certificate_without_names_is_refused(void **state)
{
	(void)state;
	assert_own_refused(&made.nameless, "names nobody", "subjectAltName");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_sides_of_a_good_pair_know_each_other),
		TEST(the_names_of_the_peer_are_told),
		TEST(what_is_sealed_arrives),
		TEST(nothing_to_read_is_no_error),
		TEST(nothing_passes_in_plain_text),
		TEST(many_records_leave_with_one_flush),
		TEST(a_socket_that_takes_no_more_is_waited_for),
		TEST(a_proper_end_is_an_end),
		TEST(an_end_without_close_notify_is_a_lost_link),
		TEST(bytes_before_a_truncation_are_still_read),
		TEST(writing_to_a_closed_connection_is_a_lost_link),
		TEST(garbage_after_the_handshake_is_the_fault_of_the_peer),
		TEST(a_changed_byte_is_noticed),
		TEST(keys_may_be_renewed),
		TEST(keys_that_are_renewed_without_end_end_the_connection),
		TEST(keys_that_the_peer_has_renewed_without_end_end_the_connection),
		TEST(want_of_memory_is_the_fault_of_this_host),
		TEST(plain_text_is_refused),
		TEST(a_connection_that_ends_before_the_handshake_is_a_lost_link),
		TEST(a_client_of_tls_1_2_is_refused),
		TEST(a_server_of_tls_1_2_is_refused),
		TEST(a_client_of_another_protocol_is_refused),
		TEST(a_client_that_names_no_protocol_is_refused),
		TEST(a_server_that_names_no_protocol_is_refused),
		TEST(a_client_without_a_certificate_is_refused),
		TEST(a_client_of_another_ca_is_refused),
		TEST(a_server_of_another_ca_is_refused),
		TEST(an_expired_client_is_refused),
		TEST(an_expired_server_is_refused),
		TEST(a_client_that_is_not_yet_valid_is_refused),
		TEST(a_client_certificate_only_for_servers_is_refused),
		TEST(a_server_certificate_only_for_clients_is_refused),
		TEST(an_opener_learns_that_its_ca_is_not_known),
		TEST(a_client_learns_why_it_was_refused),
		TEST(no_ticket_is_given_out),
		cmocka_unit_test(a_missing_ca_is_named),
		cmocka_unit_test(a_missing_certificate_is_named),
		cmocka_unit_test(a_missing_key_is_named),
		cmocka_unit_test(a_key_that_may_not_be_read_is_named),
		cmocka_unit_test(a_key_with_a_passphrase_is_refused),
		cmocka_unit_test(a_key_of_another_certificate_is_refused),
		cmocka_unit_test(a_key_of_another_kind_is_refused),
		cmocka_unit_test(a_certificate_file_that_is_not_pem_is_refused),
		cmocka_unit_test(an_own_certificate_of_another_ca_is_refused),
		cmocka_unit_test(an_own_certificate_that_has_expired_is_refused),
		cmocka_unit_test(an_own_certificate_that_is_not_yet_valid_is_refused),
		cmocka_unit_test(an_own_certificate_only_for_servers_is_refused),
		cmocka_unit_test(an_own_certificate_only_for_clients_is_refused),
		cmocka_unit_test(an_own_certificate_without_names_is_refused),
	};

	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
