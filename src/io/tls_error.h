/* What went wrong in TLS, in words that name the remedy. */
#ifndef CULVERT_IO_TLS_ERROR_H
#define CULVERT_IO_TLS_ERROR_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/error.h"

/** A configured file could not be used. @returns -1 */
int tls_error_file(struct error *err, const char *key, const char *path);

/**
 * A connection failed inside TLS.
 *
 * @secured  its handshake was done
 * @refused  the certificate that did not verify, or NULL
 * @returns  -1
 */
int tls_error_connection(struct error *err, SSL *ssl, bool secured, X509 *refused);

/** A certificate was not accepted, for OpenSSL's @verify_result. @returns -1 */
int tls_error_certificate(struct error *err, enum error_code code, const char *whose,
	X509 *certificate, long verify_result);

#endif
