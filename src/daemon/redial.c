#include "daemon/redial.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MOST    16
#define SHORTEST_PAUSE_MS 20
#define LONGEST_PAUSE_MS  2000
/* Shorter than TCP's own patience: a SYN that was lost is asked again soon. */
#define PATIENCE_MS 3000

struct redial {
	struct tls_context *tls;
	char identity[256];
	unsigned char id[CHANNEL_ID_BYTES];
	unsigned char secret[CHANNEL_SECRET_BYTES];
	uint64_t epoch;
	uint64_t pause_ms;
	uint64_t due_ms;
	struct sockaddr_storage addresses[ADDRESSES_MOST];
	socklen_t lengths[ADDRESSES_MOST];
	size_t count;
	size_t place; /* of the address that was tried last */
	bool moves;   /* the next attempt goes to the one after it */
	struct link *attempt;
	struct worker *worker;
	const struct redial_events *events;
	void *owner;
};

struct redial *redial_new(
	struct tls_context *tls, const char *identity, const struct open_message *open)
{
	struct redial *redial = calloc(1, sizeof(*redial));

	if (!redial)
		return NULL;
	redial->tls = tls;
	snprintf(redial->identity, sizeof(redial->identity), "%s", identity);
	memcpy(redial->id, open->id, sizeof(redial->id));
	memcpy(redial->secret, open->secret, sizeof(redial->secret));
	redial->pause_ms = SHORTEST_PAUSE_MS;
	return redial;
}

void redial_free(struct redial *redial)
{
	if (!redial)
		return;
	if (redial->attempt)
		link_abort(redial->attempt);
	OPENSSL_cleanse(redial->secret, sizeof(redial->secret));
	free(redial);
}

void redial_add(struct redial *redial, const struct addrinfo *address)
{
	if (redial->count == ADDRESSES_MOST || address->ai_addrlen > sizeof(redial->addresses[0]))
		return;
	memcpy(&redial->addresses[redial->count], address->ai_addr, address->ai_addrlen);
	redial->lengths[redial->count++] = address->ai_addrlen;
}

void redial_prefer(struct redial *redial, const struct addrinfo *address)
{
	for (size_t i = 0; i < redial->count; i++) {
		if (redial->lengths[i] == address->ai_addrlen &&
			memcmp(&redial->addresses[i], address->ai_addr, address->ai_addrlen) == 0)
			redial->place = i;
	}
}

void redial_set_owner(struct redial *redial, struct worker *worker,
	const struct redial_events *events, void *owner)
{
	redial->worker = worker;
	redial->events = events;
	redial->owner = owner;
}

static void wait_before_next(struct redial *redial)
{
	uint64_t pause_ms = redial->pause_ms;
	unsigned char random = 0;

	redial->pause_ms *= 2;
	if (redial->pause_ms > LONGEST_PAUSE_MS)
		redial->pause_ms = LONGEST_PAUSE_MS;
	/* Channels that lost their links together do not come back together. */
	(void)RAND_bytes(&random, 1);
	redial->due_ms = loop_now_ms(redial->worker->loop) + pause_ms / 2 + pause_ms * random / 255;
}

void redial_begin(struct redial *redial)
{
	redial->pause_ms = SHORTEST_PAUSE_MS;
	/* Where the link was, it may well be again. */
	redial->moves = false;
	wait_before_next(redial);
}

uint64_t redial_due_ms(const struct redial *redial)
{
	return redial->attempt ? UINT64_MAX : redial->due_ms;
}

static void on_up(struct link *link, const struct handshake *answer, void *owner)
{
	struct redial *redial = owner;

	redial->attempt = NULL;
	redial->events->up(link, answer, redial->owner);
}

static void on_failed(struct link *link, const struct error *why, void *owner)
{
	struct redial *redial = owner;

	redial->attempt = NULL;
	if (link_was_refused(link)) {
		redial->events->refused(why, redial->owner);
		return;
	}
	wait_before_next(redial);
	redial->events->failed(redial->owner);
}

static const struct link_events link_events = {.up = on_up, .failed = on_failed};

static void fill_in(
	struct redial *redial, struct resume_message *resume, uint64_t delivered, uint64_t limit)
{
	*resume = (struct resume_message){
		.version = PROTOCOL_VERSION,
		.delivered = delivered,
		.limit = limit,
		.epoch = ++redial->epoch,
	};
	memcpy(resume->id, redial->id, sizeof(resume->id));
	memcpy(resume->secret, redial->secret, sizeof(resume->secret));
}

void redial_try(struct redial *redial, uint64_t delivered, uint64_t limit)
{
	struct resume_message resume;
	struct handshake question;
	struct error ignored;

	if (redial->moves)
		redial->place = (redial->place + 1) % redial->count;
	redial->moves = true;
	fill_in(redial, &resume, delivered, limit);
	handshake_init_resumer(&question, &resume);
	redial->attempt = link_open(redial->worker, redial->tls,
		(struct sockaddr *)&redial->addresses[redial->place],
		redial->lengths[redial->place], redial->identity, &question, PATIENCE_MS,
		&link_events, redial, &ignored);
	if (!redial->attempt)
		wait_before_next(redial);
	OPENSSL_cleanse(&resume, sizeof(resume));
	OPENSSL_cleanse(&question, sizeof(question));
}
