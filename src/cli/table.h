/* Rows of text in columns as wide as they need to be. */
#ifndef CULVERT_CLI_TABLE_H
#define CULVERT_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS    9
#define TABLE_CELL_BYTES 256

struct table {
	char (*rows)[TABLE_COLUMNS][TABLE_CELL_BYTES];
	size_t row_count;
	size_t column_count;
};

/** @headings  the first row; at most TABLE_COLUMNS */
void table_init(struct table *table, const char *const *headings, size_t column_count);
void table_fini(struct table *table);

/** @cells  as many as there are headings; copied and made safe to print */
void table_add(struct table *table, const char *const *cells);

void table_print(const struct table *table, FILE *file);

#endif
