#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/output.h"
#include "control/client.h"

#define DEFAULT_TIME_S   3
#define DEFAULT_CHANNELS 1

/* Of one run: bulk both ways, the echo and the usage */
#define OPENINGS_MOST (2 * BENCH_CHANNELS_MOST + 2)

struct bench {
	struct client *client;
	const char *host;
	atomic_bool leave;
	struct bench_channel echo;
	struct bench_channel usage;
	uint64_t openings_us[OPENINGS_MOST];
	struct bench_report report;
};

static int open_one(struct bench *bench, struct bench_channel *channel, struct error *err)
{
	if (bench_channel_open(channel, bench->client, bench->host, &bench->leave, err) < 0)
		return -1;
	bench->openings_us[bench->report.opening_count++] = channel->opening_us;
	return 0;
}

/* CPU time that both daemons have spent so far */
static int read_usage(struct bench *bench, uint64_t *here_us, uint64_t *there_us, struct error *err)
{
	json_t *answer = NULL;

	if (bench_channel_order(&bench->usage, BENCH_USAGE, err) < 0 ||
		bench_channel_take_number(&bench->usage, there_us, err) < 0 ||
		client_call(bench->client, "usage", NULL, COMMAND_TIMEOUT_MS, &answer, err) < 0)
		return -1;
	*here_us = (uint64_t)json_integer_value(json_object_get(answer, "cpu_us"));
	json_decref(answer);
	return 0;
}

static int measure_bulk(struct bench *bench, struct bench_bulk *bulk,
	struct bench_direction *direction, struct error *err)
{
	uint64_t here_us, there_us, here_after_us, there_after_us;

	if (read_usage(bench, &here_us, &there_us, err) < 0 ||
		bench_direction_measure(bulk, direction, err) < 0 ||
		read_usage(bench, &here_after_us, &there_after_us, err) < 0)
		return -1;
	direction->here_cpu_us = here_after_us - here_us;
	direction->there_cpu_us = there_after_us - there_us;
	return 0;
}

static int measure_direction(struct bench *bench, enum bench_order order,
	struct bench_direction *direction, struct error *err)
{
	struct bench_bulk bulk = {
		.order = order,
		.time_us = bench->report.time_s * 1000000,
		.echo = &bench->echo,
		.leave = &bench->leave,
	};
	int result = 0;

	while (result == 0 && bulk.channel_count < bench->report.channel_count) {
		result = open_one(bench, &bulk.channels[bulk.channel_count], err);
		bulk.channel_count += result == 0;
	}
	if (result == 0)
		result = measure_bulk(bench, &bulk, direction, err);
	for (unsigned i = 0; i < bulk.channel_count; i++)
		bench_channel_close(&bulk.channels[i]);
	return result;
}

/* From here on the host is known to permit it. */
static int begin(struct bench *bench, struct error *err)
{
	if (open_one(bench, &bench->usage, err) < 0 || open_one(bench, &bench->echo, err) < 0)
		return -1;
	return bench_channel_order(&bench->echo, BENCH_ECHO, err);
}

static int measure(struct bench *bench, struct error *err)
{
	struct bench_report *report = &bench->report;
	uint64_t until_us = clock_now_us() + report->time_s * 1000000;

	if (bench_trips_measure(&bench->echo, until_us, 0, &report->idle, err) < 0 ||
		measure_direction(bench, BENCH_SINK, &report->to_host, err) < 0 ||
		measure_direction(bench, BENCH_SOURCE, &report->from_host, err) < 0)
		return -1;
	report->opening_us = bench_trips_of(bench->openings_us, report->opening_count).p50_us;
	return 0;
}

static void tell(const struct options *options, const struct bench_report *report)
{
	json_t *json;

	if (!options->json) {
		bench_report_print(stdout, report);
		return;
	}
	json = bench_report_json(report);
	output_json(json);
	json_decref(json);
}

static int run(const struct options *options, struct error *err)
{
	struct bench bench = {
		.host = options->operands[0],
		.echo.waiter.fd = -1,
		.usage.waiter.fd = -1,
		.report =
			{
				.time_s = options->time_s ? options->time_s : DEFAULT_TIME_S,
				.channel_count = options->channels ? (unsigned)options->channels
								   : DEFAULT_CHANNELS,
			},
	};
	int result;

	bench.client = client_open(options->socket_path, err);
	if (!bench.client)
		return -1;
	bench.report.here = client_host(bench.client);
	bench.report.host = bench.host;
	result = begin(&bench, err);
	if (result == 0 && !options->json)
		printf("%s, %u channel%s, %u s each: idle, to it, from it\n", bench.host,
			bench.report.channel_count, bench.report.channel_count > 1 ? "s" : "",
			(unsigned)bench.report.time_s);
	if (result == 0)
		result = measure(&bench, err);
	if (result == 0)
		tell(options, &bench.report);
	bench_channel_close(&bench.echo);
	bench_channel_close(&bench.usage);
	client_free(bench.client);
	return result;
}

const struct command command_bench = {
	.name = "bench",
	.synopsis = "HOST [--time SECONDS] [--channels N] [--json]",
	.summary = "measure the tunnel to a peer: throughput, round trip, CPU",
	.help = "  --time SECONDS  for each of three phases, 1 to 60 (default: 3)\n"
		"  --channels N    that carry bulk at once, 1 to 16 (default: 1)\n"
		"  --json          print the figures on one line\n\n"
		"Fills the network between both hosts meanwhile. HOST permits it to whom it "
		"permits\n"
		"`migrate`, and to whom it permits `bench`.\n",
	.allowed = OPTION_TIME | OPTION_CHANNELS | OPTION_JSON,
	.fewest_operands = 1,
	.most_operands = 1,
	.run = run,
};
