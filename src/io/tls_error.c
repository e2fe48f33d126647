#include "io/tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Wrong in value, wrong in kind, and wrong in kind as SSL_CTX_check_private_key() tells it */
static bool key_of_another(unsigned long code)
{
	int reason = ERR_GET_REASON(code);

	if (ERR_GET_LIB(code) == ERR_LIB_X509)
		return reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH;
	return ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_NO_CERTIFICATE_ASSIGNED;
}

int tls_error_file(struct error *err, const char *key, const char *path)
{
	unsigned long code = ERR_peek_error();
	char text[160];

	if (ERR_GET_LIB(code) == ERR_LIB_SYS)
		snprintf(text, sizeof(text), "%s", strerror(ERR_GET_REASON(code)));
	else if (access(path, R_OK) < 0)
		snprintf(text, sizeof(text), "%s", strerror(errno));
	else if (key_of_another(code))
		snprintf(text, sizeof(text), "the key does not belong to the certificate");
	else
		snprintf(text, sizeof(text), "not usable PEM (%s)",
			code ? ERR_reason_error_string(code) : "empty");
	ERR_clear_error();
	return error_set(err, ERROR_LOCAL, "%s = %s: %s", key, path, text);
}

static void time_text(const ASN1_TIME *time, char *text, size_t size)
{
	struct tm parts;

	if (!time || ASN1_TIME_to_tm(time, &parts) != 1 ||
		strftime(text, size, "%Y-%m-%d %H:%M UTC", &parts) == 0)
		snprintf(text, size, "an unknown time");
}

int tls_error_certificate(struct error *err, enum error_code code, const char *whose,
	X509 *certificate, long verify_result)
{
	char when[40];

	switch (verify_result) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		time_text(certificate ? X509_get0_notAfter(certificate) : NULL, when, sizeof(when));
		return error_set(err, code,
			"%s certificate expired at %s: renew it, or set the clock "
			"right if it is wrong",
			whose, when);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		time_text(
			certificate ? X509_get0_notBefore(certificate) : NULL, when, sizeof(when));
		return error_set(err, code,
			"%s certificate is not valid before %s: compare the "
			"clocks of both hosts",
			whose, when);
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return error_set(err, code,
			"%s certificate is not signed by the configured CA: both "
			"hosts need certificates of the same CA (key 'ca')",
			whose);
	case X509_V_ERR_INVALID_PURPOSE:
		return error_set(err, code,
			"%s certificate may not be used for this: its extendedKeyUsage needs "
			"clientAuth where a host connects to peers and serverAuth where they "
			"connect to it, or neither",
			whose);
	default:
		return error_set(err, code, "%s certificate is not acceptable: %s", whose,
			X509_verify_cert_error_string(verify_result));
	}
}

/* The peer closed with an alert: what it means for whoever reads the message */
static const char *alert_text(int reason)
{
	switch (reason) {
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
		return "the peer says that this host's certificate is expired or not yet valid: "
		       "renew it, and compare the clocks of both hosts";
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return "the peer does not know the CA that signed this host's certificate: both "
		       "hosts need certificates of the same CA (key 'ca')";
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
		return "the peer does not accept this host's certificate";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
		return "the peer says that this host's certificate is revoked";
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return "the peer wants a certificate";
	default:
		return NULL;
	}
}

int tls_error_connection(struct error *err, SSL *ssl, bool secured, X509 *refused)
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);
	const char *alert = ERR_GET_LIB(code) == ERR_LIB_SSL ? alert_text(reason) : NULL;
	long verify_result = SSL_get_verify_result(ssl);

	ERR_clear_error();
	if (alert)
		return error_set(err, ERROR_IDENTITY, "%s", alert);
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify_result != X509_V_OK)
		return tls_error_certificate(
			err, ERROR_IDENTITY, "the peer's", refused, verify_result);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return error_set(err, ERROR_IDENTITY, "the peer presented no certificate");
	if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
		return error_set(err, ERROR_PEER, "the other side does not speak TLS 1.3");
	return error_set(err, ERROR_PEER,
		secured ? "TLS failed: %s"
			: "the other side does not speak this protocol (TLS: %s)",
		code ? ERR_reason_error_string(code) : "ended early");
}
