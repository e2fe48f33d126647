/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "daemon/offer.h"

enum { TAKER_COUNT = 8 };

struct fixture {
	struct offers *offers;
	char token[OFFER_TOKEN_CHARACTERS + 1];
	int fd;
	struct terms *terms; /* of the one that was taken last */
	struct error err;
};

static int put(struct fixture *fixture, const char *peer, char *token)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(offers_put(fixture->offers, peer, fd, NULL, token, &fixture->err), 0);
	return fd;
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.offers = offers_new()};
	fixture.fd = put(&fixture, "hostb", fixture.token);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	offers_free(fixture->offers);
	return 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void the_right_peer_takes_an_offer(void **state)
{
	struct fixture *fixture = *state;
	int fd = offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms);

	assert_int_equal(fd, fixture->fd);
	assert_true(is_open(fd));
	close(fd);
}

static void an_offer_is_taken_once(void **state)
{
	struct fixture *fixture = *state;

	close(offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms));
	assert_int_equal(
		offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms), -1);
}

static void an_offer_waits_until_it_is_taken(void **state)
{
	struct fixture *fixture = *state;

	assert_true(offers_waits(fixture->offers, fixture->token));
	close(offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms));
	assert_false(offers_waits(fixture->offers, fixture->token));
}

static void another_peer_does_not_take_it(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(
		offers_take(fixture->offers, "hostc", fixture->token, &fixture->terms), -1);
}

static void an_attempt_of_another_peer_leaves_it_there(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	(void)offers_take(fixture->offers, "hostc", fixture->token, &fixture->terms);
	fd = offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms);
	assert_int_equal(fd, fixture->fd);
	close(fd);
}

static void a_token_with_one_digit_changed_takes_nothing(void **state)
{
	struct fixture *fixture = *state;
	char *last = &fixture->token[OFFER_TOKEN_CHARACTERS - 1];

	*last = *last == '0' ? '1' : '0';
	assert_int_equal(
		offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms), -1);
}

static void the_beginning_of_a_token_takes_nothing(void **state)
{
	struct fixture *fixture = *state;

	fixture->token[OFFER_TOKEN_CHARACTERS - 1] = '\0';
	assert_int_equal(
		offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms), -1);
}

static void an_empty_token_takes_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(offers_take(fixture->offers, "hostb", "", &fixture->terms), -1);
}

static void tokens_are_all_different(void **state)
{
	struct fixture *fixture = *state;
	char other[OFFER_TOKEN_CHARACTERS + 1];

	put(fixture, "hostb", other);
	assert_int_equal(strlen(other), OFFER_TOKEN_CHARACTERS);
	assert_string_not_equal(fixture->token, other);
}

static void each_token_takes_its_own(void **state)
{
	struct fixture *fixture = *state;
	char other[OFFER_TOKEN_CHARACTERS + 1];
	int fd = put(fixture, "hostb", other);

	assert_int_equal(offers_take(fixture->offers, "hostb", other, &fixture->terms), fd);
	close(fd);
}

static void a_withdrawn_offer_is_closed(void **state)
{
	struct fixture *fixture = *state;

	offers_withdraw(fixture->offers, fixture->token);
	assert_false(is_open(fixture->fd));
	assert_int_equal(
		offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms), -1);
}

static void a_withdrawal_after_the_taking_leaves_it_open(void **state)
{
	struct fixture *fixture = *state;
	int fd = offers_take(fixture->offers, "hostb", fixture->token, &fixture->terms);

	offers_withdraw(fixture->offers, fixture->token);
	assert_true(is_open(fd));
	close(fd);
}

static void what_nobody_took_is_closed_at_the_end(void **state)
{
	struct fixture *fixture = *state;

	offers_free(fixture->offers);
	assert_false(is_open(fixture->fd));
	fixture->offers = offers_new();
}

static void *take(void *argument)
{
	struct fixture *fixture = argument;

	return (void *)(intptr_t)offers_take(
		fixture->offers, "hostb", fixture->token, &fixture->terms);
}

static void of_many_takers_at_once_one_succeeds(void **state)
{
	struct fixture *fixture = *state;
	pthread_t threads[TAKER_COUNT];
	unsigned successes = 0;

	for (int i = 0; i < TAKER_COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take, fixture), 0);
	for (int i = 0; i < TAKER_COUNT; i++) {
		void *taken;

		pthread_join(threads[i], &taken);
		successes += (int)(intptr_t)taken >= 0;
	}
	assert_int_equal(successes, 1);
	close(fixture->fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_right_peer_takes_an_offer),
		TEST(an_offer_is_taken_once),
		TEST(an_offer_waits_until_it_is_taken),
		TEST(another_peer_does_not_take_it),
		TEST(an_attempt_of_another_peer_leaves_it_there),
		TEST(a_token_with_one_digit_changed_takes_nothing),
		TEST(the_beginning_of_a_token_takes_nothing),
		TEST(an_empty_token_takes_nothing),
		TEST(tokens_are_all_different),
		TEST(each_token_takes_its_own),
		TEST(a_withdrawn_offer_is_closed),
		TEST(a_withdrawal_after_the_taking_leaves_it_open),
		TEST(what_nobody_took_is_closed_at_the_end),
		TEST(of_many_takers_at_once_one_succeeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
