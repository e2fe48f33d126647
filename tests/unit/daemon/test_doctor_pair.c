/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "daemon/doctor_pair.h"

#define MIB ((uint64_t)1 << 20)

/* @says  part of its text or remedy; what is not good has a remedy */
static void assert_found(struct finding finding, enum finding_state state, const char *says)
{
	assert_int_equal(finding.state, state);
	assert_int_equal(*finding.remedy != '\0', state != FINDING_GOOD);
	if (!strstr(finding.text, says) && !strstr(finding.remedy, says))
		fail_msg("'%s' is not in '%s', '%s'", says, finding.text, finding.remedy);
}

static void a_peer_that_answers_is_good(void **state)
{
	(void)state;
	assert_found(doctor_pair_reached("10.0.0.2:16520 (b)", 1500), FINDING_GOOD, "1.50 ms");
}

static void a_peer_out_of_reach_is_bad_with_a_remedy_of_its_own(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, ERROR_LINK, "refused");
	assert_found(doctor_pair_unreached("hostb", &err), FINDING_BAD, "firewall");
	error_set(&err, ERROR_IDENTITY, "wrong name");
	assert_found(doctor_pair_unreached("hostb", &err), FINDING_BAD, "same CA");
	error_set(&err, ERROR_PEER, "no such service");
	assert_found(doctor_pair_unreached("hostb", &err), FINDING_BAD, "services = migrate");
}

static void clocks_more_than_two_seconds_apart_are_a_warning(void **state)
{
	(void)state;
	assert_found(doctor_pair_clocks("hostb", 2000), FINDING_GOOD, "agree");
	assert_found(doctor_pair_clocks("hostb", -2000), FINDING_GOOD, "agree");
	assert_found(doctor_pair_clocks("hostb", 2001), FINDING_WARNING, "2.0 s ahead");
	assert_found(doctor_pair_clocks("hostb", -61000), FINDING_WARNING, "61.0 s behind");
}

static void libvirt_that_is_not_permitted_is_bad_where_domains_are(void **state)
{
	struct facts there = {.name_there = "hosta"};

	(void)state;
	assert_found(doctor_pair_permission("hostb", &there, false), FINDING_GOOD, "migrate");
	assert_found(doctor_pair_permission("hostb", &there, true), FINDING_BAD,
		"in culvert.conf of hostb, section [peer hosta]: services = migrate, libvirt");
	there.may_libvirt = true;
	assert_found(doctor_pair_permission("hostb", &there, true), FINDING_GOOD, "libvirt");
}

static void different_versions_of_culvert_are_a_warning(void **state)
{
	struct facts here = {.version = "0.1.0"};
	struct facts there = {.version = "0.2.0"};

	(void)state;
	assert_found(doctor_pair_versions(&here, &here), FINDING_GOOD, "0.1.0");
	assert_found(doctor_pair_versions(&here, &there), FINDING_WARNING, "0.2.0");
}

static void an_older_qemu_at_the_destination_is_bad(void **state)
{
	struct facts older = {.qemu = "7.2.22"};
	struct facts newer = {.qemu = "8.0.0"};
	struct facts fixed = {.qemu = "7.2.1"};
	struct facts unknown = {0};

	(void)state;
	assert_found(doctor_pair_qemu(&older, &newer), FINDING_GOOD, "8.0.0 there");
	assert_found(doctor_pair_qemu(&older, &fixed), FINDING_GOOD, "7.2.1 there");
	assert_found(doctor_pair_qemu(&newer, &older), FINDING_BAD, "is older");
	assert_found(doctor_pair_qemu(&older, &unknown), FINDING_WARNING, "not known there");
	assert_found(doctor_pair_qemu(&unknown, &older), FINDING_WARNING, "not known here");
}

static void an_older_libvirt_at_the_destination_is_a_warning(void **state)
{
	struct facts older = {.libvirt = "9.0.0"};
	struct facts newer = {.libvirt = "10.0.0"};
	struct facts none = {0};

	(void)state;
	assert_found(doctor_pair_libvirt(&older, &newer), FINDING_GOOD, "10.0.0 there");
	assert_found(doctor_pair_libvirt(&newer, &older), FINDING_WARNING, "older");
	assert_found(doctor_pair_libvirt(&none, &none), FINDING_GOOD, "no libvirt");
	assert_found(doctor_pair_libvirt(&older, &none), FINDING_WARNING, "only here");
	assert_found(doctor_pair_libvirt(&none, &older), FINDING_WARNING, "only there");
}

static void buffers_below_a_gigabit_over_the_round_trip_are_a_warning(void **state)
{
	struct facts large = {.receive_bytes = 5000000, .send_bytes = 5000000};
	struct facts small = {.receive_bytes = 4999999, .send_bytes = 5000000};

	(void)state;
	/* 1 Gbit/s for 40 ms are 5,000,000 bytes */
	assert_found(doctor_pair_tcp(&large, &large, 40000), FINDING_GOOD, "40.00 ms");
	assert_found(doctor_pair_tcp(&large, &small, 40000), FINDING_WARNING, "tcp_rmem (4882");
	assert_found(doctor_pair_tcp(&large, &small, 40000), FINDING_WARNING, "there");
	assert_found(doctor_pair_tcp(&small, &large, 40000), FINDING_WARNING, "here");
	assert_found(doctor_pair_tcp(&large, &large, 40001), FINDING_WARNING, "tcp_wmem");
}

static void buffers_that_are_not_told_are_no_reason(void **state)
{
	struct facts untold = {0};

	(void)state;
	assert_found(doctor_pair_tcp(&untold, &untold, 40000), FINDING_GOOD, "large enough");
}

static void little_memory_at_the_destination_is_a_warning(void **state)
{
	struct facts there = {.memory_bytes = 512 * MIB};

	(void)state;
	assert_found(doctor_pair_memory("hostb", &there), FINDING_GOOD, "512 MiB");
	there.memory_bytes--;
	assert_found(doctor_pair_memory("hostb", &there), FINDING_WARNING, "511 MiB");
}

static void a_lesser_processor_is_a_warning(void **state)
{
	(void)state;
	assert_found(doctor_pair_cpu("hostb", true, NULL), FINDING_GOOD, "all that");
	assert_found(doctor_pair_cpu("hostb", false, NULL), FINDING_WARNING, "baseline");
	assert_found(doctor_pair_cpu("hostb", false, "no answer"), FINDING_WARNING, "no answer");
}

static void a_machine_type_that_is_missing_is_bad(void **state)
{
	(void)state;
	assert_found(doctor_pair_machines("hostb", "", NULL), FINDING_GOOD, "knows");
	assert_found(doctor_pair_machines("hostb", "pc-q35-9.0", NULL), FINDING_BAD, "pc-q35-9.0");
	assert_found(doctor_pair_machines("hostb", "", "no answer"), FINDING_WARNING, "no answer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_answers_is_good),
		cmocka_unit_test(a_peer_out_of_reach_is_bad_with_a_remedy_of_its_own),
		cmocka_unit_test(clocks_more_than_two_seconds_apart_are_a_warning),
		cmocka_unit_test(libvirt_that_is_not_permitted_is_bad_where_domains_are),
		cmocka_unit_test(different_versions_of_culvert_are_a_warning),
		cmocka_unit_test(an_older_qemu_at_the_destination_is_bad),
		cmocka_unit_test(an_older_libvirt_at_the_destination_is_a_warning),
		cmocka_unit_test(buffers_below_a_gigabit_over_the_round_trip_are_a_warning),
		cmocka_unit_test(buffers_that_are_not_told_are_no_reason),
		cmocka_unit_test(little_memory_at_the_destination_is_a_warning),
		cmocka_unit_test(a_lesser_processor_is_a_warning),
		cmocka_unit_test(a_machine_type_that_is_missing_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
