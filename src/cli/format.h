/* Figures and foreign text for people. */
#ifndef CULVERT_CLI_FORMAT_H
#define CULVERT_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Returned by value, for use within one expression: printf("%s", format_bytes(n).text) */
struct format {
	char text[32];
};

/** "0 B", "1.5 KiB", "612 MiB" */
struct format format_bytes(uint64_t bytes);

/** "1.1 GiB/s" */
struct format format_rate(uint64_t bytes_per_s);

/** "250 us", "1.83 ms", "2.50 s" */
struct format format_us(uint64_t duration_us);

/** "23 ms", "4.21 s", "3 min 05 s", "1 h 02 min" */
struct format format_ms(uint64_t duration_ms);

/** A clock for a line that is redrawn: "0:07", "12:34", "1:02:03" */
struct format format_clock(uint64_t duration_ms);

/** Replace, in place, everything a terminal would act on instead of showing it */
void format_clean(char *text);

/** As snprintf("%s") and format_clean(), never ending in the middle of a character */
void format_copy(char *copy, size_t size, const char *text);

/** Columns of @text on a terminal, taking every character for one column */
size_t format_columns(const char *text);

#endif
