#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/detach.h"
#include "control/client.h"

/* Its peer may take as long as a link has for its handshakes, at each of its addresses. */
#define TOKEN_TIMEOUT_MS 60000

extern char **environ;

/* What a word of the command may stand for, and the same names in culvertd's answer */
static const char *const keys[] = {"libvirt_uri", "migrate_uri", "disks_uri"};

#define KEYS_COUNT (sizeof(keys) / sizeof(keys[0]))

static const char *value_of(const json_t *answer, const char *key)
{
	const char *value = json_string_value(json_object_get(answer, key));

	return value ? value : "";
}

/* A word with each {KEY} in it replaced. @returns NULL: no memory */
static char *replace(const json_t *answer, const char *word)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	while (stream && *word) {
		size_t length = 1;
		const char *value = NULL;

		for (size_t i = 0; i < KEYS_COUNT && *word == '{'; i++) {
			size_t key_length = strlen(keys[i]);

			if (strncmp(word + 1, keys[i], key_length) != 0 ||
				word[key_length + 1] != '}')
				continue;
			length = key_length + 2;
			value = value_of(answer, keys[i]);
		}
		if (value)
			fputs(value, stream);
		else
			fputc(*word, stream);
		word += length;
	}
	if (stream && fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static void free_words(char **words)
{
	for (char **word = words; word && *word; word++)
		free(*word);
	free(words);
}

static char **replace_all(const json_t *answer, char *const *words, int count)
{
	char **replaced = calloc((size_t)count + 1, sizeof(*replaced));

	for (int i = 0; replaced && i < count; i++) {
		replaced[i] = replace(answer, words[i]);
		if (!replaced[i]) {
			free_words(replaced);
			return NULL;
		}
	}
	return replaced;
}

/* Ctrl-C is for the command. @returns its exit code, or -1 with @err set */
static int run_command(char *const *words, struct error *err)
{
	posix_spawnattr_t attributes;
	sigset_t defaults;
	pid_t child;
	int status;
	int failure;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGINT);
	sigaddset(&defaults, SIGQUIT);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	failure = posix_spawnp(&child, words[0], NULL, &attributes, words, environ);
	posix_spawnattr_destroy(&attributes);
	if (failure != 0)
		return error_set(
			err, ERROR_USAGE, "cannot run %s: %s", words[0], strerror(failure));
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return error_errno(err, "cannot wait for %s", words[0]);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int hold_for_command(const struct options *options, const json_t *answer, struct error *err)
{
	char **words = replace_all(answer, options->operands + 1, options->operand_count - 1);
	int result;

	if (!words)
		return error_set(err, ERROR_LOCAL, "no memory");
	result = run_command(words, err);
	free_words(words);
	return result;
}

/* Until a signal, or culvertd has no more use for it */
static int hold(const struct client *client, const json_t *answer, struct error *err)
{
	CLEANUP_FD int leave = detach_open(err);

	if (leave < 0)
		return -1;
	for (size_t i = 0; i < KEYS_COUNT; i++)
		printf("%s=%s\n", keys[i], value_of(answer, keys[i]));
	fflush(stdout);
	if (detach_wait(leave, client, -1) == DETACH_ASKED)
		return 0;
	return error_set(err, ERROR_LINK, "the token is lost: culvertd's log says why");
}

static int run(const struct options *options, struct error *err)
{
	json_t *arguments = json_pack("{s:s}", "host", options->operands[0]);
	struct client *client = client_open(options->socket_path, err);
	json_t *answer = NULL;
	int result = -1;

	if (!client) {
		json_decref(arguments);
		return -1;
	}
	if (client_call(client, "rendezvous", arguments, TOKEN_TIMEOUT_MS, &answer, err) == 0)
		result = options->operand_count > 1 ? hold_for_command(options, answer, err)
						    : hold(client, answer, err);
	json_decref(answer);
	client_free(client);
	return result;
}

const struct command command_token = {
	.name = "token",
	.synopsis = "HOST [-- COMMAND ...]",
	.summary = "let libvirt's clients migrate to a host through the tunnel",
	.help = "Makes a directory for one migration on both hosts, and removes it when COMMAND "
		"ends\n"
		"(without one: Ctrl-C). In COMMAND's words {libvirt_uri}, {migrate_uri} and\n"
		"{disks_uri} stand for the URIs to give, always all of them:\n"
		"\n"
		"  culvert token hostb -- virsh migrate --live --p2p --postcopy web1 \\\n"
		"    --desturi {libvirt_uri} --migrateuri {migrate_uri} --disks-uri {disks_uri}\n"
		"\n"
		"What is connected when it ends goes on.\n",
	.fewest_operands = 1,
	.most_operands = INT_MAX,
	.run = run,
};
