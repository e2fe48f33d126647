/* The only program of the test guest, its init: dirties memory, verifies it, and says so.
 *
 * Options, on the kernel's command line:
 *   dirty.mib=64             size of the region
 *   dirty.rate_mib=0         MiB written a second; 0 is as fast as the guest can
 *   dirty.pattern=random     random, sequential, or mixed (every other page)
 *   dirty.seed=1
 *   dirty.break=0            1 spoils four pages after two seconds, to test the test
 *
 * For each page written (and verified before that) another one is only verified. Once a second:
 *   dirtier: uptime_ms=N writes=N verified=N corrupt=N longest_gap_ms=N stopped_ms=N
 * A line on the serial console is a command: `v` verifies every page and answers with a line
 * `dirtier: verdict ...` of the same fields; `r` forgets the longest gap.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "clocks.h"
#include "pages.h"

#define PAGES_PER_MIB         ((1u << 20) / PAGE_BYTES)
#define TICK_US               1000
#define REPORT_US             1000000
#define BREAK_AFTER_US        2000000
#define CORRUPT_LINES_AT_ONCE 8
#define LARGEST_BACKLOG_NS    100000000

enum pattern { PATTERN_RANDOM, PATTERN_SEQUENTIAL, PATTERN_MIXED };

struct options {
	uint64_t mib;
	uint64_t rate_mib;
	uint64_t seed;
	uint64_t break_pages;
	enum pattern pattern;
};

/* One order in which pages are visited */
struct walk {
	enum pattern pattern;
	uint64_t position;
	uint64_t random;
	bool turn;
};

struct dirtier {
	struct options options;
	struct pages pages;
	struct clocks clocks;
	struct walk to_write;
	struct walk to_read;
	int console;
	unsigned corrupt_lines;
	bool spoilt;
};

static void say(int console, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(int console, const char *format, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	dprintf(console, "dirtier: %s\r\n", line);
}

/* As init we must not end: the kernel would panic and bury the reason. */
static void fail(int console, const char *reason, const char *detail)
{
	say(console, "failed: %s%s", reason, detail);
	for (;;)
		pause();
}

static int open_console(void)
{
	struct termios raw;
	int console;

	mkdir("/proc", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL); /* the kernel may have done it */
	console = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	if (console < 0)
		return STDOUT_FILENO;
	tcgetattr(console, &raw);
	cfmakeraw(&raw);
	tcsetattr(console, TCSANOW, &raw);
	return console;
}

static bool parse_count(const char *text, uint64_t *count)
{
	char *end;

	*count = strtoull(text, &end, 10);
	return end != text && !*end;
}

static bool parse_pattern(const char *text, enum pattern *pattern)
{
	static const char *const names[] = {"random", "sequential", "mixed"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*pattern = (enum pattern)i;
			return true;
		}
	}
	return false;
}

static bool parse_option(char *option, struct options *options)
{
	char *value = strchr(option, '=');

	if (!value)
		return false;
	*value++ = '\0';
	if (strcmp(option, "mib") == 0)
		return parse_count(value, &options->mib) && options->mib > 0;
	if (strcmp(option, "rate_mib") == 0)
		return parse_count(value, &options->rate_mib);
	if (strcmp(option, "seed") == 0)
		return parse_count(value, &options->seed);
	if (strcmp(option, "break") == 0)
		return parse_count(value, &options->break_pages);
	if (strcmp(option, "pattern") == 0)
		return parse_pattern(value, &options->pattern);
	return false;
}

/* @returns the first option that is wrong, or NULL */
static const char *parse_command_line(struct options *options)
{
	static char line[4096];
	int file = open("/proc/cmdline", O_RDONLY);
	ssize_t length = file < 0 ? -1 : read(file, line, sizeof(line) - 1);

	if (length < 0)
		return "(/proc/cmdline cannot be read)";
	close(file);
	line[length] = '\0';
	for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		if (strncmp(word, "dirty.", 6) == 0 && !parse_option(word + 6, options))
			return word;
	}
	return NULL;
}

static uint64_t walk_next(struct walk *walk, uint64_t count)
{
	walk->turn = !walk->turn;
	if (walk->pattern == PATTERN_SEQUENTIAL || (walk->pattern == PATTERN_MIXED && walk->turn)) {
		walk->position = (walk->position + 1) % count;
		return walk->position;
	}
	walk->random ^= walk->random << 13; /* xorshift64: never 0 once it is not */
	walk->random ^= walk->random >> 7;
	walk->random ^= walk->random << 17;
	return (walk->random >> 11) % count;
}

static void report(struct dirtier *dirtier, const char *title, uint64_t now_us)
{
	say(dirtier->console,
		"%suptime_ms=%" PRIu64 " writes=%" PRIu64 " verified=%" PRIu64 " corrupt=%" PRIu64
		" longest_gap_ms=%" PRIu64 " stopped_ms=%" PRId64,
		title, now_us / 1000, dirtier->pages.writes, dirtier->pages.verified,
		dirtier->pages.corrupt, dirtier->clocks.longest_gap_us / 1000,
		dirtier->clocks.stopped_us / 1000);
	dirtier->corrupt_lines = 0;
}

static void verify(struct dirtier *dirtier, uint64_t page)
{
	struct pages_fault fault;

	if (pages_verify(&dirtier->pages, page, &fault) ||
		dirtier->corrupt_lines++ >= CORRUPT_LINES_AT_ONCE)
		return;
	say(dirtier->console,
		"CORRUPT page=%" PRIu64 " expected_version=%" PRIu32 " found_page=%" PRIu64
		" found_version=%" PRIu64 " wrong_bytes=%zu",
		fault.page, fault.expected_version, fault.found_page, fault.found_version,
		fault.wrong_bytes);
}

static void verdict(struct dirtier *dirtier)
{
	for (uint64_t page = 0; page < dirtier->pages.count; page++) {
		verify(dirtier, page);
		clocks_look(&dirtier->clocks, 0);
	}
	if (!pages_books_balance(&dirtier->pages)) {
		dirtier->pages.corrupt++;
		say(dirtier->console, "CORRUPT books: versions and writes disagree");
	}
	report(dirtier, "verdict ", clocks_look(&dirtier->clocks, 0));
}

static void obey(struct dirtier *dirtier)
{
	struct pollfd input = {.fd = dirtier->console, .events = POLLIN};
	char command;

	while (poll(&input, 1, 0) > 0 && read(dirtier->console, &command, 1) == 1) {
		if (command == 'v') {
			verdict(dirtier);
		} else if (command == 'r') {
			dirtier->clocks.longest_gap_us = 0;
			say(dirtier->console, "reset");
		}
	}
}

static void spoil_pages(struct dirtier *dirtier)
{
	static const enum pages_damage damages[] = {
		DAMAGE_FLIPPED, DAMAGE_LOST, DAMAGE_STALE, DAMAGE_MISPLACED};

	for (uint64_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
		pages_spoil(&dirtier->pages, i * dirtier->pages.count / 4, damages[i]);
	dirtier->spoilt = true;
}

/* The rate is kept over ticks, but what a stall left undone is not made up for in one burst. */
static bool write_due(const struct dirtier *dirtier, uint64_t now_us, uint64_t *paid_until_ns)
{
	uint64_t rate_mib = dirtier->options.rate_mib;
	uint64_t now_ns = now_us * 1000;

	if (!rate_mib)
		return true;
	if (*paid_until_ns > now_ns)
		return false;
	if (now_ns - *paid_until_ns > LARGEST_BACKLOG_NS)
		*paid_until_ns = now_ns - LARGEST_BACKLOG_NS;
	*paid_until_ns += 1000000000u / PAGES_PER_MIB / rate_mib;
	return true;
}

static void run(struct dirtier *dirtier)
{
	const struct timespec tick = {.tv_nsec = TICK_US * 1000};
	uint64_t count = dirtier->pages.count;
	uint64_t next_tick_us = 0, next_report_us = 0, paid_until_ns = 0, slept_us = 0;

	for (;;) {
		uint64_t now_us = clocks_look(&dirtier->clocks, slept_us);

		slept_us = 0;
		if (now_us >= next_tick_us) {
			clocks_look_at_rtc(&dirtier->clocks);
			obey(dirtier);
			next_tick_us = now_us + TICK_US;
		}
		if (now_us >= next_report_us) {
			report(dirtier, "", now_us);
			next_report_us = now_us + REPORT_US;
		}
		if (dirtier->options.break_pages && !dirtier->spoilt && now_us > BREAK_AFTER_US)
			spoil_pages(dirtier);
		if (write_due(dirtier, now_us, &paid_until_ns)) {
			uint64_t page = walk_next(&dirtier->to_write, count);

			verify(dirtier, page);
			pages_write(&dirtier->pages, page);
			verify(dirtier, walk_next(&dirtier->to_read, count));
		} else {
			nanosleep(&tick, NULL);
			slept_us = TICK_US;
		}
	}
}

int main(void)
{
	static struct dirtier dirtier = {.options = {.mib = 64, .seed = 1}};
	struct options *options = &dirtier.options;
	const char *wrong;

	dirtier.console = open_console();
	wrong = parse_command_line(options);
	if (wrong)
		fail(dirtier.console, "bad option: ", wrong);
	if (pages_init(&dirtier.pages, options->mib * PAGES_PER_MIB, options->seed) < 0)
		fail(dirtier.console, "not enough memory for dirty.mib", "");

	clocks_init(&dirtier.clocks);
	dirtier.to_write = (struct walk){.pattern = options->pattern, .random = options->seed | 1};
	dirtier.to_read = dirtier.to_write;
	dirtier.to_read.position = dirtier.pages.count / 2;
	dirtier.to_read.random = ~options->seed | 1;
	for (uint64_t page = 0; page < dirtier.pages.count; page++) {
		pages_write(&dirtier.pages, page);
		clocks_look(&dirtier.clocks, 0);
	}
	dirtier.clocks.longest_gap_us = 0;
	say(dirtier.console, "ready mib=%" PRIu64, options->mib);
	run(&dirtier);
}
