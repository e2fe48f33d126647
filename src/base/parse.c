#include "base/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Digits at the start of @text into @number; @returns what follows them, or NULL */
static const char *leading_number(const char *text, uint64_t *number)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)*text))
		return NULL;
	for (; isdigit((unsigned char)*text); text++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return NULL;
	}
	*number = value;
	return text;
}

int parse_number(
	const char *text, uint64_t lowest, uint64_t highest, uint64_t *number, struct error *err)
{
	uint64_t value;
	const char *rest = leading_number(text, &value);

	if (!rest || *rest || value < lowest || value > highest)
		return error_set(err, ERROR_USAGE, "'%s' is not a number from %llu to %llu", text,
			(unsigned long long)lowest, (unsigned long long)highest);
	*number = value;
	return 0;
}

int parse_duration(const char *text, uint64_t *duration_ms, struct error *err)
{
	static const struct {
		const char *unit;
		uint64_t factor_ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}};
	const uint64_t year_ms = 365ull * 24 * 3600000;
	uint64_t value;
	const char *rest = leading_number(text, &value);

	for (size_t i = 0; rest && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(rest, units[i].unit) != 0 || value > year_ms / units[i].factor_ms)
			continue;
		*duration_ms = value * units[i].factor_ms;
		return 0;
	}
	return error_set(err, ERROR_USAGE,
		"'%s' is not a duration: write 250ms, 30s, 5m or 1h, at most a year", text);
}

int parse_size(
	const char *text, uint64_t lowest, uint64_t highest, uint64_t *bytes, struct error *err)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = {{"", 0}, {"k", 10}, {"m", 20}, {"g", 30}};
	uint64_t value;
	const char *rest = leading_number(text, &value);

	for (size_t i = 0; rest && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(rest, units[i].unit) != 0 || value > highest >> units[i].shift ||
			value << units[i].shift < lowest)
			continue;
		*bytes = value << units[i].shift;
		return 0;
	}
	return error_set(err, ERROR_USAGE,
		"'%s' is not a size from %llum to %llum: write 512k, 64m or 1g", text,
		(unsigned long long)lowest >> 20, (unsigned long long)highest >> 20);
}

int parse_rate(const char *text, uint64_t *bytes_per_s, struct error *err)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {{"kbit", 125}, {"Mbit", 125000}, {"Gbit", 125000000}};
	uint64_t value;
	const char *rest = leading_number(text, &value);

	if (strcmp(text, "none") == 0) {
		*bytes_per_s = RATE_UNLIMITED;
		return 0;
	}
	for (size_t i = 0; rest && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(rest, units[i].unit) != 0 ||
			value > PARSE_RATE_MOST / units[i].bytes ||
			value * units[i].bytes < PARSE_RATE_LEAST)
			continue;
		*bytes_per_s = value * units[i].bytes;
		return 0;
	}
	return error_set(err, ERROR_USAGE,
		"'%s' is not a rate from 1Mbit to 10000Gbit: write 500Mbit, 5Gbit or none", text);
}

int parse_host_port(
	const char *text, const char *default_port, struct host_port *result, struct error *err)
{
	struct error ignored;
	uint64_t number;
	const char *host = text;
	const char *end = text + strlen(text);
	const char *port = default_port;
	const char *first_colon = strchr(text, ':');

	if (*text == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			goto malformed;
		if (end[1] == ':')
			port = end + 2;
	} else if (first_colon && !strchr(first_colon + 1, ':')) {
		end = first_colon;
		port = first_colon + 1;
	}
	if (end == host || (size_t)(end - host) >= sizeof(result->host) ||
		parse_number(port, 1, 65535, &number, &ignored) < 0)
		goto malformed;
	for (const char *p = host; p < end; p++) {
		if (!isalnum((unsigned char)*p) && !strchr(".-:%_", *p))
			goto malformed;
	}
	snprintf(result->host, sizeof(result->host), "%.*s", (int)(end - host), host);
	snprintf(result->port, sizeof(result->port), "%u", (unsigned)number);
	return 0;
malformed:
	return error_set(err, ERROR_USAGE,
		"'%s' is not an address: write host, host:port or [ipv6]:port", text);
}

bool parse_is_name(const char *text)
{
	size_t length = strlen(text);

	if (length < 1 || length > 63 || *text == '.' || *text == '-')
		return false;
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("._-", *text))
			return false;
	}
	return true;
}

int parse_name(const char *text, char name[64], struct error *err)
{
	if (!parse_is_name(text))
		return error_set(err, ERROR_USAGE,
			"'%s' is not a name: use letters, digits, '.', '_' and '-'", text);
	memcpy(name, text, strlen(text) + 1);
	return 0;
}
