/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certificates.h"

enum { HOUR_S = 3600 };

void certificates_make_directory(char directory[64])
{
	snprintf(directory, 64, "/tmp/culvert-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
}

void certificates_remove_directory(const char *directory)
{
	DIR *listing = opendir(directory);
	struct dirent *entry;

	assert_non_null(listing);
	while ((entry = readdir(listing)))
		(void)unlinkat(dirfd(listing), entry->d_name, 0);
	closedir(listing);
	assert_int_equal(rmdir(directory), 0);
}

static X509 *begin_certificate(EVP_PKEY *key, const char *common_name)
{
	static long serial;
	X509 *certificate = X509_new();

	assert_non_null(certificate);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_set_pubkey(certificate, key);
	if (common_name)
		X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
			(const unsigned char *)common_name, -1, -1, 0);
	return certificate;
}

static void add_extension(X509 *certificate, int name, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, name, value);

	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static void add_name(GENERAL_NAMES *names, int type, const char *text, size_t length)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *string = ASN1_IA5STRING_new();

	assert_int_equal(ASN1_STRING_set(string, text, (int)length), 1);
	GENERAL_NAME_set0_value(name, type, string);
	assert_true(sk_GENERAL_NAME_push(names, name) > 0);
}

static void add_names(X509 *certificate, const struct certificate_plan *plan)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();

	if (plan->dns)
		add_name(names, GEN_DNS, plan->dns,
			plan->dns_length ? plan->dns_length : strlen(plan->dns));
	if (plan->uri)
		add_name(names, GEN_URI, plan->uri, strlen(plan->uri));
	if (sk_GENERAL_NAME_num(names) > 0)
		assert_int_equal(
			X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0), 1);
	GENERAL_NAMES_free(names);
}

static void sign(X509 *certificate, const struct authority *authority)
{
	X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate));
	assert_true(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
}

static void write_certificate(const char *path, X509 *certificate)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	fclose(file);
}

void certificates_write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL,
				 (const unsigned char *)passphrase,
				 passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
		1);
	fclose(file);
}

void authority_init(struct authority *authority, const char *directory, const char *name)
{
	*authority = (struct authority){.key = EVP_EC_gen("P-256")};
	snprintf(authority->directory, sizeof(authority->directory), "%s", directory);
	snprintf(authority->file, sizeof(authority->file), "%s/%s.pem", directory, name);
	assert_non_null(authority->key);
	authority->certificate = begin_certificate(authority->key, name);
	X509_gmtime_adj(X509_getm_notBefore(authority->certificate), -24 * HOUR_S);
	X509_gmtime_adj(X509_getm_notAfter(authority->certificate), 24 * HOUR_S);
	add_extension(authority->certificate, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(authority->certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	sign(authority->certificate, authority);
	write_certificate(authority->file, authority->certificate);
}

void authority_fini(struct authority *authority)
{
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
}

void authority_issue(struct authority *authority, const char *name,
	const struct certificate_plan *plan, struct credential *credential)
{
	*credential = (struct credential){.key = EVP_EC_gen("P-256")};
	assert_non_null(credential->key);
	snprintf(credential->certificate_file, CERTIFICATE_PATH_BYTES, "%s/%s.pem",
		authority->directory, name);
	snprintf(credential->key_file, CERTIFICATE_PATH_BYTES, "%s/%s.key", authority->directory,
		name);
	credential->certificate = begin_certificate(credential->key, plan->common_name);
	X509_gmtime_adj(
		X509_getm_notBefore(credential->certificate), plan->begins_after_s - HOUR_S);
	X509_gmtime_adj(X509_getm_notAfter(credential->certificate), HOUR_S - plan->ends_before_s);
	add_extension(credential->certificate, NID_basic_constraints, "critical,CA:FALSE");
	if (plan->usage)
		add_extension(credential->certificate, NID_ext_key_usage, plan->usage);
	add_names(credential->certificate, plan);
	sign(credential->certificate, authority);
	write_certificate(credential->certificate_file, credential->certificate);
	certificates_write_key(credential->key_file, credential->key, NULL);
}

void credential_fini(struct credential *credential)
{
	X509_free(credential->certificate);
	EVP_PKEY_free(credential->key);
}
