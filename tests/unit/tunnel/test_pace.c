/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/pace.h"

/* A hop that all flows pass, as a fluid: what comes faster than it carries queues, and what queued
 * leaves by turns. A flow that is not paced keeps unpaced_queue_us of the hop's time queued, like
 * TCP in front of a network card. */

enum { FLOWS_MOST = 2, STEP_US = 100, NEAR_US = 200, FAR_US = 40000, GBIT = 125000000 };

struct flow {
	struct pace pace;
	double offered; /* bytes per second that its program has at most */
	double queued;  /* bytes */
	double arrived; /* bytes */
};

static struct flow flows[FLOWS_MOST];
static unsigned flow_count;
static double capacity;  /* bytes per second */
static uint32_t base_us; /* the round trip without a queue */
static uint32_t peer_round_us;
static uint32_t unpaced_queue_us;
static uint32_t noise_us;   /* every second sample's round trip is longer by it */
static uint32_t foreign_us; /* every sample's is: what others have queued */
static unsigned in_flight_permille;
static unsigned busy_permille;
static uint64_t now_us;

static double queued_bytes(void)
{
	double sum = 0;

	for (unsigned i = 0; i < flow_count; i++)
		sum += flows[i].queued;
	return sum;
}

static double send_rate(const struct flow *flow)
{
	double most = capacity * unpaced_queue_us / 1e6;
	double rate = flow->offered;

	if (flow->pace.bytes_per_s != RATE_UNLIMITED && (double)flow->pace.bytes_per_s < rate)
		rate = (double)flow->pace.bytes_per_s;
	if (flow->queued + rate * STEP_US / 1e6 > most)
		rate = (most - flow->queued) * 1e6 / STEP_US;
	return rate > 0 ? rate : 0;
}

static void step(void)
{
	double all;

	now_us += STEP_US;
	for (unsigned i = 0; i < flow_count; i++)
		flows[i].queued += send_rate(&flows[i]) * STEP_US / 1e6;
	all = queued_bytes();
	for (unsigned i = 0; i < flow_count && all > 0; i++) {
		double carried = capacity * STEP_US / 1e6;
		double gone = all < carried ? flows[i].queued : carried * flows[i].queued / all;

		flows[i].queued -= gone;
		flows[i].arrived += gone;
	}
	for (unsigned i = 0; i < flow_count; i++) {
		struct pace_sample sample = {
			.now_us = now_us,
			.arrived_bytes = (uint64_t)flows[i].arrived,
			.in_flight_us = now_us * in_flight_permille / 1000,
			.round_trip_us = base_us + (uint32_t)(queued_bytes() / capacity * 1e6),
			.round_trip_least_us = base_us,
			.peer_round_us = peer_round_us,
			.wanted_us = now_us * busy_permille / 1000,
		};

		sample.round_trip_us += foreign_us;
		if (now_us / PACE_SAMPLE_US % 2)
			sample.round_trip_us += noise_us;
		if (pace_wants_sample(&flows[i].pace, now_us))
			pace_note(&flows[i].pace, &sample);
	}
}

/* Let time pass. @returns bytes per second that arrived of all flows; the mean queue in *@queued_us
 */
static double run_ms(unsigned ms, double *queued_us)
{
	double before = flows[0].arrived + flows[1].arrived;
	double sum = 0;

	unsigned steps = ms * 1000 / STEP_US;

	for (unsigned i = 0; i < steps; i++) {
		step();
		sum += queued_bytes() / capacity * 1e6;
	}
	if (queued_us)
		*queued_us = sum / steps;
	return (flows[0].arrived + flows[1].arrived - before) * 1000 / ms;
}

static void add_flow(double offered)
{
	flows[flow_count] = (struct flow){.offered = offered};
	pace_init(&flows[flow_count++].pace);
}

static int set_up(void **state)
{
	(void)state;
	flows[0] = flows[1] = (struct flow){0};
	flow_count = 0;
	capacity = GBIT;
	base_us = NEAR_US;
	peer_round_us = 0;
	unpaced_queue_us = 2000;
	noise_us = 0;
	foreign_us = 0;
	in_flight_permille = 1000;
	busy_permille = 100;
	now_us = 1000000;
	return 0;
}

static void assert_between(double low, double value, double high)
{
	if (value < low || value > high)
		fail_msg("%g is not between %g and %g", value, low, high);
}

static void drains_the_queue_and_keeps_the_link_full(void **state)
{
	double queued_us;

	(void)state;
	add_flow(1e10);
	assert_between(0.99 * GBIT, run_ms(60, &queued_us), 1.01 * GBIT);
	assert_between(1000, queued_us, unpaced_queue_us);
	run_ms(1000, NULL);
	assert_between(0.97 * GBIT, run_ms(10000, &queued_us), 1.01 * GBIT);
	assert_between(0, queued_us, 600);
}

static void a_flow_that_its_program_limits_is_not_paced(void **state)
{
	(void)state;
	add_flow(0.9 * GBIT);
	assert_between(0.89 * GBIT, run_ms(5000, NULL), 0.91 * GBIT);
	assert_true(flows[0].pace.bytes_per_s == RATE_UNLIMITED);
}

static void round_trips_that_a_busy_processor_lengthens_are_no_queue(void **state)
{
	(void)state;
	noise_us = 5000;
	add_flow(0.9 * GBIT);
	run_ms(5000, NULL);
	assert_true(flows[0].pace.bytes_per_s == RATE_UNLIMITED);
}

/* Round trips of a host with busy processors, and who sends */
static void assert_late_but_not_paced(double offered)
{
	foreign_us = 4000;
	add_flow(offered);
	for (int i = 0; i < 100; i++) {
		run_ms(50, NULL);
		assert_true(flows[0].pace.bytes_per_s == RATE_UNLIMITED);
	}
}

static void who_often_has_nothing_under_way_has_no_queue(void **state)
{
	(void)state;
	in_flight_permille = 800;
	assert_late_but_not_paced(0.5 * GBIT);
}

static void less_than_a_portion_is_no_queue(void **state)
{
	(void)state;
	assert_late_but_not_paced(3e6);
}

static void follows_a_link_that_gets_slower_or_faster(void **state)
{
	double queued_us;

	(void)state;
	add_flow(1e10);
	run_ms(1000, NULL);
	capacity = GBIT / 4;
	run_ms(1000, NULL);
	assert_between(0.96 * GBIT / 4, run_ms(3000, &queued_us), 1.01 * GBIT / 4);
	assert_between(0, queued_us, 900);
	capacity = GBIT * 2.0;
	run_ms(3000, NULL);
	assert_between(1.9 * GBIT, run_ms(3000, &queued_us), 2.01 * GBIT);
}

static void two_flows_come_to_share_a_link_fairly(void **state)
{
	double queued_us;
	double first;
	double second;

	(void)state;
	add_flow(1e10);
	run_ms(3000, NULL);
	add_flow(1e10);
	run_ms(10000, NULL);
	first = flows[0].arrived;
	second = flows[1].arrived;
	assert_between(0.95 * GBIT, run_ms(10000, &queued_us), 1.01 * GBIT);
	assert_between(0, queued_us, 900);
	assert_between(0.6, (flows[0].arrived - first) / (flows[1].arrived - second), 1.7);
}

static void a_queue_that_the_pace_does_not_drain_is_left_to_those_who_fill_it(void **state)
{
	(void)state;
	foreign_us = 5000;
	add_flow(0.9 * GBIT);
	assert_between(0.82 * GBIT, run_ms(5000, NULL), 0.91 * GBIT);
	assert_between(0.86 * GBIT, run_ms(20000, NULL), 0.91 * GBIT);
	foreign_us = 0;
	assert_between(0.89 * GBIT, run_ms(5000, NULL), 0.91 * GBIT);
}

static void a_queue_that_was_none_costs_little(void **state)
{
	(void)state;
	add_flow(0.98 * GBIT);
	run_ms(1000, NULL);
	foreign_us = 1000;
	run_ms(150, NULL);
	assert_true(flows[0].pace.draining);
	foreign_us = 0;
	run_ms(100, NULL);
	assert_between(0.96 * GBIT, (double)flows[0].pace.bytes_per_s, 1.01 * GBIT);
}

static void assert_short_queue_is_left(void)
{
	foreign_us = 10000;
	add_flow(0.5 * GBIT);
	assert_between(0.49 * GBIT, run_ms(5000, NULL), 0.51 * GBIT);
	assert_true(flows[0].pace.bytes_per_s == RATE_UNLIMITED);
}

static void far_away_a_short_queue_is_left(void **state)
{
	(void)state;
	base_us = FAR_US;
	assert_short_queue_is_left();
}

static void behind_a_relay_the_peer_is_as_far_as_it_says(void **state)
{
	(void)state;
	peer_round_us = FAR_US;
	assert_short_queue_is_left();
}

static void far_away_a_long_queue_is_drained(void **state)
{
	double queued_us;

	(void)state;
	base_us = FAR_US;
	unpaced_queue_us = 200000;
	add_flow(1e10);
	run_ms(5000, NULL);
	assert_between(0.95 * GBIT, run_ms(20000, &queued_us), 1.01 * GBIT);
	assert_between(0, queued_us, FAR_US / 2);
}

static void a_thread_that_never_rests_is_not_paced(void **state)
{
	(void)state;
	busy_permille = 950;
	add_flow(1e10);
	run_ms(1000, NULL);
	assert_true(flows[0].pace.bytes_per_s == RATE_UNLIMITED);
	busy_permille = 500;
	run_ms(1000, NULL);
	assert_true(flows[0].pace.bytes_per_s != RATE_UNLIMITED);
	busy_permille = 950;
	run_ms(100, NULL);
	assert_true(flows[0].pace.bytes_per_s == RATE_UNLIMITED);
}

static void a_flow_that_falls_silent_is_forgotten(void **state)
{
	(void)state;
	add_flow(1e10);
	run_ms(1000, NULL);
	assert_true(flows[0].pace.bytes_per_s != RATE_UNLIMITED);
	flows[0].offered = 0.1 * GBIT;
	run_ms(2000, NULL);
	assert_true(flows[0].pace.bytes_per_s == RATE_UNLIMITED);
}

/* One interval of a slow flow that sees a queue. @returns whether it is paced after it */
static bool slow_interval(struct pace *pace, struct pace_sample *sample, uint32_t queue_us)
{
	sample->now_us += 50000;
	sample->arrived_bytes += 10000;
	sample->in_flight_us += 50000;
	sample->round_trip_us = queue_us;
	pace_note(pace, sample);
	return pace->bytes_per_s != RATE_UNLIMITED;
}

static void a_flow_that_was_let_go_while_it_drained_has_all_of_its_next_time_to_drain(void **state)
{
	struct pace_sample sample = {.now_us = 1000000, .round_trip_us = 2000000};
	uint32_t queue_us = 2000000;
	unsigned paced = 0;
	struct pace pace;

	(void)state;
	pace_init(&pace);
	pace_note(&pace, &sample);
	while (slow_interval(&pace, &sample, queue_us))
		queue_us = queue_us / 10 * 9;
	assert_in_range(queue_us, 100000, 500000);
	assert_false(slow_interval(&pace, &sample, 0));
	while (slow_interval(&pace, &sample, 2000000))
		paced++;
	assert_int_equal(paced, 4);
}

static void portions_follow_the_rate(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace);
	assert_int_equal(pace_portion(&pace, 16384, 65536), 65536);
	pace.arrival_rate = GBIT;
	assert_int_equal(pace_portion(&pace, 16384, 65536), 25000);
	pace.arrival_rate = GBIT / 10;
	assert_int_equal(pace_portion(&pace, 16384, 65536), 16384);
	pace.distance_us = FAR_US;
	assert_int_equal(pace_portion(&pace, 16384, 65536), 31250);
	pace.arrival_rate = 10000000000;
	assert_int_equal(pace_portion(&pace, 16384, 65536), 65536);
	pace.arrival_rate = GBIT;
	pace.busy = true;
	assert_int_equal(pace_portion(&pace, 16384, 65536), 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(drains_the_queue_and_keeps_the_link_full, set_up),
		cmocka_unit_test_setup(a_flow_that_its_program_limits_is_not_paced, set_up),
		cmocka_unit_test_setup(
			round_trips_that_a_busy_processor_lengthens_are_no_queue, set_up),
		cmocka_unit_test_setup(who_often_has_nothing_under_way_has_no_queue, set_up),
		cmocka_unit_test_setup(less_than_a_portion_is_no_queue, set_up),
		cmocka_unit_test_setup(follows_a_link_that_gets_slower_or_faster, set_up),
		cmocka_unit_test_setup(two_flows_come_to_share_a_link_fairly, set_up),
		cmocka_unit_test_setup(
			a_queue_that_the_pace_does_not_drain_is_left_to_those_who_fill_it, set_up),
		cmocka_unit_test_setup(a_queue_that_was_none_costs_little, set_up),
		cmocka_unit_test_setup(far_away_a_short_queue_is_left, set_up),
		cmocka_unit_test_setup(behind_a_relay_the_peer_is_as_far_as_it_says, set_up),
		cmocka_unit_test_setup(far_away_a_long_queue_is_drained, set_up),
		cmocka_unit_test_setup(a_thread_that_never_rests_is_not_paced, set_up),
		cmocka_unit_test_setup(a_flow_that_falls_silent_is_forgotten, set_up),
		cmocka_unit_test_setup(
			a_flow_that_was_let_go_while_it_drained_has_all_of_its_next_time_to_drain,
			set_up),
		cmocka_unit_test_setup(portions_follow_the_rate, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
