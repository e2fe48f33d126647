/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/strangers.h"

struct guest {
	struct stranger stranger; /* first */
	enum claim claim;
	bool expelled;
};

static struct strangers strangers;
static struct guest guests[STRANGERS_MOST + 1];

static enum claim claim_of(const struct stranger *stranger)
{
	return ((const struct guest *)stranger)->claim;
}

static void expel(struct stranger *stranger, const char *why)
{
	(void)why;
	((struct guest *)stranger)->expelled = true;
	strangers_leave(&strangers, stranger);
}

static const struct stranger_events events = {.claim = claim_of, .expel = expel};

static void enter(struct guest *guest, enum claim claim)
{
	*guest = (struct guest){.claim = claim};
	stranger_init(&guest->stranger, &events);
	strangers_enter(&strangers, &guest->stranger);
}

/* All places are taken. */
static int set_up(void **state)
{
	(void)state;
	strangers_init(&strangers);
	for (size_t i = 0; i < STRANGERS_MOST; i++)
		enter(&guests[i], CLAIM_FIRM);
	return 0;
}

static void there_is_room_below_the_bound(void **state)
{
	(void)state;
	strangers_leave(&strangers, &guests[0].stranger);
	assert_true(strangers_make_room(&strangers));
	assert_int_equal(strangers.count, STRANGERS_MOST - 1);
}

static void a_firm_claim_yields_to_nobody(void **state)
{
	(void)state;
	assert_false(strangers_make_room(&strangers));
	assert_int_equal(strangers.count, STRANGERS_MOST);
}

static void of_the_silent_the_oldest_yields(void **state)
{
	(void)state;
	guests[7].claim = CLAIM_SILENT;
	guests[9].claim = CLAIM_SILENT;
	assert_true(strangers_make_room(&strangers));
	assert_true(guests[7].expelled);
	assert_false(guests[9].expelled);
	assert_int_equal(strangers.count, STRANGERS_MOST - 1);
}

static void who_was_turned_away_yields_before_the_silent(void **state)
{
	(void)state;
	guests[7].claim = CLAIM_SILENT;
	guests[9].claim = CLAIM_NONE;
	assert_true(strangers_make_room(&strangers));
	assert_false(guests[7].expelled);
	assert_true(guests[9].expelled);
}

static void who_enters_or_leaves_twice_is_counted_once(void **state)
{
	(void)state;
	strangers_enter(&strangers, &guests[3].stranger);
	assert_int_equal(strangers.count, STRANGERS_MOST);
	strangers_leave(&strangers, &guests[3].stranger);
	strangers_leave(&strangers, &guests[3].stranger);
	assert_int_equal(strangers.count, STRANGERS_MOST - 1);
}

static void all_are_expelled_at_the_end(void **state)
{
	(void)state;
	strangers_expel_all(&strangers, "stopping");
	assert_int_equal(strangers.count, 0);
	for (size_t i = 0; i < STRANGERS_MOST; i++)
		assert_true(guests[i].expelled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
		TEST(there_is_room_below_the_bound),
		TEST(a_firm_claim_yields_to_nobody),
		TEST(of_the_silent_the_oldest_yields),
		TEST(who_was_turned_away_yields_before_the_silent),
		TEST(who_enters_or_leaves_twice_is_counted_once),
		TEST(all_are_expelled_at_the_end),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
