#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "cli/table.h"

static char *printed(const struct table *table)
{
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	table_print(table, file);
	fclose(file);
	return text;
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	struct table table;
	char *text;

	(void)state;
	table_init(&table, (const char *[]){"ID", "VM"}, 2);
	table_add(&table, (const char *[]){"3fa9", "web1"});
	table_add(&table, (const char *[]){"\xc3\xa9", "b"});
	text = printed(&table);
	assert_string_equal(text, "ID    VM\n3fa9  web1\n\xc3\xa9     b\n");
	free(text);
	table_fini(&table);
}

static void cells_are_made_safe_to_print(void **state)
{
	struct table table;
	char *text;

	(void)state;
	table_init(&table, (const char *[]){"A"}, 1);
	table_add(&table, (const char *[]){"x\033[2J\n"});
	text = printed(&table);
	assert_string_equal(text, "A\nx?[2J?\n");
	free(text);
	table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(cells_are_made_safe_to_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
