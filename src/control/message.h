/* Messages of the control protocol, built and read; one JSON object each.
 *
 * Floor: control (no descriptors, no logging).
 * Spec:  docs/CONTROL.md.
 * Threads: any; jansson values belong to one thread at a time.
 *
 * What is built is a new reference, or NULL without memory: lines_put() takes both. What is read
 * borrows from the message and lives as long as it does.
 */
#ifndef CULVERT_CONTROL_MESSAGE_H
#define CULVERT_CONTROL_MESSAGE_H

#include <jansson.h>

#include "base/error.h"

#define CONTROL_LONGEST_BYTES 65536

/** What the daemon says on connecting. @host  its own name */
json_t *message_greeting(const char *host);

/**
 * {"execute": NAME, "arguments": {...}, "id": ID}
 *
 * @arguments  stolen; NULL: none
 * @id         stolen; NULL: none
 */
json_t *message_command(const char *name, json_t *arguments, json_t *id);

/** {"return": VALUE, "id": ID}. @value stolen; NULL is an empty object. @id borrowed, may be NULL
 */
json_t *message_return(json_t *value, json_t *id);

/** {"error": {"class", "desc"}, "id": ID}. @id borrowed, may be NULL */
json_t *message_error(const struct error *failure, json_t *id);

/** {"event": NAME, "data": DATA}. @data stolen */
json_t *message_event(const char *name, json_t *data);

/** {"class": CLASS, "desc": TEXT}, whatever bytes the text holds */
json_t *message_error_encode(const struct error *failure);

/** The reverse. A class that is not known, and an object that is none, become ERROR_LOCAL */
void message_error_decode(const json_t *object, struct error *failure);

struct message_command {
	const char *name;
	json_t *arguments; /* an object, or NULL */
	json_t *id;        /* or NULL */
};

/**
 * Take a command apart. On failure id is still what the message holds, for the answer.
 *
 * @errors  ERROR_USAGE: not a command, or keys beside execute, arguments and id
 */
int message_read_command(json_t *message, struct message_command *command, struct error *err);

enum message_kind { MESSAGE_RETURN, MESSAGE_ERROR, MESSAGE_EVENT };

struct message_answer {
	enum message_kind kind;
	json_t *value;        /* of MESSAGE_RETURN and MESSAGE_EVENT; may be JSON null */
	const char *event;    /* of MESSAGE_EVENT: its name */
	struct error failure; /* of MESSAGE_ERROR */
	json_t *id;           /* or NULL */
};

/** Take an answer or an event apart. @errors ERROR_PEER: neither */
int message_read_answer(json_t *message, struct message_answer *answer, struct error *err);

#endif
