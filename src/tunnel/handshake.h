/* The first frame each way on a link: a channel is asked for, and granted or refused.
 *
 * Floor: tunnel (no descriptors, no clock, no logging).
 * Spec:  docs/PROTOCOL.md, "Opening".
 * Threads: owned by one link, on its loop's thread.
 */
#ifndef CULVERT_TUNNEL_HANDSHAKE_H
#define CULVERT_TUNNEL_HANDSHAKE_H

#include <stdbool.h>

#include "wire/message.h"

enum handshake_state {
	HANDSHAKE_WAITING,  /* for the other side's frame */
	HANDSHAKE_ASKED,    /* acceptor: handshake_accept() or handshake_refuse() is next */
	HANDSHAKE_ACCEPTED, /* a session follows */
	HANDSHAKE_REFUSED,  /* opener: see refusal; acceptor: close once all is sent */
};

struct handshake {
	enum handshake_state state;
	bool acceptor;
	struct frame_reader reader;
	bool resuming;                 /* RESUME and RESUMED instead of OPEN and ACCEPT */
	struct open_message open;      /* acceptor: what was asked, from HANDSHAKE_ASKED on */
	struct resume_message resume;  /* acceptor, resuming: instead of open */
	uint64_t peer_limit;           /* from HANDSHAKE_ACCEPTED on */
	uint64_t peer_delivered;       /* resuming: from HANDSHAKE_ACCEPTED on */
	struct reason_message refusal; /* from HANDSHAKE_REFUSED on */
	unsigned char unsent[MESSAGE_LONGEST_BYTES];
	size_t unsent_length;
};

void handshake_init_opener(struct handshake *handshake, const struct open_message *open);
void handshake_init_resumer(struct handshake *handshake, const struct resume_message *resume);
void handshake_init_acceptor(struct handshake *handshake);

/** How many bytes to read from the link at most: what follows belongs to the session.
 * Never more than MESSAGE_LONGEST_BYTES */
size_t handshake_wants(const struct handshake *handshake);

/** Take what arrived, at most handshake_wants() bytes. @errors ERROR_PEER: not the protocol */
int handshake_receive(
	struct handshake *handshake, const unsigned char *data, size_t length, struct error *err);

/** The acceptor's answer. @limit: position before which it is ready to hold bytes */
void handshake_accept(struct handshake *handshake, uint64_t limit);
void handshake_accept_resume(struct handshake *handshake, uint64_t delivered, uint64_t limit);
void handshake_refuse(struct handshake *handshake, enum reason reason, const char *text);

/** A whole frame to send, or NULL; handshake_sent() once it is sent */
const void *handshake_unsent(const struct handshake *handshake, size_t *length);
void handshake_sent(struct handshake *handshake);

#endif
