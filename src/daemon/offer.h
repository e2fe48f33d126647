/* Local sockets that wait for a channel: each is taken once, by its token, by the identity it was
 * made for.
 *
 * Threads: any.
 */
#ifndef CULVERT_DAEMON_OFFER_H
#define CULVERT_DAEMON_OFFER_H

#include <stdbool.h>

#include "base/error.h"
#include "daemon/terms.h"

#define OFFER_TOKEN_CHARACTERS 32

struct offers;

struct offers *offers_new(void);
void offers_free(struct offers *offers);

/**
 * Offer @fd (owned, also on failure) to the peer named @peer.
 *
 * @terms    under which the channel that takes it runs, held until then; or NULL
 * @token    of OFFER_TOKEN_CHARACTERS + 1 bytes: written
 * @returns  0, or -1 with @err set
 */
int offers_put(struct offers *offers, const char *peer, int fd, struct terms *terms, char *token,
	struct error *err);

/** Take what @token stands for. @terms  held for the caller. @returns the descriptor, or -1: none
 * for this peer */
int offers_take(struct offers *offers, const char *peer, const char *token, struct terms **terms);

/** Whether what @token stands for has not been taken yet */
bool offers_waits(struct offers *offers, const char *token);

/** Take an offer back, if it is still there */
void offers_withdraw(struct offers *offers, const char *token);

#endif
