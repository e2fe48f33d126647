#include "wire/bench.h"

#include <stddef.h>
#include <string.h>

#include "base/parse.h"

static const char *const names[] = {
	[BENCH_SINK] = "sink",
	[BENCH_SOURCE] = "source",
	[BENCH_ECHO] = "echo",
	[BENCH_USAGE] = "usage",
};

const char *bench_order_name(enum bench_order order)
{
	return names[order];
}

int bench_order_find(const char *line, enum bench_order *order, struct error *err)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(line, names[i]) == 0) {
			*order = (enum bench_order)i;
			return 0;
		}
	}
	return error_set(err, ERROR_PEER, "an order that 'bench' does not know");
}

int bench_number_read(const char *line, uint64_t *number, struct error *err)
{
	struct error cause;

	if (parse_number(line, 0, INT64_MAX, number, &cause) < 0)
		return error_set(err, ERROR_PEER, "not a number where one was due");
	return 0;
}
