/* What the threads of one measurement share. */
#ifndef CULVERT_BENCH_LOAD_H
#define CULVERT_BENCH_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LANES_MOST     1024
#define DURATIONS_MOST (1u << 21)

/* One channel of the tunnel */
struct lane {
	struct load *load;
	int source;
	int sink;
	pthread_t threads[2];
	_Atomic uint64_t received_bytes;
	uint64_t received_before_bytes; /* when the measurement began */
};

struct load {
	unsigned lane_count;
	unsigned faults;   /* pages asked for at a time */
	bool own_channel;  /* urgent pages go over the second lane */
	bool without_bulk; /* urgent pages alone */
	atomic_bool measuring;
	atomic_bool stopping;
	uint32_t *durations_ns; /* of faults or round trips, while measuring */
	size_t duration_count;
	struct lane lanes[LANES_MOST];
};

/** Keep a duration, while measuring; from one thread */
void load_note(struct load *load, uint64_t duration_ns);

/* Each kind of load: start its threads; and, once load->stopping, wait for them */
struct load_kind {
	void (*start)(struct load *load);
	void (*join)(struct load *load);
};

extern const struct load_kind load_bulk;
extern const struct load_kind load_fault;
extern const struct load_kind load_trip;

/** One thread of @lane's */
void load_start(struct lane *lane, unsigned index, void *(*run)(void *lane));

/** Bulk pages over @lane until load->stopping, then the end */
void *bulk_send(void *lane);
void *bulk_receive(void *lane);

/** Put urgent pages that were asked for in front of the next bulk. @returns how many were put into
 * @pieces, two each; @headers as many */
struct iovec;
unsigned fault_take_asked(struct iovec *pieces, uint64_t *headers, unsigned most);

#endif
