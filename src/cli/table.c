#include "cli/table.h"

#include <assert.h>
#include <stdlib.h>

#include "cli/format.h"

void table_init(struct table *table, const char *const *headings, size_t column_count)
{
	assert(column_count <= TABLE_COLUMNS);
	*table = (struct table){.column_count = column_count};
	table_add(table, headings);
}

void table_fini(struct table *table)
{
	free(table->rows);
}

void table_add(struct table *table, const char *const *cells)
{
	void *rows = reallocarray(table->rows, table->row_count + 1, sizeof(*table->rows));

	if (!rows)
		abort();
	table->rows = rows;
	for (size_t i = 0; i < table->column_count; i++)
		format_copy(table->rows[table->row_count][i], TABLE_CELL_BYTES, cells[i]);
	table->row_count++;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t widest = 0;

	for (size_t row = 0; row < table->row_count; row++) {
		size_t columns = format_columns(table->rows[row][column]);

		if (columns > widest)
			widest = columns;
	}
	return widest;
}

void table_print(const struct table *table, FILE *file)
{
	for (size_t row = 0; row < table->row_count; row++) {
		for (size_t i = 0; i < table->column_count; i++) {
			const char *cell = table->rows[row][i];
			size_t missing = column_width(table, i) - format_columns(cell);

			if (i + 1 == table->column_count)
				fprintf(file, "%s\n", cell);
			else
				fprintf(file, "%s%*s", cell, (int)missing + 2, "");
		}
	}
}
