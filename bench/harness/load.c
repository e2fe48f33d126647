/* Plays both ends of a migration, and measures what lies in between.
 *
 *     load bulk|fault|trip --source ADDRESS --sink ADDRESS [options]
 *
 * An address is unix:PATH or tcp:IP:PORT; --source-namespace FILE and --sink-namespace FILE say in
 * which network namespaces. It writes "open" when all channels are, and waits for a line; "begin"
 * and "end" when the measurement does; and then one line of JSON. Who reads that meters the
 * tunnel's programs in between.
 */
#include "load.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"
#include "fail.h"
#include "moment.h"
#include "page.h"

#define GIB   1073741824.0
#define MAGIC 0x63756c76657274

struct words {
	const struct load_kind *kind;
	const char *source, *sink;
	const char *source_namespace, *sink_namespace;
	double seconds, warm_seconds;
};

static struct load load;

void load_note(struct load *shared, uint64_t duration_ns)
{
	if (atomic_load(&shared->measuring) && shared->duration_count < DURATIONS_MOST)
		shared->durations_ns[shared->duration_count++] =
			duration_ns < UINT32_MAX ? (uint32_t)duration_ns : UINT32_MAX;
}

void load_start(struct lane *lane, unsigned index, void *(*run)(void *lane))
{
	if (pthread_create(&lane->threads[index], NULL, run, lane) != 0)
		fail("cannot start a thread");
}

/* One channel at a time, and whole: a hypervisor knows them by the order in which they come. */
static void open_lane(const struct words *words, int listener, uint64_t index)
{
	struct lane *lane = &load.lanes[index];
	uint64_t hello[2] = {MAGIC, index};
	uint64_t heard[2];

	lane->load = &load;
	lane->source = endpoint_connect(words->source, words->source_namespace);
	endpoint_write(lane->source, hello, sizeof(hello));
	for (;;) {
		lane->sink = endpoint_accept(listener);
		if (endpoint_read(lane->sink, heard, sizeof(heard)))
			break;
		close(lane->sink); /* the tunnel has looked whether somebody listens */
	}
	if (memcmp(heard, hello, sizeof(hello)) != 0)
		fail("channel %" PRIu64 " does not begin as it should", index);
	endpoint_write(lane->sink, hello, sizeof(hello[0]));
	if (!endpoint_read(lane->source, heard, sizeof(heard[0])))
		fail("channel %" PRIu64 " ended at once", index);
}

/* @returns how long one took */
static double open_lanes(const struct words *words)
{
	int listener = endpoint_listen(words->sink, words->sink_namespace);
	uint64_t begun_ns = moment_ns();

	for (unsigned i = 0; i < load.lane_count; i++)
		open_lane(words, listener, i);
	close(listener);
	return (double)(moment_ns() - begun_ns) / 1e6 / load.lane_count;
}

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static uint64_t received_bytes(double *fairness)
{
	uint64_t sum = 0, least = UINT64_MAX, most = 0;

	for (unsigned i = 0; i < load.lane_count; i++) {
		uint64_t bytes = load.lanes[i].received_bytes - load.lanes[i].received_before_bytes;

		sum += bytes;
		least = bytes < least ? bytes : least;
		most = bytes > most ? bytes : most;
	}
	*fairness = most > 0 ? (double)least / (double)most : 0;
	return sum;
}

static int by_size(const void *a, const void *b)
{
	uint32_t first = *(const uint32_t *)a;
	uint32_t second = *(const uint32_t *)b;

	return (first > second) - (first < second);
}

static double percentile_us(double part)
{
	if (load.duration_count == 0)
		return 0;
	return load.durations_ns[(size_t)(part * (double)(load.duration_count - 1) + 0.5)] / 1e3;
}

static void measure(const struct words *words)
{
	double opening_ms = open_lanes(words);
	double fairness, duration_s;
	uint64_t begun_ns, bytes;

	say("open");
	if (getchar() == EOF)
		fail("nobody waits for the measurement");
	words->kind->start(&load);
	usleep((useconds_t)(words->warm_seconds * 1e6));
	for (unsigned i = 0; i < load.lane_count; i++)
		load.lanes[i].received_before_bytes = load.lanes[i].received_bytes;
	begun_ns = moment_ns();
	atomic_store(&load.measuring, true);
	say("begin");
	usleep((useconds_t)(words->seconds * 1e6));
	atomic_store(&load.measuring, false);
	bytes = received_bytes(&fairness);
	duration_s = (double)(moment_ns() - begun_ns) / 1e9;
	say("end");
	atomic_store(&load.stopping, true);
	words->kind->join(&load);
	qsort(load.durations_ns, load.duration_count, sizeof(*load.durations_ns), by_size);
	printf("{\"gib\": %.4f, \"gib_per_s\": %.4f, \"fairness\": %.3f, \"opening_ms\": %.3f, "
	       "\"count\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
		(double)bytes / GIB, (double)bytes / GIB / duration_s, fairness, opening_ms,
		load.duration_count, percentile_us(0.5), percentile_us(0.99));
}

static const struct load_kind *kind_of(const char *word)
{
	if (strcmp(word, "bulk") == 0)
		return &load_bulk;
	if (strcmp(word, "fault") == 0)
		return &load_fault;
	if (strcmp(word, "trip") == 0)
		return &load_trip;
	fail("no such load: %s", word);
}

enum {
	SOURCE = 1,
	SINK,
	SOURCE_NAMESPACE,
	SINK_NAMESPACE,
	CHANNELS,
	FAULTS,
	OWN_CHANNEL,
	WITHOUT_BULK,
	SECONDS,
	WARM
};

static void take_option(struct words *words, int option)
{
	switch (option) {
	case SOURCE:
		words->source = optarg;
		return;
	case SINK:
		words->sink = optarg;
		return;
	case SOURCE_NAMESPACE:
		words->source_namespace = optarg;
		return;
	case SINK_NAMESPACE:
		words->sink_namespace = optarg;
		return;
	case CHANNELS:
		load.lane_count = (unsigned)atoi(optarg);
		return;
	case FAULTS:
		load.faults = (unsigned)atoi(optarg);
		return;
	case OWN_CHANNEL:
		load.own_channel = true;
		load.lane_count = 2;
		return;
	case WITHOUT_BULK:
		load.without_bulk = true;
		return;
	case SECONDS:
		words->seconds = atof(optarg);
		return;
	case WARM:
		words->warm_seconds = atof(optarg);
		return;
	default:
		fail("unknown option");
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"source", required_argument, NULL, SOURCE},
		{"sink", required_argument, NULL, SINK},
		{"source-namespace", required_argument, NULL, SOURCE_NAMESPACE},
		{"sink-namespace", required_argument, NULL, SINK_NAMESPACE},
		{"channels", required_argument, NULL, CHANNELS},
		{"faults", required_argument, NULL, FAULTS},
		{"own-channel", no_argument, NULL, OWN_CHANNEL},
		{"without-bulk", no_argument, NULL, WITHOUT_BULK},
		{"seconds", required_argument, NULL, SECONDS},
		{"warm", required_argument, NULL, WARM},
		{0},
	};
	struct words words = {.seconds = 2, .warm_seconds = 0.4};
	int option;

	load.lane_count = 1;
	load.faults = 1;
	if (argc < 2)
		fail("which load?");
	words.kind = kind_of(argv[1]);
	optind = 2;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		take_option(&words, option);
	if (!words.source || !words.sink || load.lane_count < 1 || load.lane_count > LANES_MOST ||
		load.faults < 1 || load.faults > 64)
		fail("usage: load bulk|fault|trip --source ADDRESS --sink ADDRESS ...");
	load.durations_ns = malloc(DURATIONS_MOST * sizeof(*load.durations_ns));
	if (!load.durations_ns)
		fail("no memory");
	pages_make();
	measure(&words);
	return 0;
}
