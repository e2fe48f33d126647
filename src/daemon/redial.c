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
	struct sockaddr_storage addresses[ADDRESSES_MOST];
	socklen_t lengths[ADDRESSES_MOST];
	size_t count;
	size_t next;
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

uint64_t redial_pause_ms(struct redial *redial)
{
	uint64_t pause_ms = redial->pause_ms;
	unsigned char random = 0;

	redial->pause_ms *= 2;
	if (redial->pause_ms > LONGEST_PAUSE_MS)
		redial->pause_ms = LONGEST_PAUSE_MS;
	/* Channels that lost their links together do not come back together. */
	(void)RAND_bytes(&random, 1);
	return pause_ms / 2 + pause_ms * random / 255;
}

void redial_succeeded(struct redial *redial)
{
	redial->pause_ms = SHORTEST_PAUSE_MS;
}

struct link *redial_try(struct redial *redial, struct worker *worker, uint64_t delivered,
	uint64_t limit, const struct link_events *events, void *owner, struct error *err)
{
	struct resume_message resume = {
		.version = PROTOCOL_VERSION,
		.delivered = delivered,
		.limit = limit,
		.epoch = ++redial->epoch,
	};
	size_t place = redial->next++ % redial->count;
	struct handshake question;
	struct link *link;

	memcpy(resume.id, redial->id, sizeof(resume.id));
	memcpy(resume.secret, redial->secret, sizeof(resume.secret));
	handshake_init_resumer(&question, &resume);
	link = link_open(worker, redial->tls, (struct sockaddr *)&redial->addresses[place],
		redial->lengths[place], redial->identity, &question, PATIENCE_MS, events, owner,
		err);
	OPENSSL_cleanse(&resume, sizeof(resume));
	OPENSSL_cleanse(&question, sizeof(question));
	return link;
}
