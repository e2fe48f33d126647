/* Who a certificate is: DNS and URI names in its subjectAltName (RFC 5280, 4.2.1.6). The subject's
 * common name is never looked at, and wildcards match nothing. */
#ifndef CULVERT_IO_IDENTITY_H
#define CULVERT_IO_IDENTITY_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** @certificate may be NULL: no match */
bool identity_matches(X509 *certificate, const char *identity);

/** All such names for a message: "a, b", printable and without a quotation mark, so that a log can
 * quote it;
 * "(no name)" where there are none */
void identity_names(X509 *certificate, char *text, size_t size);

/* What a host does with its certificate, a set */
enum identity_role {
	TLS_OPENER = 1,   /* it connects to peers */
	TLS_ACCEPTOR = 2, /* peers connect to it */
};

/** Would peers accept the certificate loaded into @ssl? @roles  set of enum identity_role. @errors
 * ERROR_LOCAL with the remedy */
int identity_check_own(
	SSL_CTX *ssl, unsigned roles, const char *certificate_file, struct error *err);

/* Until when, in seconds since 1970 */
struct identity_expiry {
	int64_t own_s;       /* the certificate */
	int64_t authority_s; /* those that it was signed by: the first to end */
};

/** Of the certificate loaded into @ssl, also when it has passed */
void identity_find_expiry(SSL_CTX *ssl, struct identity_expiry *expiry);

#endif
