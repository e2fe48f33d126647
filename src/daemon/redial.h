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

/** @open  as it was sent: channel id and secret are copied. @returns NULL without memory */
struct redial *redial_new(
	struct tls_context *tls, const char *identity, const struct open_message *open);
void redial_free(struct redial *redial);

/** One more address to try; those beyond the sixteenth are left out */
void redial_add(struct redial *redial, const struct addrinfo *address);

/** The link is lost, or an attempt failed: how long to wait before redial_try() */
uint64_t redial_pause_ms(struct redial *redial);

/** The link is back: the next loss is waited for from the shortest pause again */
void redial_succeeded(struct redial *redial);

/**
 * Connect to the next address and ask to resume.
 *
 * @delivered,@limit  of session_position()
 * @returns           the link (see link_open()), or NULL with @err set
 */
struct link *redial_try(struct redial *redial, struct worker *worker, uint64_t delivered,
	uint64_t limit, const struct link_events *events, void *owner, struct error *err);

#endif
