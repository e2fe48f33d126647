#include "daemon/allotment.h"

#include <string.h>

#include "io/socket.h"

void allotment_init(struct allotment *allotment, const char *service, struct terms *terms)
{
	*allotment = (struct allotment){
		.terms = terms_hold(terms),
		.own_class = strcmp(service, "control") == 0 ? SHARE_URGENT : SHARE_BULK,
		.allowed = RATE_UNLIMITED,
		.pace = RATE_UNLIMITED,
		.to_peer_rate = RATE_UNLIMITED,
		.to_local_rate = RATE_UNLIMITED,
		.peer_rate = RATE_UNLIMITED,
	};
	list_init(&allotment->place);
}

void allotment_fini(struct allotment *allotment)
{
	if (allotment->terms) {
		atomic_store(&allotment->terms->to_peer_rate, RATE_UNLIMITED);
		atomic_store(&allotment->terms->to_local_rate, RATE_UNLIMITED);
	}
	terms_put(allotment->terms);
	allotment->terms = NULL;
}

static uint64_t least_of(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

/* What the scheduler and the peer allow */
static uint64_t allowed_rate(const struct allotment *allotment, const struct flow *flow)
{
	uint64_t rate =
		least_of(atomic_load_explicit(&allotment->to_peer_rate, memory_order_relaxed),
			flow->session.peer_rate);

	return rate < ALLOTMENT_LEAST_BYTES_PER_S ? ALLOTMENT_LEAST_BYTES_PER_S : rate;
}

void allotment_apply(struct allotment *allotment, struct flow *flow)
{
	uint64_t allowed = allowed_rate(allotment, flow);
	uint64_t asked = atomic_load_explicit(&allotment->to_local_rate, memory_order_relaxed);
	uint64_t pace = least_of(allowed, flow->pace.bytes_per_s);

	if (allotment->terms && allowed != allotment->allowed)
		atomic_store(&allotment->terms->to_peer_rate, allowed);
	allotment->allowed = allowed;
	if (pace != allotment->pace)
		socket_set_pacing(link_descriptor(flow->link), pace);
	allotment->pace = pace;
	if (asked != flow->session.rate_wanted) {
		session_ask_rate(&flow->session, asked);
		if (allotment->terms)
			atomic_store(&allotment->terms->to_local_rate, asked);
	}
}

static void store(_Atomic uint64_t *place, uint64_t value)
{
	atomic_store_explicit(place, value, memory_order_relaxed);
}

void allotment_note(struct allotment *allotment, const struct flow *flow, uint64_t now_ms)
{
	const struct session *session = &flow->session;

	store(&allotment->sent, session->to_peer.sent);
	store(&allotment->acknowledged, session->to_peer.acknowledged);
	store(&allotment->received, session->to_local.received);
	store(&allotment->peer_rate, session->peer_rate);
	if (allotment->was_full)
		store(&allotment->full_ms, allotment->full_ms + now_ms - allotment->noted_ms);
	allotment->noted_ms = now_ms;
	allotment->was_full = flow->link && !flow->link_room;
}

void allotment_renew(struct allotment *allotment)
{
	allotment->pace = RATE_UNLIMITED;
}
