/* One TLS connection: TCP, TLS, the handshake for one channel; then a channel carries on.
 *
 *     opener    CONNECTING -> SECURING -> ASKING -> UP -> FINISHING -> closed
 *     acceptor               SECURING -> ASKING -> UP -> FINISHING -> closed
 *                                        | ^
 *                                        v |
 *                                       MOVING       to another worker
 *
 * Threads: the loop of its worker.
 */
#ifndef CULVERT_DAEMON_LINK_H
#define CULVERT_DAEMON_LINK_H

#include <sys/socket.h>

#include "daemon/worker.h"
#include "io/tls.h"
#include "tunnel/handshake.h"

struct link;

/* From connecting to the answer, and for an acceptor to the OPEN (docs/PROTOCOL.md, "Opening") */
#define LINK_PATIENCE_MS 10000

struct link_events {
	/** Acceptor: OPEN or RESUME arrived. Answer with link_grant(), link_grant_resume() or
	 * link_refuse(), now or after link_move() */
	void (*asked)(struct link *link, const struct handshake *question, void *owner);
	/** The channel is granted: take the link over with link_carry(), at once */
	void (*up)(struct link *link, const struct handshake *answer, void *owner);
	/** It came to nothing, or link_refuse() was called; the link is closing and must not be
	 * used any more. After link_open() and link_serve(), either up() or failed() is called once
	 */
	void (*failed)(struct link *link, const struct error *err, void *owner);
};

/**
 * Connect and ask for a channel.
 *
 * @question  what to ask; copied
 * @patience_ms  how long everything until the answer may take
 * @identity  what the peer's certificate must name
 * @returns   the link, or NULL with @err set (events are not called then)
 */
struct link *link_open(struct worker *worker, struct tls_context *tls,
	const struct sockaddr *address, socklen_t address_length, const char *identity,
	const struct handshake *question, uint64_t patience_ms, const struct link_events *events,
	void *owner, struct error *err);

/** Serve a connection. @fd owned, also on failure. @returns 0, or -1 with @err set */
int link_serve(struct worker *worker, struct tls_context *tls, int fd,
	const struct link_events *events, void *owner, struct error *err);

/** Grant what was asked: up() follows within the call, and the answer leaves with what the channel
 * sends first */
void link_grant(struct link *link, uint64_t limit);
void link_grant_resume(struct link *link, uint64_t delivered, uint64_t limit);
void link_refuse(struct link *link, enum reason reason, const char *text);

/**
 * Take a link that was asked, and not answered yet, to another worker.
 *
 * @arrived  called there, to answer
 */
void link_move(
	struct link *link, struct worker *worker, void (*arrived)(struct link *link, void *owner));

/** In failed(): whether the peer, proven, refused what was asked */
bool link_was_refused(const struct link *link);

/** In failed(): whether what was to be asked may have reached the peer */
bool link_has_asked(const struct link *link);

/** Whether the peer's certificate names @identity */
bool link_peer_is(const struct link *link, const char *identity);

/** The peer's address and names, for messages; "10.0.0.2:16520 (hostb.example)" */
const char *link_peer_text(const struct link *link);

/* Once up, a channel reads and writes the stream itself. */

/** @ready  called with UV_READABLE and UV_WRITABLE as they come */
void link_carry(struct link *link, void (*ready)(void *owner, int events), void *owner);
void link_set_interest(struct link *link, int events);
struct tls_stream *link_stream(struct link *link);
int link_descriptor(const struct link *link);

/** Nothing more to say: flush, end TLS properly, wait shortly for the peer's end, close. The link
 * is no longer the caller's */
void link_finish(struct link *link);

/** Close at once. The link is no longer the caller's */
void link_abort(struct link *link);

#endif
