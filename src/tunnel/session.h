/* The protocol of one channel once it is open: both directions' offsets, acknowledgements, limits,
 * ends and resets, and the heartbeat.
 *
 *     local program --session_space/take--> [to_peer]  --session_unsent/sent--> link
 *     local program <--session_spans/delivered-- [to_local] <--session_receive-- link
 *
 * Floor: tunnel (no descriptors, no clock, no logging). Times are milliseconds of any steady clock.
 * Spec:  docs/PROTOCOL.md, "Streams" and "Ending".
 * Threads: owned by one channel, on its loop's thread.
 */
#ifndef CULVERT_TUNNEL_SESSION_H
#define CULVERT_TUNNEL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/rate.h"
#include "tunnel/delivery.h"
#include "tunnel/replay.h"
#include "tunnel/window.h"
#include "wire/message.h"

struct session_settings {
	size_t replay_bytes;           /* for bytes not yet acknowledged by the peer, at most */
	struct window_settings window; /* for bytes held for the local program */
	struct budget *budget;         /* memory for both, shared with other sessions; or NULL */
	uint64_t heartbeat_ms;         /* PING a peer that was silent so long */
	uint64_t silence_ms;           /* a peer silent so long has lost its link */
};

enum session_state {
	SESSION_OPEN,
	SESSION_RESETTING,  /* session_reset() was called, RESET is not sent yet */
	SESSION_RESET_SENT, /* ... and now it is: a peer that has it leaves the link */
	SESSION_FINISHED,   /* both ends delivered and acknowledged */
	SESSION_RESET,      /* by the peer, or it has ours: see session->reset */
};

struct session {
	struct session_settings settings;
	enum session_state state;
	struct replay to_peer;
	struct delivery to_local;
	struct window window;
	struct frame_reader reader;
	uint64_t peer_limit;
	uint64_t delivered_told;
	uint64_t ack_due_ms;   /* UINT64_MAX: none */
	uint64_t heard_ms;     /* when the peer was heard last */
	uint64_t pinged_ms;    /* when it was sent a PING last */
	uint64_t round_due_ms; /* when its round trip is to be seen */
	uint64_t ping_value;   /* of the PING that is not answered; UINT64_MAX: there is none */
	bool ping_due;
	bool pong_due;
	uint64_t pong_value;
	uint64_t peer_rate;   /* bytes/s that the peer wants at most; see RATE_UNLIMITED */
	uint64_t rate_wanted; /* ... and that this side wants of it */
	bool rate_due;
	bool rate_told;       /* once at least */
	bool refusing;        /* see session_refuse(): bytes wait for a program that is gone */
	uint64_t refusing_ms; /* since when the peer has taken nothing meanwhile */
	uint64_t refusing_at; /* ... beyond this position */
	struct reason_message reset;
	unsigned char control[MESSAGE_LONGEST_BYTES]; /* a frame being sent */
	size_t control_length;
};

/** @peer_limit  from the handshake */
void session_init(struct session *session, const struct session_settings *settings,
	struct chunk_pool *pool, uint64_t peer_limit, uint64_t now_ms);
void session_fini(struct session *session);

/**
 * The link is lost: forget what was half received or half sent. Until session_attach() the session
 * delivers what it holds and nothing else. Whether a RESET arrived is not known: it is sent again.
 */
void session_detach(struct session *session);

/** What RESUME and RESUMED tell the peer; call it when that frame is made */
void session_position(struct session *session, uint64_t *delivered, uint64_t *limit);

/** Whether a peer that has delivered everything before @delivered can be served again */
bool session_can_attach(const struct session *session, uint64_t delivered);

/** Every byte and both ends are known to have arrived; at most our own word of it is missing */
bool session_ended_well(const struct session *session);

/** A new link: go on after what the peer has. @delivered, @peer_limit  what it told */
void session_attach(
	struct session *session, uint64_t delivered, uint64_t peer_limit, uint64_t now_ms);

/** Take what arrived on the link; all of it. @errors ERROR_PEER: broke the protocol; ERROR_LOCAL.
 * A failure is for good */
int session_receive(struct session *session, const void *data, size_t length, uint64_t now_ms,
	struct error *err);

/** Whole frames to send, or NULL; then session_sent() once they are */
const void *session_unsent(struct session *session, size_t *length);
void session_sent(struct session *session);

/** Where bytes of the local program go, or NULL while none may be taken. See replay_space() */
void *session_space(struct session *session, size_t *length);
void session_take(struct session *session, size_t length);

/** ... or nothing did. See replay_leave_space() */
void session_leave_space(struct session *session);

/** The local program writes no more. @returns 0, or -1 when there is no memory: try again */
int session_take_eof(struct session *session);

/** Ask the peer to send at most @rate bytes/s from now on, over later links too; or
 * RATE_UNLIMITED. Safe to repeat */
void session_ask_rate(struct session *session, uint64_t rate);

/** Whether session_space() would give any */
bool session_wants_local(const struct session *session);

/** Bytes for the local program. See delivery_spans() */
int session_spans(const struct session *session, struct iovec *spans, int count);
void session_delivered(struct session *session, size_t length, uint64_t now_ms);
bool session_eof_due(const struct session *session);

/**
 * The local program takes no more bytes; call it after every pass from then on. Bytes that wait for
 * it are never said to be delivered: they end the channel on both hosts. That waits for the
 * program's own last byte, unless the peer takes nothing for as long as a silent peer is waited
 * for: its program may wait for ours.
 *
 * @over  it writes no more either, and all it wrote was taken
 */
void session_refuse(struct session *session, bool over, uint64_t now_ms);
void session_delivered_eof(struct session *session, uint64_t now_ms);

/** End the channel on both hosts; what is buffered is dropped, so that waiting for a link with the
 * RESET costs no memory. No effect once it has ended */
void session_reset(struct session *session, enum reason reason, const char *text);

/** The peer has ended TLS properly. @returns whether that tells that it has our RESET */
bool session_left(struct session *session);

/** The shortest round trip of this link, to the peer and back; 0: less than a millisecond, or none
 * was seen */
uint32_t session_round_us(const struct session *session);

/** When session_tick() must be called next; UINT64_MAX: need not be */
uint64_t session_next_ms(const struct session *session);

/** Once what came was received. @errors ERROR_LINK: the peer was silent for too long */
int session_tick(struct session *session, uint64_t now_ms, struct error *err);

#endif
