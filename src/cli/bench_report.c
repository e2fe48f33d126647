#include "cli/bench_report.h"

#include "cli/format.h"
#include "cli/table.h"

#define GIB 1073741824.0

double bench_report_cpu_s_per_gib(uint64_t cpu_us, uint64_t bytes)
{
	return bytes ? (double)cpu_us / 1e6 / ((double)bytes / GIB) : 0;
}

static json_t *trips_json(const struct bench_trips *trips)
{
	return json_pack("{sI sI sI}", "count", (json_int_t)trips->count, "p50_us",
		(json_int_t)trips->p50_us, "p99_us", (json_int_t)trips->p99_us);
}

static json_t *direction_json(const struct bench_direction *direction)
{
	return json_pack("{sI sI sI so sf sf}", "bytes", (json_int_t)direction->bytes,
		"duration_us", (json_int_t)direction->duration_us, "rate_bytes_per_s",
		(json_int_t)bench_direction_rate(direction), "round_trip",
		trips_json(&direction->trips), "cpu_s_per_gib_here",
		bench_report_cpu_s_per_gib(direction->here_cpu_us, direction->bytes),
		"cpu_s_per_gib_there",
		bench_report_cpu_s_per_gib(direction->there_cpu_us, direction->bytes));
}

json_t *bench_report_json(const struct bench_report *report)
{
	return json_pack("{ss ss sI sI s{sI sI} so so so}", "here", report->here, "host",
		report->host, "time_s", (json_int_t)report->time_s, "channels",
		(json_int_t)report->channel_count, "opening", "count",
		(json_int_t)report->opening_count, "p50_us", (json_int_t)report->opening_us,
		"round_trip", trips_json(&report->idle), "to_host",
		direction_json(&report->to_host), "from_host", direction_json(&report->from_host));
}

static struct format text_of_cpu(uint64_t cpu_us, uint64_t bytes)
{
	struct format format;

	snprintf(format.text, sizeof(format.text), "%.2f",
		bench_report_cpu_s_per_gib(cpu_us, bytes));
	return format;
}

static void add_direction(
	struct table *table, const char *title, const struct bench_direction *direction)
{
	table_add(table,
		(const char *[]){
			title,
			format_rate((uint64_t)bench_direction_rate(direction)).text,
			format_us(direction->trips.p50_us).text,
			format_us(direction->trips.p99_us).text,
			text_of_cpu(direction->here_cpu_us, direction->bytes).text,
			text_of_cpu(direction->there_cpu_us, direction->bytes).text,
		});
}

void bench_report_print(FILE *file, const struct bench_report *report)
{
	char to[TABLE_CELL_BYTES], from[TABLE_CELL_BYTES];
	char here[TABLE_CELL_BYTES], there[TABLE_CELL_BYTES];
	struct table table;

	snprintf(to, sizeof(to), "to %s", report->host);
	snprintf(from, sizeof(from), "from %s", report->host);
	snprintf(here, sizeof(here), "CPU S/GIB %s", report->here);
	snprintf(there, sizeof(there), "CPU S/GIB %s", report->host);
	table_init(&table, (const char *[]){"", "THROUGHPUT", "ROUND TRIP P50", "P99", here, there},
		6);
	table_add(&table,
		(const char *[]){"idle", "-", format_us(report->idle.p50_us).text,
			format_us(report->idle.p99_us).text, "-", "-"});
	add_direction(&table, to, &report->to_host);
	add_direction(&table, from, &report->from_host);
	table_print(&table, file);
	table_fini(&table);
	fprintf(file, "opening a channel takes %s (median of %u)\n",
		format_us(report->opening_us).text, report->opening_count);
	fputs("Round trips are of 64 bytes, beside that load on a channel of their own; 1 divided "
	      "by CPU s/GiB of the\nbusier culvertd is the GiB/s that one core of that host can "
	      "carry.\n",
		file);
}
