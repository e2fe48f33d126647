/* What is said over a control socket or channel, built and read; one JSON object each.
 *
 * Floor: control (no descriptors, no logging).
 * Spec:  docs/CONTROL.md; docs/PROTOCOL.md, "Control channel".
 * Threads: any; jansson values belong to one thread at a time.
 *
 * What is built is a new reference, or NULL without memory: lines_put() takes both. What is read
 * borrows from the message and lives as long as it does.
 */
#ifndef CULVERT_CONTROL_CONTROL_H
#define CULVERT_CONTROL_CONTROL_H

#include <jansson.h>

#include "base/error.h"

#define CONTROL_LONGEST_BYTES 65536

/** What the daemon says on connecting. @host  its own name */
json_t *control_greeting(const char *host);

/**
 * {"execute": NAME, "arguments": {...}, "id": ID}
 *
 * @arguments  stolen; NULL: none
 * @id         stolen; NULL: none
 */
json_t *control_command(const char *name, json_t *arguments, json_t *id);

/** {"return": VALUE, "id": ID}. @value stolen; NULL is an empty object. @id borrowed, may be NULL
 */
json_t *control_return(json_t *value, json_t *id);

/** {"error": {"class", "desc"}, "id": ID}. @id borrowed, may be NULL */
json_t *control_error(const struct error *failure, json_t *id);

/** {"event": NAME, "data": DATA}. @data stolen */
json_t *control_event(const char *name, json_t *data);

/** {"class": CLASS, "desc": TEXT}, whatever bytes the text holds */
json_t *control_error_encode(const struct error *failure);

/** The reverse. A class that is not known, and an object that is none, become ERROR_LOCAL */
void control_error_decode(const json_t *object, struct error *failure);

struct control_command {
	const char *name;
	json_t *arguments; /* an object, or NULL */
	json_t *id;        /* or NULL */
};

/**
 * Take a command apart. On failure id is still what the message holds, for the answer.
 *
 * @errors  ERROR_USAGE: not a command, or keys beside execute, arguments and id
 */
int control_read_command(json_t *message, struct control_command *command, struct error *err);

enum control_kind { CONTROL_RETURN, CONTROL_ERROR, CONTROL_EVENT };

struct control_answer {
	enum control_kind kind;
	json_t *value;        /* of CONTROL_RETURN and CONTROL_EVENT; may be JSON null */
	const char *event;    /* of CONTROL_EVENT: its name */
	struct error failure; /* of CONTROL_ERROR */
	json_t *id;           /* or NULL */
};

/** Take an answer or an event apart. @errors ERROR_PEER: neither */
int control_read_answer(json_t *message, struct control_answer *answer, struct error *err);

#endif
