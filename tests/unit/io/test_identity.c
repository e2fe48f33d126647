/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "certificates.h"
#include "io/identity.h"

struct fixture {
	char directory[64];
	struct authority authority;
	struct credential credential;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){0};
	certificates_make_directory(fixture.directory);
	authority_init(&fixture.authority, fixture.directory, "ca");
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	credential_fini(&fixture->credential);
	authority_fini(&fixture->authority);
	certificates_remove_directory(fixture->directory);
	return 0;
}

static X509 *issue(struct fixture *fixture, struct certificate_plan plan)
{
	authority_issue(&fixture->authority, "host", &plan, &fixture->credential);
	return fixture->credential.certificate;
}

static void a_dns_name_matches(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.dns = "hosta.example"});

	assert_true(identity_matches(certificate, "hosta.example"));
}

static void a_dns_name_matches_in_any_case(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.dns = "HostA.example"});

	assert_true(identity_matches(certificate, "hosta.EXAMPLE"));
}

static void a_uri_matches(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.uri = "spiffe://site/hosta"});

	assert_true(identity_matches(certificate, "spiffe://site/hosta"));
}

static void a_uri_in_another_case_does_not_match(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.uri = "spiffe://site/hosta"});

	assert_false(identity_matches(certificate, "spiffe://site/HOSTA"));
}

static void each_of_several_names_matches(void **state)
{
	X509 *certificate = issue(
		*state, (struct certificate_plan){.dns = "hosta", .uri = "spiffe://site/hosta"});

	assert_true(identity_matches(certificate, "hosta"));
	assert_true(identity_matches(certificate, "spiffe://site/hosta"));
}

static void another_name_does_not_match(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.dns = "hosta.example"});

	assert_false(identity_matches(certificate, "hostb.example"));
}

static void the_beginning_of_a_name_does_not_match(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.dns = "hosta.example"});

	assert_false(identity_matches(certificate, "hosta"));
}

static void the_common_name_does_not_match(void **state)
{
	X509 *certificate = issue(*state,
		(struct certificate_plan){.common_name = "hosta.example", .dns = "other.example"});

	assert_false(identity_matches(certificate, "hosta.example"));
}

static void a_wildcard_matches_no_host(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.dns = "*.example"});

	assert_false(identity_matches(certificate, "hosta.example"));
}

static void a_name_with_a_nul_inside_does_not_match_its_beginning(void **state)
{
	static const char name[] = "hosta.example\0.evil";
	X509 *certificate = issue(
		*state, (struct certificate_plan){.dns = name, .dns_length = sizeof(name) - 1});

	assert_false(identity_matches(certificate, "hosta.example"));
}

static void no_certificate_matches_nothing(void **state)
{
	(void)state;
	assert_false(identity_matches(NULL, "hosta.example"));
}

static void the_names_are_listed_for_a_message(void **state)
{
	X509 *certificate = issue(*state,
		(struct certificate_plan){.common_name = "cn", .dns = "hosta", .uri = "urn:hosta"});
	char text[64];

	identity_names(certificate, text, sizeof(text));
	assert_string_equal(text, "hosta, urn:hosta");
}

static void a_certificate_without_names_says_so(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.common_name = "hosta"});
	char text[64];

	identity_names(certificate, text, sizeof(text));
	assert_string_equal(text, "(no name)");
}

static void what_is_not_printable_in_a_name_is_replaced(void **state)
{
	X509 *certificate = issue(*state, (struct certificate_plan){.dns = "a\nb\x1b[2J"});
	char text[64];

	identity_names(certificate, text, sizeof(text));
	assert_string_equal(text, "a?b?[2J");
}

static void names_beyond_the_room_are_cut(void **state)
{
	X509 *certificate =
		issue(*state, (struct certificate_plan){.dns = "hosta", .uri = "urn:hosta"});
	char text[8];

	identity_names(certificate, text, sizeof(text));
	assert_memory_equal(text, "hosta", 5);
	assert_true(strlen(text) < sizeof(text));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void the_end_of_certificate_and_ca_is_found(void **state)
{
	struct fixture *fixture = *state;
	struct certificate_plan plan = {.dns = "hosta.example", .ends_before_s = 1000};
	struct identity_expiry expiry;
	struct tm parts;
	SSL_CTX *ssl = SSL_CTX_new(TLS_method());
	X509 *certificate = issue(fixture, plan);

	assert_int_equal(SSL_CTX_load_verify_file(ssl, fixture->authority.file), 1);
	assert_int_equal(SSL_CTX_use_certificate(ssl, certificate), 1);
	identity_find_expiry(ssl, &expiry);
	assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts), 1);
	assert_int_equal(expiry.own_s, timegm(&parts));
	assert_int_equal(
		ASN1_TIME_to_tm(X509_get0_notAfter(fixture->authority.certificate), &parts), 1);
	assert_int_equal(expiry.authority_s, timegm(&parts));
	assert_true(expiry.own_s != expiry.authority_s);
	SSL_CTX_free(ssl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_dns_name_matches),
		TEST(a_dns_name_matches_in_any_case),
		TEST(a_uri_matches),
		TEST(a_uri_in_another_case_does_not_match),
		TEST(each_of_several_names_matches),
		TEST(another_name_does_not_match),
		TEST(the_beginning_of_a_name_does_not_match),
		TEST(the_common_name_does_not_match),
		TEST(a_wildcard_matches_no_host),
		TEST(a_name_with_a_nul_inside_does_not_match_its_beginning),
		cmocka_unit_test(no_certificate_matches_nothing),
		TEST(the_names_are_listed_for_a_message),
		TEST(a_certificate_without_names_says_so),
		TEST(what_is_not_printable_in_a_name_is_replaced),
		TEST(names_beyond_the_room_are_cut),
		TEST(the_end_of_certificate_and_ca_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
