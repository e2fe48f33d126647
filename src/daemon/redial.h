/* How the opener of a channel reaches its peer again after the link was lost: the addresses it has,
 * the secret it resumes with, and when to try next.
 *
 * Spec:    docs/PROTOCOL.md, "Resume".
 * Threads: the loop of the channel's worker, after redial_add().
 */
#ifndef CULVERT_DAEMON_REDIAL_H
#define CULVERT_DAEMON_REDIAL_H

#include <netdb.h>

#include "daemon/link.h"

struct redial;

struct redial_events {
	/** The peer has granted it: take the link over with link_carry(), at once */
	void (*up)(struct link *link, const struct handshake *answer, void *owner);
	/** The peer, proven, has refused: there is no use in trying again */
	void (*refused)(const struct error *why, void *owner);
	/** It came to nothing, and redial_due_ms() has changed */
	void (*failed)(void *owner);
};

/** @open  as it was sent: channel id and secret are copied. @returns NULL without memory */
struct redial *redial_new(
	struct tls_context *tls, const char *identity, const struct open_message *open);

/** An attempt under way is given up */
void redial_free(struct redial *redial);

/** One more address to try; those beyond the sixteenth are left out */
void redial_add(struct redial *redial, const struct addrinfo *address);

/** This is the one that the link was made to: it is tried first when that is lost */
void redial_prefer(struct redial *redial, const struct addrinfo *address);

/** Whose it is from now on; before redial_begin() */
void redial_set_owner(struct redial *redial, struct worker *worker,
	const struct redial_events *events, void *owner);

/** The link is lost: try soon, and from the shortest pause again */
void redial_begin(struct redial *redial);

/** When redial_try() is to be called, on the worker's clock; UINT64_MAX: an attempt is under way */
uint64_t redial_due_ms(const struct redial *redial);

/** Connect to the next address and ask to resume. @delivered,@limit  of session_position() */
void redial_try(struct redial *redial, uint64_t delivered, uint64_t limit);

#endif
