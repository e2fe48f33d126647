#include "io/identity.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "io/tls_error.h"

/* The text of a DNS or URI name, or NULL. A name with a NUL inside is none. */
static const char *name_text(const GENERAL_NAME *name, bool *dns)
{
	const ASN1_IA5STRING *string;
	const char *text;

	if (name->type != GEN_DNS && name->type != GEN_URI)
		return NULL;
	*dns = name->type == GEN_DNS;
	string = *dns ? name->d.dNSName : name->d.uniformResourceIdentifier;
	text = (const char *)ASN1_STRING_get0_data(string);
	if (strlen(text) != (size_t)ASN1_STRING_length(string))
		return NULL;
	return text;
}

static GENERAL_NAMES *names_of(X509 *certificate)
{
	return certificate ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL) : NULL;
}

bool identity_matches(X509 *certificate, const char *identity)
{
	GENERAL_NAMES *names = names_of(certificate);
	bool matches = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		bool dns;
		const char *text = name_text(sk_GENERAL_NAME_value(names, i), &dns);

		if (text && (dns ? strcasecmp(text, identity) : strcmp(text, identity)) == 0)
			matches = true;
	}
	GENERAL_NAMES_free(names);
	return matches;
}

void identity_names(X509 *certificate, char *text, size_t size)
{
	GENERAL_NAMES *names = names_of(certificate);
	size_t used = 0;

	snprintf(text, size, "(no name)");
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		bool dns;
		const char *name = name_text(sk_GENERAL_NAME_value(names, i), &dns);
		int length;

		if (!name)
			continue;
		length = snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
		if (length < 0 || (size_t)length >= size - used)
			break;
		used += (size_t)length;
	}
	for (char *p = text; *p; p++) {
		if (*p < 0x20 || *p > 0x7e || *p == '"')
			*p = '?';
	}
	GENERAL_NAMES_free(names);
}

/* As a peer verifies it, when this host is @purpose. @whose  the certificate, for messages */
static int verify_own(SSL_CTX *ssl, int purpose, const char *whose, struct error *err)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = NULL;
	int result = -1;

	SSL_CTX_get0_chain_certs(ssl, &chain);
	if (!check ||
		X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ssl),
			SSL_CTX_get0_certificate(ssl), chain) != 1 ||
		X509_STORE_CTX_set_purpose(check, purpose) != 1)
		error_set(err, ERROR_LOCAL, "%s certificate cannot be checked: no memory", whose);
	else if (X509_verify_cert(check) == 1)
		result = 0;
	else
		tls_error_certificate(err, ERROR_LOCAL,
			X509_STORE_CTX_get_error_depth(check) == 0 ? whose : "the CA's",
			X509_STORE_CTX_get_current_cert(check), X509_STORE_CTX_get_error(check));
	X509_STORE_CTX_free(check);
	return result;
}

int identity_check_own(
	SSL_CTX *ssl, unsigned roles, const char *certificate_file, struct error *err)
{
	char whose[300];
	char names[256];

	snprintf(whose, sizeof(whose), "certificate = %s: this", certificate_file);
	if ((roles & TLS_OPENER) && verify_own(ssl, X509_PURPOSE_SSL_CLIENT, whose, err) < 0)
		return -1;
	if ((roles & TLS_ACCEPTOR) && verify_own(ssl, X509_PURPOSE_SSL_SERVER, whose, err) < 0)
		return -1;
	identity_names(SSL_CTX_get0_certificate(ssl), names, sizeof(names));
	if (strcmp(names, "(no name)") == 0)
		return error_set(err, ERROR_LOCAL,
			"%s certificate names nobody: it needs a DNS or URI subjectAltName", whose);
	return 0;
}

/* INT64_MAX: a time that cannot be read, which no certificate that was verified has */
static int64_t end_of(const X509 *certificate)
{
	struct tm parts;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1)
		return INT64_MAX;
	return (int64_t)timegm(&parts);
}

void identity_find_expiry(SSL_CTX *ssl, struct identity_expiry *expiry)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	X509 *own = SSL_CTX_get0_certificate(ssl);
	STACK_OF(X509) *chain = NULL;

	*expiry = (struct identity_expiry){end_of(own), INT64_MAX};
	SSL_CTX_get0_chain_certs(ssl, &chain);
	if (check && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ssl), own, chain) == 1) {
		X509_STORE_CTX_set_flags(check, X509_V_FLAG_NO_CHECK_TIME);
		(void)X509_verify_cert(check);
		chain = X509_STORE_CTX_get0_chain(check);
		for (int i = 1; i < sk_X509_num(chain); i++) {
			int64_t end_s = end_of(sk_X509_value(chain, i));

			if (end_s < expiry->authority_s)
				expiry->authority_s = end_s;
		}
	}
	X509_STORE_CTX_free(check);
}
