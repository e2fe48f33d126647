/* What `culvert bench` found, for programs and for people.
 *
 * Floor: cli; no clock, no output but what is asked for.
 */
#ifndef CULVERT_CLI_BENCH_REPORT_H
#define CULVERT_CLI_BENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "cli/bench_direction.h"

struct bench_report {
	const char *here; /* this host's name */
	const char *host;
	uint64_t time_s;
	unsigned channel_count;
	uint64_t opening_us; /* median */
	unsigned opening_count;
	struct bench_trips idle;
	struct bench_direction to_host;
	struct bench_direction from_host;
};

/** A new reference. Spec: docs/culvert.1, "bench" */
json_t *bench_report_json(const struct bench_report *report);

void bench_report_print(FILE *file, const struct bench_report *report);

/** CPU seconds for each GiB; 0 for no bytes */
double bench_report_cpu_s_per_gib(uint64_t cpu_us, uint64_t bytes);

#endif
