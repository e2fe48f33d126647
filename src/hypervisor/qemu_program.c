#include "hypervisor/qemu_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/descriptor.h"

#define PATIENCE_MS 5000

extern char **environ;

/* Its standard output, at most @size bytes with a NUL. @returns its length */
static size_t hear(int fd, char *text, size_t size)
{
	uint64_t deadline_ms = clock_deadline_ms(PATIENCE_MS);
	size_t length = 0;

	while (length < size - 1) {
		struct pollfd watched = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (poll(&watched, 1, clock_left_ms(deadline_ms)) <= 0)
			break;
		got = read(fd, text + length, size - 1 - length);
		if (got <= 0)
			break;
		length += (size_t)got;
	}
	text[length] = '\0';
	return length;
}

/* @returns the process, or -1 */
static pid_t start(const char *program, int output)
{
	char *const words[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--version", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	if (posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) != 0 ||
		posix_spawn_file_actions_addopen(
			&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) != 0 ||
		posix_spawnp(&pid, program, &actions, NULL, words, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void ask(const char *program, char version[32])
{
	char text[256];
	int pair[2];
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return;
	pid = start(program, pair[1]);
	close(pair[1]);
	if (pid > 0) {
		if (hear(pair[0], text, sizeof(text)) == 0 ||
			sscanf(text, "QEMU emulator version %31[0-9.]", version) != 1)
			*version = '\0';
		(void)kill(pid, SIGKILL); /* it has said all it had to, or never will */
		(void)waitpid(pid, NULL, 0);
	}
	close(pair[0]);
}

void qemu_program_version(char version[32])
{
	struct utsname system;
	char program[sizeof(system.machine) + 16];

	*version = '\0';
	if (uname(&system) < 0)
		return;
	snprintf(program, sizeof(program), "qemu-system-%s", system.machine);
	ask(program, version);
	if (!*version)
		ask("/usr/libexec/qemu-kvm", version);
}
