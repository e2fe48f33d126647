#include "cli/format.h"

#include <stdio.h>
#include <string.h>

struct format format_bytes(uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	struct format result;
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(result.text, sizeof(result.text), "%u B", (unsigned)bytes);
		return result;
	}
	/* 1023.5 would be shown as 1024. */
	for (; value >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= 1024;
	snprintf(result.text, sizeof(result.text), "%.*f %s", value < 99.95 ? 1 : 0, value,
		units[unit]);
	return result;
}

struct format format_rate(uint64_t bytes_per_s)
{
	struct format result = format_bytes(bytes_per_s);

	strncat(result.text, "/s", sizeof(result.text) - strlen(result.text) - 1);
	return result;
}

struct format format_us(uint64_t duration_us)
{
	struct format result;

	if (duration_us < 1000)
		snprintf(result.text, sizeof(result.text), "%u us", (unsigned)duration_us);
	else if (duration_us < 1000000)
		snprintf(result.text, sizeof(result.text), "%.2f ms", (double)duration_us / 1e3);
	else
		snprintf(result.text, sizeof(result.text), "%.2f s", (double)duration_us / 1e6);
	return result;
}

struct format format_ms(uint64_t duration_ms)
{
	struct format result;
	unsigned long long seconds = duration_ms / 1000;

	if (duration_ms < 1000)
		snprintf(result.text, sizeof(result.text), "%u ms", (unsigned)duration_ms);
	else if (seconds < 60)
		/* Cut, not rounded: "60.00 s" is a minute. */
		snprintf(result.text, sizeof(result.text), "%llu.%02u s", seconds,
			(unsigned)(duration_ms % 1000 / 10));
	else if (seconds < 3600)
		snprintf(result.text, sizeof(result.text), "%llu min %02llu s", seconds / 60,
			seconds % 60);
	else
		snprintf(result.text, sizeof(result.text), "%llu h %02llu min", seconds / 3600,
			seconds / 60 % 60);
	return result;
}

struct format format_clock(uint64_t duration_ms)
{
	struct format result;
	unsigned long long seconds = duration_ms / 1000;

	if (seconds < 3600)
		snprintf(result.text, sizeof(result.text), "%llu:%02llu", seconds / 60,
			seconds % 60);
	else
		snprintf(result.text, sizeof(result.text), "%llu:%02llu:%02llu", seconds / 3600,
			seconds / 60 % 60, seconds % 60);
	return result;
}

void format_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		/* The C1 controls are U+0080 to U+009F: C2 80 to C2 9F in UTF-8. */
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			p[0] = '?';
			p[1] = '?';
		} else if (*p < 0x20 || *p == 0x7f) {
			*p = '?';
		}
	}
}

void format_copy(char *copy, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size) {
		length = size - 1;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	memcpy(copy, text, length);
	copy[length] = '\0';
	format_clean(copy);
}

size_t format_columns(const char *text)
{
	size_t columns = 0;

	for (; *text; text++)
		columns += ((unsigned char)*text & 0xc0) != 0x80;
	return columns;
}
