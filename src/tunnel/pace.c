#include "tunnel/pace.h"

/* ... or two round trips: what a pace does shows one later */
#define INTERVAL_LEAST_US 50000
#define INTERVAL_ROUNDS   2
/* After a pause the interval tells nothing of the rate. */
#define PAUSE_US 200000

/* Round trip beyond the least, and a part of that: above the first there is a queue to drain; below
 * the second there is none. Far away, what a small queue adds to a fault is not worth its price. */
#define QUEUED_MOST_US  400
#define QUEUED_LEAST_US 200
#define QUEUED_PART     3

/* Less is no queue, however long it takes: such a channel sends little, and each portion is that.
 */
#define QUEUED_LEAST_BYTES 16384
/* Of an interval, in which bytes were under way: a queue never lets them all arrive. */
#define IN_FLIGHT_PERMILLE 900

/* After a queue was drained the pace is that much of the rate that arrived while there was one. */
#define BELOW_PERMILLE 990
/* To drain a queue within one interval, and not less, as it may only just have begun */
#define DRAIN_LEAST_PERMILLE 15
#define DRAIN_MOST_PERMILLE  400

/* A queue that is no smaller after so many intervals is not this channel's: others fill it, or
 * processors are busy. Then it is not paced for a while, which doubles each time. */
#define DRAIN_INTERVALS  4
#define DRAINED_PERMILLE 700
#define LEAVE_FIRST_US   1000000
#define LEAVE_MOST_US    64000000

/* It rises by small steps at first, then by steps that double. */
#define STEP_FIRST_PERMILLE 5
#define STEP_MOST_PERMILLE  160
#define STEPS_SMALL         8

/* So far below its pace something else limits a channel; after so many intervals it is not paced.
 */
#define IDLE_PERMILLE  700
#define IDLE_INTERVALS 20

/* Of an interval, in which the thread wanted a processor: there is none to spare. */
#define BUSY_PERMILLE 800

/* No slower: a sample may have lied. */
#define SLOWEST_BYTES_PER_S 1000000

/* Of sending, or a part of the round trip: each portion has its price. */
#define PORTION_US   200
#define PORTION_PART 16

void pace_init(struct pace *pace)
{
	*pace = (struct pace){.bytes_per_s = RATE_UNLIMITED, .leave_us = LEAVE_FIRST_US};
}

bool pace_wants_sample(const struct pace *pace, uint64_t now_us)
{
	return now_us >= pace->sampled_us + PACE_SAMPLE_US;
}

static uint64_t permille(uint64_t value, unsigned part)
{
	return value * part / 1000;
}

static uint32_t queued_us(const struct pace *pace, const struct pace_sample *sample)
{
	uint32_t least = sample->round_trip_least_us + pace->distance_us / QUEUED_PART;

	return sample->round_trip_us > least ? sample->round_trip_us - least : 0;
}

/* Whether what was seen in the interval may be a queue of this channel */
static bool may_queue(const struct pace *pace, const struct pace_sample *sample)
{
	uint64_t elapsed_us = sample->now_us - pace->began_us;

	return sample->in_flight_us - pace->began_in_flight_us >=
		permille(elapsed_us, IN_FLIGHT_PERMILLE) &&
		pace->arrival_rate * pace->queued_least_us / 1000000 >= QUEUED_LEAST_BYTES;
}

static void begin_interval(struct pace *pace, const struct pace_sample *sample)
{
	pace->began_us = sample->now_us;
	pace->began_bytes = sample->arrived_bytes;
	pace->began_in_flight_us = sample->in_flight_us;
	pace->began_wanted_us = sample->wanted_us;
	pace->queued_least_us = UINT32_MAX;
}

static void set_rate(struct pace *pace, uint64_t rate, unsigned part)
{
	pace->bytes_per_s = permille(rate, part);
	if (pace->bytes_per_s < SLOWEST_BYTES_PER_S)
		pace->bytes_per_s = SLOWEST_BYTES_PER_S;
}

static uint64_t interval_us(const struct pace *pace)
{
	uint64_t rounds_us = INTERVAL_ROUNDS * (uint64_t)pace->distance_us;

	return rounds_us > INTERVAL_LEAST_US ? rounds_us : INTERVAL_LEAST_US;
}

static unsigned drain_permille(const struct pace *pace)
{
	uint64_t part = (uint64_t)pace->queued_least_us * 1000 / interval_us(pace);

	if (part < DRAIN_LEAST_PERMILLE)
		return DRAIN_LEAST_PERMILLE;
	return part < DRAIN_MOST_PERMILLE ? (unsigned)part : DRAIN_MOST_PERMILLE;
}

static void let_go(struct pace *pace)
{
	pace->bytes_per_s = RATE_UNLIMITED;
	pace->draining = false;
}

static void leave_alone(struct pace *pace)
{
	let_go(pace);
	pace->left_until_us = pace->sampled_us + pace->leave_us;
	if (pace->leave_us < LEAVE_MOST_US)
		pace->leave_us *= 2;
}

/* While it drains, less may arrive than the link could carry. */
static void drain(struct pace *pace)
{
	if (!pace->draining || pace->arrival_rate > pace->carried_rate)
		pace->carried_rate = pace->arrival_rate;
	if (!pace->draining ||
		pace->queued_least_us < permille(pace->drain_began_us, DRAINED_PERMILLE)) {
		pace->drain_began_us = pace->queued_least_us;
		pace->drain_intervals = 0;
	}
	pace->draining = true;
	if (++pace->drain_intervals > DRAIN_INTERVALS) {
		leave_alone(pace);
		return;
	}
	set_rate(pace, pace->carried_rate, 1000 - drain_permille(pace));
}

static void end_drain(struct pace *pace)
{
	set_rate(pace, pace->carried_rate, BELOW_PERMILLE);
	pace->draining = false;
	pace->leave_us = LEAVE_FIRST_US;
	pace->steps = 0;
	pace->step_permille = STEP_FIRST_PERMILLE;
}

static void speed_up(struct pace *pace)
{
	set_rate(pace, pace->bytes_per_s, 1000 + pace->step_permille);
	if (++pace->steps >= STEPS_SMALL && pace->step_permille < STEP_MOST_PERMILLE)
		pace->step_permille *= 2;
}

static void judge_unpaced(struct pace *pace)
{
	pace->idle_intervals = 0;
	if (pace->queued_least_us > QUEUED_MOST_US && pace->sampled_us >= pace->left_until_us)
		drain(pace);
}

static void judge_paced(struct pace *pace)
{
	bool idle = pace->arrival_rate < permille(pace->bytes_per_s, IDLE_PERMILLE);

	if (pace->queued_least_us > QUEUED_MOST_US)
		drain(pace);
	else if (pace->draining)
		end_drain(pace);
	else if (!idle && pace->queued_least_us < QUEUED_LEAST_US)
		speed_up(pace);
	pace->idle_intervals = idle ? pace->idle_intervals + 1 : 0;
	if (pace->idle_intervals == IDLE_INTERVALS)
		let_go(pace);
}

void pace_note(struct pace *pace, const struct pace_sample *sample)
{
	uint64_t elapsed_us = sample->now_us - pace->began_us;
	uint32_t queued;

	pace->distance_us = sample->round_trip_least_us > sample->peer_round_us
		? sample->round_trip_least_us
		: sample->peer_round_us;
	queued = queued_us(pace, sample);
	if (sample->now_us >= pace->sampled_us + PAUSE_US)
		begin_interval(pace, sample);
	pace->sampled_us = sample->now_us;
	if (queued < pace->queued_least_us)
		pace->queued_least_us = queued;
	if (elapsed_us < interval_us(pace) || pace->began_us == sample->now_us)
		return;
	pace->arrival_rate = (sample->arrived_bytes - pace->began_bytes) * 1000000 / elapsed_us;
	if (!may_queue(pace, sample))
		pace->queued_least_us = 0;
	pace->busy =
		sample->wanted_us - pace->began_wanted_us > permille(elapsed_us, BUSY_PERMILLE);
	if (pace->busy)
		let_go(pace);
	else if (pace->bytes_per_s == RATE_UNLIMITED)
		judge_unpaced(pace);
	else
		judge_paced(pace);
	begin_interval(pace, sample);
}

size_t pace_portion(const struct pace *pace, size_t least, size_t most)
{
	uint64_t round_us = pace->distance_us / PORTION_PART;
	uint64_t portion_us = round_us > PORTION_US ? round_us : PORTION_US;
	uint64_t portion = pace->arrival_rate * portion_us / 1000000;

	if (pace->arrival_rate == 0 || pace->busy || portion > most)
		return most;
	return portion < least ? least : (size_t)portion;
}
