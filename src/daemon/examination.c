#include "daemon/examination.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "daemon/doctor_host.h"
#include "hypervisor/qemu_program.h"
#include "hypervisor/qemu_user.h"

#define WAIT_S             10
#define APPARMOR_ENABLED   "/sys/module/apparmor/parameters/enabled"
#define APPARMOR_PROFILES  "/sys/kernel/security/apparmor/profiles"
#define SELINUX_ENFORCES   "/sys/fs/selinux/enforce"
#define APPARMOR_ADDITIONS "/etc/apparmor.d/local/abstractions/libvirt-qemu"
#define TEXT_BYTES         65536
/* Linux' UFFD_USER_MODE_ONLY, which headers of older ones lack */
#define USER_MODE_ONLY 1

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What examining needs beside what it is for */
struct patient {
	struct examination *examination;
	struct daemon *daemon;
	char libvirt_user[64]; /* that its QEMUs run as; empty: none */
};

/* The begin of a file; "" where there is none. @returns whether it could be read */
static bool read_text(const char *path, char *text, size_t size)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0 && length < size - 1) {
		got = read(fd, text + length, size - 1 - length);
		length += got > 0 ? (size_t)got : 0;
	}
	text[length] = '\0';
	return got >= 0;
}

static void add(struct patient *patient, struct finding finding)
{
	finding_append(patient->examination->findings, patient->daemon->config->name, &finding);
}

static void examine_libvirt(struct patient *patient)
{
	struct examination *examination = patient->examination;
	enum libvirt_presence presence = LIBVIRT_ABSENT;
	struct error err = {0};

	if (!libvirt_host_absent()) {
		examination->libvirt = libvirt_host_open(LIBVIRT_HOST_HERE, &err);
		presence = examination->libvirt ? LIBVIRT_THERE : LIBVIRT_UNREACHABLE;
		if (!qemu_user_of_libvirt(QEMU_USER_LIBVIRT_SETTINGS, patient->libvirt_user))
			*patient->libvirt_user = '\0';
	}
	if (examination->libvirt)
		libvirt_host_versions(
			examination->libvirt, examination->facts.libvirt, examination->facts.qemu);
	add(patient, doctor_host_libvirt(presence, examination->facts.libvirt, err.message));
}

static void examine_qemu(struct patient *patient)
{
	char *version = patient->examination->facts.qemu;

	if (!*version)
		qemu_program_version(version);
	add(patient, doctor_host_qemu(version));
}

/* Whether the kernel has it, whatever it asks of who uses it */
static bool has_userfaultfd(void)
{
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC | USER_MODE_ONLY);

	if (fd < 0)
		return errno != ENOSYS;
	close((int)fd);
	return true;
}

/* @user  of QEMU; empty: not known. @qemu  its version; empty: not known, then it is taken for one
 * that would use the device */
static struct finding judge_userfaultfd(const char *user, const char *qemu)
{
	struct userfaultfd found = {.missing = !has_userfaultfd()};
	char text[8];
	int major = 8;

	/* Kernels without that setting ask for no privilege. */
	found.unprivileged =
		!read_text("/proc/sys/vm/unprivileged_userfaultfd", text, sizeof(text)) ||
		*text == '1';
	snprintf(found.user, sizeof(found.user), "%s", user);
	(void)sscanf(qemu, "%4d", &major);
	found.device = *user && major >= 8 && qemu_user_may_open(user, "/dev/userfaultfd");
	return doctor_host_userfaultfd(&found);
}

static void examine_userfaultfd(struct patient *patient)
{
	const char *qemu = patient->examination->facts.qemu;
	char user[64], bare_user[64];

	snprintf(user, sizeof(user), "%s", patient->libvirt_user);
	if (qemu_user_of_sockets(patient->daemon->config->qmp_directory, bare_user) &&
		(!*user || strcmp(user, "root") == 0))
		snprintf(user, sizeof(user), "%s", bare_user);
	/* No version, no QEMU that would use the device */
	add(patient, judge_userfaultfd(user, *qemu ? qemu : "0"));
}

static void look_at(struct directory *directory, const char *path)
{
	struct stat about = {0};

	*directory = (struct directory){.path = path};
	if (lstat(path, &about) < 0)
		directory->failure = errno;
	directory->mode = about.st_mode;
	directory->owner = about.st_uid;
}

static void examine_directories(struct patient *patient)
{
	const char *path = patient->daemon->config->runtime_directory;
	char migrations_path[512], peers_path[512];
	struct directory runtime, migrations, peers;

	snprintf(migrations_path, sizeof(migrations_path), "%s/m", path);
	snprintf(peers_path, sizeof(peers_path), "%s/peers", path);
	look_at(&runtime, path);
	look_at(&migrations, migrations_path);
	look_at(&peers, peers_path);
	add(patient, doctor_host_directories(&runtime, &migrations, &peers, geteuid()));
}

static void examine_group(struct patient *patient)
{
	gid_t group = patient->daemon->config->hypervisor_group;
	struct group entry;
	struct group *found = NULL;
	char text[4096];

	if (!*patient->libvirt_user)
		return;
	if (getgrgid_r(group, &entry, text, sizeof(text), &found) != 0)
		found = NULL;
	add(patient,
		doctor_host_group(patient->libvirt_user, found ? found->gr_name : "?",
			qemu_user_in_group(patient->libvirt_user, group)));
}

static void examine_apparmor(struct patient *patient)
{
	CLEANUP_FREE char *text = malloc(TEXT_BYTES);
	struct libvirt_host *libvirt = patient->examination->libvirt;
	bool confines;
	bool found;

	if (!text)
		return;
	confines = read_text(APPARMOR_ENABLED, text, TEXT_BYTES) && *text == 'Y' &&
		read_text(APPARMOR_PROFILES, text, TEXT_BYTES) && strstr(text, "libvirt") &&
		(!libvirt || libvirt_host_uses_apparmor(libvirt));
	found = read_text(APPARMOR_ADDITIONS, text, TEXT_BYTES);
	add(patient,
		doctor_host_apparmor(
			confines, found ? text : NULL, patient->daemon->config->runtime_directory));
}

static void examine_selinux(struct patient *patient)
{
	char text[8];

	add(patient,
		doctor_host_selinux(
			read_text(SELINUX_ENFORCES, text, sizeof(text)) && *text == '1'));
}

static void examine_certificate(struct patient *patient)
{
	const struct config *config = patient->daemon->config;
	struct identity_expiry loaded, files;
	struct error err;
	struct tls_context *tls = tls_context_new(
		config_roles(config), config->ca, config->certificate, config->key, &err);

	tls_context_find_expiry(patient->daemon->tls, &loaded);
	files = loaded;
	if (tls)
		tls_context_find_expiry(tls, &files);
	add(patient,
		doctor_host_certificate(
			tls ? NULL : err.message, &loaded, &files, (int64_t)time(NULL)));
	tls_context_free(tls);
}

static void examine(struct patient *patient)
{
	struct facts *facts = &patient->examination->facts;

	facts_gather(facts);
	examine_certificate(patient);
	examine_directories(patient);
	examine_libvirt(patient);
	examine_group(patient);
	examine_apparmor(patient);
	examine_selinux(patient);
	examine_qemu(patient);
	examine_userfaultfd(patient);
	add(patient, doctor_host_tcp(facts->receive_bytes, facts->send_bytes));
}

int examination_run(struct examination *examination, struct daemon *daemon, struct error *err)
{
	struct patient patient = {.examination = examination, .daemon = daemon};
	struct timespec deadline;

	*examination = (struct examination){.findings = json_array()};
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += WAIT_S;
	if (pthread_mutex_timedlock(&lock, &deadline) != 0) {
		examination_fini(examination);
		return error_set(err, ERROR_LOCAL,
			"this host is being examined already, and its libvirt or QEMU does not "
			"answer: try again later");
	}
	examine(&patient);
	pthread_mutex_unlock(&lock);
	return 0;
}

void examination_run_brief(struct examination *examination, struct daemon *daemon)
{
	struct patient patient = {.examination = examination, .daemon = daemon};

	*examination = (struct examination){.findings = json_array()};
	facts_gather(&examination->facts);
	if (!libvirt_host_absent() &&
		qemu_user_of_libvirt(QEMU_USER_LIBVIRT_SETTINGS, patient.libvirt_user))
		add(&patient, judge_userfaultfd(patient.libvirt_user, ""));
}

void examination_fini(struct examination *examination)
{
	libvirt_host_free(examination->libvirt);
	json_decref(examination->findings);
}
