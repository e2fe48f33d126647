#include "daemon/offer.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/list.h"

struct offer {
	struct list place;
	char peer[64];
	char token[OFFER_TOKEN_CHARACTERS + 1];
	int fd;
	struct terms *terms; /* held; or NULL */
};

struct offers {
	uv_mutex_t lock;
	struct list all;
};

struct offers *offers_new(void)
{
	struct offers *offers = calloc(1, sizeof(*offers));

	if (!offers || uv_mutex_init(&offers->lock) != 0)
		abort(); /* at start only */
	list_init(&offers->all);
	return offers;
}

/* @returns its descriptor */
static int drop(struct offer *offer)
{
	int fd = offer->fd;

	list_remove(&offer->place);
	terms_put(offer->terms);
	free(offer);
	return fd;
}

void offers_free(struct offers *offers)
{
	while (!list_empty(&offers->all))
		close(drop(LIST_MEMBER(offers->all.next, struct offer, place)));
	uv_mutex_destroy(&offers->lock);
	free(offers);
}

int offers_put(struct offers *offers, const char *peer, int fd, struct terms *terms, char *token,
	struct error *err)
{
	struct offer *offer = calloc(1, sizeof(*offer));
	unsigned char random[OFFER_TOKEN_CHARACTERS / 2];

	if (!offer || RAND_bytes(random, sizeof(random)) != 1) {
		free(offer);
		close(fd);
		return error_set(err, ERROR_LOCAL, "no memory or no randomness");
	}
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(offer->token + 2 * i, 3, "%02x", random[i]);
	memcpy(token, offer->token, sizeof(offer->token));
	snprintf(offer->peer, sizeof(offer->peer), "%s", peer);
	offer->fd = fd;
	offer->terms = terms_hold(terms);
	uv_mutex_lock(&offers->lock);
	list_append(&offers->all, &offer->place);
	uv_mutex_unlock(&offers->lock);
	return 0;
}

/* Under the lock; in constant time over the token */
static struct offer *find(struct offers *offers, const char *token)
{
	if (strlen(token) != OFFER_TOKEN_CHARACTERS)
		return NULL;
	for (struct list *place = offers->all.next; place != &offers->all; place = place->next) {
		struct offer *offer = LIST_MEMBER(place, struct offer, place);

		if (CRYPTO_memcmp(offer->token, token, OFFER_TOKEN_CHARACTERS) == 0)
			return offer;
	}
	return NULL;
}

int offers_take(struct offers *offers, const char *peer, const char *token, struct terms **terms)
{
	struct offer *offer;
	int fd = -1;

	uv_mutex_lock(&offers->lock);
	offer = find(offers, token);
	if (offer && strcmp(offer->peer, peer) == 0) {
		*terms = terms_hold(offer->terms);
		fd = drop(offer);
	}
	uv_mutex_unlock(&offers->lock);
	return fd;
}

bool offers_waits(struct offers *offers, const char *token)
{
	bool waits;

	uv_mutex_lock(&offers->lock);
	waits = find(offers, token) != NULL;
	uv_mutex_unlock(&offers->lock);
	return waits;
}

void offers_withdraw(struct offers *offers, const char *token)
{
	struct offer *offer;

	uv_mutex_lock(&offers->lock);
	offer = find(offers, token);
	if (offer)
		close(drop(offer));
	uv_mutex_unlock(&offers->lock);
}
