/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tunnel/handshake.h"

static const struct open_message question = {
	.version = PROTOCOL_VERSION, .limit = 1000, .service = "control"};

/* Hand what @from has to send to @to, in portions of @portion. @returns the last result */
static int pass_on(struct handshake *from, struct handshake *to, size_t portion, struct error *err)
{
	size_t length;
	const unsigned char *frame = handshake_unsent(from, &length);
	int result = 0;

	assert_non_null(frame);
	while (length > 0 && result == 0) {
		size_t part = handshake_wants(to);

		assert_true(part > 0);
		part = part < portion ? part : portion;
		part = part < length ? part : length;
		result = handshake_receive(to, frame, part, err);
		frame += part;
		length -= part;
	}
	handshake_sent(from);
	assert_null(handshake_unsent(from, &length));
	return result;
}

/* Hand a header and so many zero bytes to @to, as far as it wants them */
static int receive_frame(
	struct handshake *to, enum frame_type type, uint32_t length, struct error *err)
{
	static const unsigned char zeros[MESSAGE_LONGEST_BYTES];
	struct frame_header header = {.type = type, .length = length};
	unsigned char bytes[FRAME_HEADER_BYTES];
	int result;

	frame_header_encode(&header, bytes);
	result = handshake_receive(to, bytes, sizeof(bytes), err);
	while (result == 0 && length > 0 && handshake_wants(to) > 0) {
		size_t part = handshake_wants(to) < length ? handshake_wants(to) : length;

		assert_true(part <= sizeof(zeros));
		result = handshake_receive(to, zeros, part, err);
		length -= (uint32_t)part;
	}
	return result;
}

static void a_channel_is_asked_for_and_granted(void **state)
{
	(void)state;
	for (size_t portion = 1; portion <= 100; portion++) {
		struct handshake opener;
		struct handshake acceptor;
		struct error err;

		handshake_init_opener(&opener, &question);
		handshake_init_acceptor(&acceptor);
		assert_int_equal(pass_on(&opener, &acceptor, portion, &err), 0);
		assert_int_equal(acceptor.state, HANDSHAKE_ASKED);
		assert_string_equal(acceptor.open.service, "control");
		assert_int_equal(acceptor.peer_limit, 1000);
		handshake_accept(&acceptor, 2000);
		assert_int_equal(pass_on(&acceptor, &opener, portion, &err), 0);
		assert_int_equal(acceptor.state, HANDSHAKE_ACCEPTED);
		assert_int_equal(opener.state, HANDSHAKE_ACCEPTED);
		assert_int_equal(opener.peer_limit, 2000);
		assert_int_equal(handshake_wants(&opener), 0);
	}
}

static void a_refusal_arrives_with_its_reason(void **state)
{
	struct handshake opener;
	struct handshake acceptor;
	struct error err;

	(void)state;
	handshake_init_opener(&opener, &question);
	handshake_init_acceptor(&acceptor);
	assert_int_equal(pass_on(&opener, &acceptor, 1000, &err), 0);
	handshake_refuse(&acceptor, REASON_NOT_PERMITTED, "not permitted");
	assert_int_equal(acceptor.state, HANDSHAKE_REFUSED);
	assert_int_equal(pass_on(&acceptor, &opener, 1000, &err), 0);
	assert_int_equal(opener.state, HANDSHAKE_REFUSED);
	assert_int_equal(opener.refusal.reason, REASON_NOT_PERMITTED);
	assert_string_equal(opener.refusal.text, "not permitted");
}

static void a_refusal_that_is_too_long_is_cut(void **state)
{
	struct handshake opener;
	struct handshake acceptor;
	struct error err;
	char text[400];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	handshake_init_opener(&opener, &question);
	handshake_init_acceptor(&acceptor);
	assert_int_equal(pass_on(&opener, &acceptor, 1000, &err), 0);
	handshake_refuse(&acceptor, REASON_NO_SERVICE, text);
	assert_int_equal(pass_on(&acceptor, &opener, 1000, &err), 0);
	assert_int_equal(strlen(opener.refusal.text), 255);
}

static void another_version_is_refused(void **state)
{
	struct open_message open = question;
	struct handshake opener;
	struct handshake acceptor;
	struct error err;

	(void)state;
	open.version = PROTOCOL_VERSION + 1;
	handshake_init_opener(&opener, &open);
	handshake_init_acceptor(&acceptor);
	assert_int_equal(pass_on(&opener, &acceptor, 1000, &err), 0);
	assert_int_equal(pass_on(&acceptor, &opener, 1000, &err), 0);
	assert_int_equal(opener.refusal.reason, REASON_VERSION);
}

static void a_resume_is_asked_for_and_granted_with_both_positions(void **state)
{
	struct resume_message resume = {
		.version = PROTOCOL_VERSION, .delivered = 7, .limit = 70, .epoch = 3};
	struct handshake resumer;
	struct handshake acceptor;
	struct error err;

	(void)state;
	handshake_init_resumer(&resumer, &resume);
	handshake_init_acceptor(&acceptor);
	assert_int_equal(pass_on(&resumer, &acceptor, 7, &err), 0);
	assert_int_equal(acceptor.state, HANDSHAKE_ASKED);
	assert_true(acceptor.resuming);
	assert_int_equal(acceptor.resume.epoch, 3);
	assert_int_equal(acceptor.peer_delivered, 7);
	assert_int_equal(acceptor.peer_limit, 70);
	handshake_accept_resume(&acceptor, 9, 90);
	assert_int_equal(pass_on(&acceptor, &resumer, 7, &err), 0);
	assert_int_equal(resumer.state, HANDSHAKE_ACCEPTED);
	assert_int_equal(resumer.peer_delivered, 9);
	assert_int_equal(resumer.peer_limit, 90);
}

static void a_resume_of_another_version_is_refused(void **state)
{
	struct resume_message resume = {.version = PROTOCOL_VERSION + 1, .epoch = 1};
	struct handshake resumer;
	struct handshake acceptor;
	struct error err;

	(void)state;
	handshake_init_resumer(&resumer, &resume);
	handshake_init_acceptor(&acceptor);
	assert_int_equal(pass_on(&resumer, &acceptor, 1000, &err), 0);
	assert_int_equal(pass_on(&acceptor, &resumer, 1000, &err), 0);
	assert_int_equal(resumer.state, HANDSHAKE_REFUSED);
	assert_int_equal(resumer.refusal.reason, REASON_VERSION);
}

static void a_resumer_is_answered_with_nothing_but_resumed_or_refuse(void **state)
{
	static const struct resume_message resume = {.version = PROTOCOL_VERSION, .epoch = 1};
	static const struct {
		enum frame_type type;
		uint32_t length;
	} frames[] = {{FRAME_OPEN, 60}, {FRAME_ACCEPT, 8}, {FRAME_RESUME, 66}, {FRAME_DATA, 9},
		{FRAME_ACK, 8}, {FRAME_EOF, 0}, {FRAME_RESET, 2}, {FRAME_PING, 0}, {FRAME_PONG, 0},
		{FRAME_RATE, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct handshake resumer;
		struct error err;

		handshake_init_resumer(&resumer, &resume);
		assert_int_equal(
			receive_frame(&resumer, frames[i].type, frames[i].length, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
		assert_int_equal(resumer.state, HANDSHAKE_WAITING);
	}
}

static void an_acceptor_is_asked_with_nothing_but_open(void **state)
{
	static const struct {
		enum frame_type type;
		uint32_t length;
	} frames[] = {{FRAME_ACCEPT, 8}, {FRAME_REFUSE, 2}, {FRAME_RESUMED, 8}, {FRAME_DATA, 9},
		{FRAME_ACK, 8}, {FRAME_EOF, 0}, {FRAME_RESET, 2}, {FRAME_PING, 0}, {FRAME_PONG, 0},
		{FRAME_RATE, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct handshake acceptor;
		struct error err;

		handshake_init_acceptor(&acceptor);
		assert_int_equal(
			receive_frame(&acceptor, frames[i].type, frames[i].length, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
		assert_int_equal(acceptor.state, HANDSHAKE_WAITING);
	}
}

static void an_opener_is_answered_with_nothing_but_accept_or_refuse(void **state)
{
	static const struct {
		enum frame_type type;
		uint32_t length;
	} frames[] = {{FRAME_OPEN, 60}, {FRAME_RESUME, 66}, {FRAME_RESUMED, 8}, {FRAME_DATA, 9},
		{FRAME_ACK, 8}, {FRAME_EOF, 0}, {FRAME_RESET, 2}, {FRAME_PING, 0}, {FRAME_PONG, 0},
		{FRAME_RATE, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct handshake opener;
		struct error err;

		handshake_init_opener(&opener, &question);
		assert_int_equal(
			receive_frame(&opener, frames[i].type, frames[i].length, &err), -1);
		assert_int_equal(err.code, ERROR_PEER);
		assert_int_equal(opener.state, HANDSHAKE_WAITING);
	}
}

static void no_more_is_wanted_than_the_longest_message(void **state)
{
	struct handshake acceptor;
	struct frame_header header = {.type = FRAME_DATA, .length = FRAME_DATA_LONGEST_BYTES};
	unsigned char bytes[FRAME_HEADER_BYTES];
	struct error err;

	(void)state;
	handshake_init_acceptor(&acceptor);
	frame_header_encode(&header, bytes);
	if (handshake_receive(&acceptor, bytes, sizeof(bytes), &err) == 0)
		assert_true(handshake_wants(&acceptor) <= MESSAGE_LONGEST_BYTES);
}

static void a_malformed_answer_is_no_answer(void **state)
{
	struct handshake opener;
	struct error err;

	(void)state;
	handshake_init_opener(&opener, &question);
	/* Reason 0 does not exist. */
	assert_int_equal(receive_frame(&opener, FRAME_REFUSE, 2, &err), -1);
	assert_int_equal(err.code, ERROR_PEER);
	assert_int_equal(opener.state, HANDSHAKE_WAITING);
}

static void a_handshake_that_failed_takes_nothing_more(void **state)
{
	struct handshake opener;
	struct error err;

	(void)state;
	handshake_init_opener(&opener, &question);
	assert_int_equal(receive_frame(&opener, FRAME_PING, 0, &err), -1);
	assert_int_equal(receive_frame(&opener, FRAME_ACCEPT, 8, &err), -1);
	assert_int_equal(opener.state, HANDSHAKE_WAITING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_channel_is_asked_for_and_granted),
		cmocka_unit_test(a_refusal_arrives_with_its_reason),
		cmocka_unit_test(a_refusal_that_is_too_long_is_cut),
		cmocka_unit_test(another_version_is_refused),
		cmocka_unit_test(a_resume_is_asked_for_and_granted_with_both_positions),
		cmocka_unit_test(a_resume_of_another_version_is_refused),
		cmocka_unit_test(a_resumer_is_answered_with_nothing_but_resumed_or_refuse),
		cmocka_unit_test(an_acceptor_is_asked_with_nothing_but_open),
		cmocka_unit_test(an_opener_is_answered_with_nothing_but_accept_or_refuse),
		cmocka_unit_test(no_more_is_wanted_than_the_longest_message),
		cmocka_unit_test(a_malformed_answer_is_no_answer),
		cmocka_unit_test(a_handshake_that_failed_takes_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
