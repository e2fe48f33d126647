/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/doctor_host.h"

#define DAY_S ((int64_t)24 * 3600)
#define NOW_S (1000 * DAY_S)

/* @says  part of its text or remedy; what is not good has a remedy */
static void assert_found(struct finding finding, enum finding_state state, const char *says)
{
	assert_int_equal(finding.state, state);
	assert_int_equal(*finding.remedy != '\0', state != FINDING_GOOD);
	if (!strstr(finding.text, says) && !strstr(finding.remedy, says))
		fail_msg("'%s' is not in '%s', '%s'", says, finding.text, finding.remedy);
}

static void userfaultfd_for_anybody_is_good(void **state)
{
	(void)state;
	assert_found(doctor_host_userfaultfd(
			     &(struct userfaultfd){.unprivileged = true, .user = "libvirt-qemu"}),
		FINDING_GOOD, "any QEMU");
}

static void userfaultfd_for_roots_qemu_is_good(void **state)
{
	(void)state;
	assert_found(doctor_host_userfaultfd(&(struct userfaultfd){.user = "root"}), FINDING_GOOD,
		"as root");
}

static void userfaultfd_by_its_device_is_good(void **state)
{
	(void)state;
	assert_found(doctor_host_userfaultfd(
			     &(struct userfaultfd){.user = "libvirt-qemu", .device = true}),
		FINDING_GOOD, "/dev/userfaultfd");
}

static void no_userfaultfd_for_qemus_user_is_bad(void **state)
{
	(void)state;
	assert_found(doctor_host_userfaultfd(&(struct userfaultfd){.user = "libvirt-qemu"}),
		FINDING_BAD, "sysctl vm.unprivileged_userfaultfd=1");
}

static void userfaultfd_for_an_unknown_user_is_a_warning(void **state)
{
	(void)state;
	assert_found(doctor_host_userfaultfd(&(struct userfaultfd){.device = true}),
		FINDING_WARNING, "runs as root");
}

static void a_kernel_without_userfaultfd_is_bad(void **state)
{
	(void)state;
	assert_found(
		doctor_host_userfaultfd(&(struct userfaultfd){.missing = true, .user = "root"}),
		FINDING_BAD, "CONFIG_USERFAULTFD");
}

static struct directory directory_of(const char *path, mode_t mode)
{
	return (struct directory){.path = path, .mode = S_IFDIR | mode, .owner = 7};
}

static struct finding look(struct directory runtime, struct directory m, struct directory peers)
{
	return doctor_host_directories(&runtime, &m, &peers, 7);
}

static void directories_as_culvertd_makes_them_are_good(void **state)
{
	struct directory none = {.path = "/r/m", .failure = ENOENT};

	(void)state;
	assert_found(look(directory_of("/r", 0755), directory_of("/r/m", 0711),
			     directory_of("/r/peers", 0755)),
		FINDING_GOOD, "as they should be");
	assert_found(look(directory_of("/r", 0755), none, directory_of("/r/peers", 0755)),
		FINDING_GOOD, "when it is needed");
}

static void a_directory_that_is_not_there_is_bad(void **state)
{
	struct directory none = {.path = "/r/peers", .failure = ENOENT};

	(void)state;
	assert_found(look(directory_of("/r", 0755), directory_of("/r/m", 0711), none), FINDING_BAD,
		"/r/peers: No such file");
}

static void a_directory_that_others_may_write_or_may_not_enter_is_bad(void **state)
{
	(void)state;
	assert_found(look(directory_of("/r", 0775), directory_of("/r/m", 0711),
			     directory_of("/r/peers", 0755)),
		FINDING_BAD, "/r has mode 0775");
	assert_found(look(directory_of("/r", 0755), directory_of("/r/m", 0700),
			     directory_of("/r/peers", 0755)),
		FINDING_BAD, "/r/m has mode 0700");
}

static void a_directory_of_somebody_else_is_bad(void **state)
{
	struct directory theirs = directory_of("/r/m", 0711);

	(void)state;
	theirs.owner = 8;
	assert_found(look(directory_of("/r", 0755), theirs, directory_of("/r/peers", 0755)),
		FINDING_BAD, "belongs to user 8");
}

static void qemu_outside_hypervisor_group_is_bad(void **state)
{
	(void)state;
	assert_found(doctor_host_group("qemu", "kvm", true), FINDING_GOOD, "may enter");
	assert_found(doctor_host_group("qemu", "root", false), FINDING_BAD, "hypervisor_group");
}

static void no_libvirt_is_good_with_a_note(void **state)
{
	(void)state;
	assert_found(doctor_host_libvirt(LIBVIRT_ABSENT, "", ""), FINDING_GOOD, "bare QEMU works");
}

static void a_libvirt_that_does_not_answer_is_a_warning(void **state)
{
	(void)state;
	assert_found(doctor_host_libvirt(LIBVIRT_UNREACHABLE, "", "refused"), FINDING_WARNING,
		"refused");
}

static void a_libvirt_that_cannot_resume_is_a_warning(void **state)
{
	(void)state;
	assert_found(doctor_host_libvirt(LIBVIRT_THERE, "9.0.0", ""), FINDING_GOOD, "9.0.0");
	assert_found(doctor_host_libvirt(LIBVIRT_THERE, "10.0.0", ""), FINDING_GOOD, "10.0.0");
	assert_found(doctor_host_libvirt(LIBVIRT_THERE, "8.4.0", ""), FINDING_WARNING, "8.5");
}

static void an_old_qemu_or_none_is_a_warning(void **state)
{
	(void)state;
	assert_found(doctor_host_qemu("7.2.22"), FINDING_GOOD, "7.2.22");
	assert_found(doctor_host_qemu("10.0.0"), FINDING_GOOD, "10.0.0");
	assert_found(doctor_host_qemu("6.2.0"), FINDING_WARNING, "6.2.0");
	assert_found(doctor_host_qemu(""), FINDING_WARNING, "install");
}

static void selinux_that_enforces_is_told(void **state)
{
	(void)state;
	assert_found(doctor_host_selinux(true), FINDING_WARNING, "ausearch");
	assert_found(doctor_host_selinux(false), FINDING_GOOD, "not");
}

static void apparmor_without_the_rule_is_bad(void **state)
{
	(void)state;
	assert_found(doctor_host_apparmor(true, NULL, "/run/culvert"), FINDING_BAD, "append");
	assert_found(doctor_host_apparmor(true, "", "/run/culvert"), FINDING_BAD, "append");
	assert_found(doctor_host_apparmor(true, "# /run/culvert/m/*/*.sock rw,\n", "/run/culvert"),
		FINDING_BAD, "append");
	assert_found(doctor_host_apparmor(true, "/run/culvert/m/** rw,\n", "/srv/culvert"),
		FINDING_BAD, "/srv/culvert/m/");
}

static void apparmor_with_the_rule_or_without_libvirt_is_good(void **state)
{
	(void)state;
	assert_found(doctor_host_apparmor(false, NULL, "/run/culvert"), FINDING_GOOD, "not");
	assert_found(
		doctor_host_apparmor(true, "# it\n  /run/culvert/m/*/*.sock rw,\n", "/run/culvert"),
		FINDING_GOOD, "lets QEMU");
	assert_found(doctor_host_apparmor(
			     true, "/{,var/}run/culvert/m/*/migrate.sock rw,\n", "/run/culvert"),
		FINDING_GOOD, "lets QEMU");
}

static struct finding certificate(int64_t own_s, int64_t authority_s)
{
	struct identity_expiry expiry = {NOW_S + own_s, NOW_S + authority_s};

	return doctor_host_certificate(NULL, &expiry, &expiry, NOW_S);
}

static void a_certificate_of_31_days_is_good_one_of_30_a_warning(void **state)
{
	(void)state;
	assert_found(certificate(31 * DAY_S, 900 * DAY_S), FINDING_GOOD, "until 1972-10-28");
	assert_found(certificate(30 * DAY_S, 900 * DAY_S), FINDING_WARNING,
		"certificate of this host expires");
}

static void a_ca_that_expires_first_is_named(void **state)
{
	(void)state;
	assert_found(certificate(900 * DAY_S, 3 * DAY_S), FINDING_WARNING,
		"certificate of the CA expires");
}

static void a_certificate_that_has_expired_is_bad(void **state)
{
	(void)state;
	assert_found(certificate(-1, 900 * DAY_S), FINDING_BAD, "has expired");
}

static void a_renewed_certificate_wants_a_new_start(void **state)
{
	struct identity_expiry loaded = {NOW_S + DAY_S, NOW_S + 900 * DAY_S};
	struct identity_expiry files = {NOW_S + 400 * DAY_S, NOW_S + 900 * DAY_S};

	(void)state;
	assert_found(doctor_host_certificate(NULL, &loaded, &files, NOW_S), FINDING_WARNING,
		"still uses the old one");
}

static void files_that_are_no_good_are_bad(void **state)
{
	struct identity_expiry loaded = {NOW_S + 400 * DAY_S, NOW_S + 900 * DAY_S};

	(void)state;
	assert_found(doctor_host_certificate("key = /k: no", &loaded, &loaded, NOW_S), FINDING_BAD,
		"key = /k: no");
}

static void small_tcp_buffers_are_a_warning(void **state)
{
	(void)state;
	assert_found(doctor_host_tcp(6291456, 4194304), FINDING_GOOD, "4 MiB to send");
	assert_found(doctor_host_tcp(6291456, 4194303), FINDING_WARNING, "tcp_wmem");
	assert_found(doctor_host_tcp(212992, 4194304), FINDING_WARNING, "tcp_rmem");
	assert_found(doctor_host_tcp(0, 4194304), FINDING_GOOD, "does not tell");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(userfaultfd_for_anybody_is_good),
		cmocka_unit_test(userfaultfd_for_roots_qemu_is_good),
		cmocka_unit_test(userfaultfd_by_its_device_is_good),
		cmocka_unit_test(no_userfaultfd_for_qemus_user_is_bad),
		cmocka_unit_test(userfaultfd_for_an_unknown_user_is_a_warning),
		cmocka_unit_test(a_kernel_without_userfaultfd_is_bad),
		cmocka_unit_test(directories_as_culvertd_makes_them_are_good),
		cmocka_unit_test(a_directory_that_is_not_there_is_bad),
		cmocka_unit_test(a_directory_that_others_may_write_or_may_not_enter_is_bad),
		cmocka_unit_test(a_directory_of_somebody_else_is_bad),
		cmocka_unit_test(qemu_outside_hypervisor_group_is_bad),
		cmocka_unit_test(no_libvirt_is_good_with_a_note),
		cmocka_unit_test(a_libvirt_that_does_not_answer_is_a_warning),
		cmocka_unit_test(a_libvirt_that_cannot_resume_is_a_warning),
		cmocka_unit_test(an_old_qemu_or_none_is_a_warning),
		cmocka_unit_test(selinux_that_enforces_is_told),
		cmocka_unit_test(apparmor_without_the_rule_is_bad),
		cmocka_unit_test(apparmor_with_the_rule_or_without_libvirt_is_good),
		cmocka_unit_test(a_certificate_of_31_days_is_good_one_of_30_a_warning),
		cmocka_unit_test(a_ca_that_expires_first_is_named),
		cmocka_unit_test(a_certificate_that_has_expired_is_bad),
		cmocka_unit_test(a_renewed_certificate_wants_a_new_start),
		cmocka_unit_test(files_that_are_no_good_are_bad),
		cmocka_unit_test(small_tcp_buffers_are_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
