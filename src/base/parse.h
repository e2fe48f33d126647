/* Text a person wrote, into numbers and addresses; strict: the whole text or nothing. */
#ifndef CULVERT_BASE_PARSE_H
#define CULVERT_BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rate.h"

/** A decimal number from @lowest to @highest */
int parse_number(
	const char *text, uint64_t lowest, uint64_t highest, uint64_t *number, struct error *err);

/** "250ms", "30s", "5m", "1h"; a bare number is seconds. At most a year */
int parse_duration(const char *text, uint64_t *duration_ms, struct error *err);

/** "512k", "64m", "1g"; a bare number is bytes. From @lowest to @highest, whole mebibytes both */
int parse_size(
	const char *text, uint64_t lowest, uint64_t highest, uint64_t *bytes, struct error *err);

/** 1Mbit and 10000Gbit, in bytes per second */
#define PARSE_RATE_LEAST 125000u
#define PARSE_RATE_MOST  1250000000000u

/** "1500kbit", "500Mbit", "5Gbit", or "none": RATE_UNLIMITED. 1Mbit at least */
int parse_rate(const char *text, uint64_t *bytes_per_s, struct error *err);

struct host_port {
	char host[256]; /* a name or a numeric address, without brackets */
	char port[6];   /* digits, 1 to 65535 */
};

/** "host", "host:port", "1.2.3.4:port", "[::1]:port", "::1" */
int parse_host_port(
	const char *text, const char *default_port, struct host_port *result, struct error *err);

/** Whether @text is a name: 1 to 63 of letters, digits, '.', '_', '-', not starting with '.' or '-'
 */
bool parse_is_name(const char *text);

/** A name, copied to @name */
int parse_name(const char *text, char name[64], struct error *err);

#endif
