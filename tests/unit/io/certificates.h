/* Certificate authorities and certificates made for one run of a test, as files in a directory of
 * their own. Any failure fails the test that asked. */
#ifndef CULVERT_TEST_CERTIFICATES_H
#define CULVERT_TEST_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>

#define CERTIFICATE_PATH_BYTES 128

struct authority {
	char directory[64];
	char file[CERTIFICATE_PATH_BYTES]; /* the certificate, PEM */
	EVP_PKEY *key;
	X509 *certificate;
};

/* Zero means: left out, or good */
struct certificate_plan {
	const char *common_name;
	const char *dns;
	size_t dns_length; /* of @dns with a NUL inside; 0: up to its NUL */
	const char *uri;
	const char *usage;   /* extendedKeyUsage, as in "serverAuth" */
	long begins_after_s; /* from an hour ago */
	long ends_before_s;  /* from an hour ahead */
};

struct credential {
	char certificate_file[CERTIFICATE_PATH_BYTES];
	char key_file[CERTIFICATE_PATH_BYTES];
	EVP_PKEY *key;
	X509 *certificate;
};

/** A directory for one run: made, and removed with the files in it */
void certificates_make_directory(char directory[64]);
void certificates_remove_directory(const char *directory);

/** @name  of its file, without ".pem" */
void authority_init(struct authority *authority, const char *directory, const char *name);
void authority_fini(struct authority *authority);

/** Issue a certificate into NAME.pem and NAME.key */
void authority_issue(struct authority *authority, const char *name,
	const struct certificate_plan *plan, struct credential *credential);
void credential_fini(struct credential *credential);

/** Write @key to @path; encrypted with @passphrase if there is one */
void certificates_write_key(const char *path, EVP_PKEY *key, const char *passphrase);

#endif
