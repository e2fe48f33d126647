/* Runs a fuzz target once for every file of the directories that are named.
 *
 * To search for more with libFuzzer, leave this file out:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Isrc -Itests/fuzz \
 *         tests/fuzz/fuzz_session.c src/base/error.c src/wire/[fm]*.c src/tunnel/[cdhrs]*.c \
 *         -o fuzz_session
 *     mkdir -p found && ./fuzz_session -max_total_time=60 found tests/fuzz/corpus/fuzz_session
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/descriptor.h"
#include "fuzz.h"

#define INPUT_MOST_BYTES (1 << 20)

static int replay_file(const char *path)
{
	CLEANUP_FREE unsigned char *bytes = malloc(INPUT_MOST_BYTES);
	CLEANUP_FREE unsigned char *exact = NULL;
	FILE *file = fopen(path, "rb");
	size_t length;

	if (!file || !bytes) {
		perror(path);
		return -1;
	}
	length = fread(bytes, 1, INPUT_MOST_BYTES, file);
	fclose(file);
	/* Of the exact size, so that a read past its end is seen */
	exact = malloc(length > 0 ? length : 1);
	if (!exact)
		return -1;
	memcpy(exact, bytes, length);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(exact, length);
	return 0;
}

/* @returns how many files were replayed, or -1 */
static int replay_directory(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	char name[4096];
	int count = 0;

	if (!directory) {
		perror(path);
		return -1;
	}
	while (count >= 0 && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		count = replay_file(name) < 0 ? -1 : count + 1;
	}
	closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int count = replay_directory(argv[i]);

		if (count < 0)
			return 1;
		if (count == 0) {
			fprintf(stderr, "%s: no inputs\n", argv[i]);
			return 1;
		}
		printf("%s: %d inputs replayed\n", argv[i], count);
	}
	return argc > 1 ? 0 : 2;
}
