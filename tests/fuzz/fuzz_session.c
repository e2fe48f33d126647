/* A session whose peer sends anything, while the local program writes and reads at will.
 *
 * The input is a row of steps: a byte that says what happens, with a few bytes of arguments.
 */
#include <string.h>

#include "fuzz.h"
#include "tunnel/session.h"

#define WINDOW_BYTES 100000
#define REPLAY_BYTES (3 * CHUNK_BYTES)

enum step {
	STEP_RECEIVE,     /* u8 length, so many bytes of the link */
	STEP_FRAME,       /* u8 type, u8 delta: a frame that may well be right */
	STEP_TAKE,        /* u8 length */
	STEP_TAKE_MUCH,   /* u8 length in units of 512 */
	STEP_TAKE_EOF,    /* */
	STEP_SEND,        /* */
	STEP_DELIVER,     /* u8 length in units of 64 */
	STEP_DELIVER_EOF, /* */
	STEP_ADVANCE,     /* u8 milliseconds in units of 16 */
	STEP_RESET,       /* */
	STEP_LOOK,        /* ask what there is to send, and send nothing */
	STEP_ASK_RATE,    /* u8 rate */
	STEP_COUNT,
};

struct input {
	const uint8_t *next;
	size_t left;
};

struct subject {
	struct session session;
	uint64_t now_ms;
	bool failed;
};

static unsigned take_byte(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->next++;
}

static void receive(struct subject *subject, const void *bytes, size_t length)
{
	struct error err;
	int result = session_receive(&subject->session, bytes, length, subject->now_ms, &err);

	fuzz_demand(result == 0 || err.code == ERROR_PEER || err.code == ERROR_LOCAL);
	/* Failure is for good, unless there is nothing to fail on. */
	if (subject->failed && length > 0 && subject->session.state != SESSION_RESET)
		fuzz_demand(result == -1);
	subject->failed |= result < 0;
}

static uint64_t likely_offset(const struct session *session, enum frame_type type)
{
	if (type == FRAME_DATA || type == FRAME_EOF)
		return session->to_local.received;
	return type == FRAME_ACK ? session->to_peer.sent : 0;
}

/* A frame whose fields are near to what the session expects */
static void receive_frame(struct subject *subject, unsigned type, unsigned delta)
{
	static const unsigned char payload[FRAME_DATA_LONGEST_BYTES];
	unsigned char bytes[FRAME_HEADER_BYTES];
	unsigned char limit[8];
	struct frame_header header = {.type = (enum frame_type)(type % 13)};
	uint64_t peer_limit = subject->session.peer_limit + 1000 * (uint64_t)(type / 13);

	header.offset = likely_offset(&subject->session, header.type) + delta - 3;
	if (delta >= 16)
		header.offset += 3 - delta;
	if (header.type == FRAME_DATA)
		header.length = 1 + 255 * delta;
	else if (header.type == FRAME_ACK)
		header.length = sizeof(limit);
	frame_header_encode(&header, bytes);
	receive(subject, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(limit); i++)
		limit[i] = (unsigned char)(peer_limit >> 8 * (7 - i));
	receive(subject, header.type == FRAME_ACK ? limit : payload, header.length);
}

static void take(struct subject *subject, size_t wanted)
{
	size_t space_bytes;
	void *space = session_space(&subject->session, &space_bytes);

	fuzz_demand((space != NULL) == session_wants_local(&subject->session));
	if (!space)
		return;
	fuzz_demand(space_bytes > 0);
	if (wanted > space_bytes)
		wanted = space_bytes;
	memset(space, 'x', wanted);
	if (wanted > 0)
		session_take(&subject->session, wanted);
}

static void send(struct session *session, bool sent)
{
	struct frame_reader reader;
	struct frame_view view;
	struct error err;
	size_t length;
	const unsigned char *frames = session_unsent(session, &length);
	int found;

	if (!frames)
		return;
	fuzz_demand(length > 0);
	frame_reader_init(&reader);
	while ((found = frame_reader_next(&reader, &frames, &length, &view, &err)) > 0)
		;
	fuzz_demand(found == 0 && frame_reader_wants(&reader) == FRAME_HEADER_BYTES);
	if (sent)
		session_sent(session);
}

static void deliver(struct subject *subject, size_t wanted)
{
	struct iovec spans[3];
	int count = session_spans(&subject->session, spans, 3);
	size_t held = 0;

	for (int i = 0; i < count; i++)
		held += spans[i].iov_len;
	session_delivered(&subject->session, wanted < held ? wanted : held, subject->now_ms);
}

static void check(const struct session *session)
{
	fuzz_demand(session->to_peer.chunks.count <= REPLAY_BYTES / CHUNK_BYTES + 1);
	fuzz_demand(session->to_local.chunks.count <= WINDOW_BYTES / CHUNK_BYTES + 2);
	fuzz_demand(session->to_local.received - session->to_local.delivered <= WINDOW_BYTES + 1);
	fuzz_demand(session->to_peer.acknowledged <= session->to_peer.sent);
	fuzz_demand(session->to_peer.sent <= session->to_peer.taken);
}

static void step(struct subject *subject, struct input *input)
{
	struct session *session = &subject->session;
	struct error err;
	unsigned argument;

	switch ((enum step)(take_byte(input) % STEP_COUNT)) {
	case STEP_RECEIVE:
		argument = take_byte(input);
		if (argument > input->left)
			argument = (unsigned)input->left;
		receive(subject, input->next, argument);
		input->next += argument;
		input->left -= argument;
		return;
	case STEP_FRAME:
		argument = take_byte(input);
		receive_frame(subject, argument, take_byte(input));
		return;
	case STEP_TAKE:
		take(subject, take_byte(input));
		return;
	case STEP_TAKE_MUCH:
		take(subject, 512 * (size_t)take_byte(input));
		return;
	case STEP_TAKE_EOF:
		if (!session->to_peer.eof_taken)
			fuzz_demand(session_take_eof(session) == 0);
		return;
	case STEP_SEND:
		send(session, true);
		return;
	case STEP_DELIVER:
		deliver(subject, 64 * (size_t)take_byte(input));
		return;
	case STEP_DELIVER_EOF:
		if (session_eof_due(session))
			session_delivered_eof(session, subject->now_ms);
		return;
	case STEP_ADVANCE:
		subject->now_ms += 16 * take_byte(input);
		if (session_tick(session, subject->now_ms, &err) == 0)
			fuzz_demand(session_next_ms(session) > subject->now_ms);
		return;
	case STEP_RESET:
		session_reset(session, REASON_ENDED, "enough\n");
		return;
	case STEP_LOOK:
		send(session, false);
		return;
	case STEP_ASK_RATE:
		argument = take_byte(input);
		session_ask_rate(session, argument == 255 ? RATE_UNLIMITED : argument);
		return;
	case STEP_COUNT:
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct session_settings settings = {.replay_bytes = REPLAY_BYTES,
		.window = {.least_bytes = WINDOW_BYTES, .most_bytes = WINDOW_BYTES},
		.heartbeat_ms = 500,
		.silence_ms = 2000};
	struct input input = {.next = data, .left = size};
	struct subject subject = {.now_ms = 1};
	struct chunk_pool pool;
	unsigned limit = take_byte(&input);

	chunk_pool_init(&pool);
	/* The extremes of what a peer may claim to hold */
	session_init(&subject.session, &settings, &pool,
		limit == 255 ? UINT64_MAX : 1024 * (uint64_t)limit, subject.now_ms);
	while (input.left > 0) {
		step(&subject, &input);
		check(&subject.session);
	}
	session_fini(&subject.session);
	chunk_pool_fini(&pool);
	return 0;
}
