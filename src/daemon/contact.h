/* The opener's end of a control channel to a peer's daemon.
 *
 * Spec:    docs/PROTOCOL.md, "Control channel".
 * Threads: one, which waits.
 */
#ifndef CULVERT_DAEMON_CONTACT_H
#define CULVERT_DAEMON_CONTACT_H

#include <jansson.h>
#include <stdbool.h>

#include "daemon/daemon.h"

struct contact;

/** @errors see opening_run() */
struct contact *contact_new(
	struct daemon *daemon, const struct config_peer *peer, struct error *err);
void contact_free(struct contact *contact);

/** "10.0.0.2:16520 (hostb.example)" */
const char *contact_address(const struct contact *contact);

/**
 * Ask and wait for the answer, 45 seconds at most.
 *
 * @arguments  stolen; NULL: none
 * @result     a new reference to the return value; or NULL when it is not wanted
 * @errors     the peer's own error, or ERROR_LINK: no answer, or the channel ended
 */
int contact_ask(struct contact *contact, const char *command, json_t *arguments, json_t **result,
	struct error *err);

/**
 * ... for as long as the channel may wait for a lost link, and then that long: what must not be
 * left unsaid. Ends early only with the channel or with the daemon.
 */
int contact_insist(struct contact *contact, const char *command, json_t *arguments, json_t **result,
	struct error *err);

/** ... for two seconds: what will be said again if it has to be */
int contact_ask_briefly(struct contact *contact, const char *command, json_t *arguments,
	json_t **result, struct error *err);

/** Take up migration @id of @vm over a new control channel; contact_listen() then tells how it is
 * there: "gone" and "unknown" also where nobody there leads it any more */
int contact_rejoin(struct contact *contact, const char *id, const char *vm, struct error *err);

/** Whether its channel has no connection just now */
bool contact_is_linkless(struct contact *contact);

/** Whether this daemon stops while the peer cannot be reached: nothing more is worth waiting for */
bool contact_is_futile(struct contact *contact);

/** What the destination's hypervisor said last */
struct contact_news {
	char status[32]; /* empty: nothing yet; "gone": its process ended;
			  * "unknown": nobody leads it there */
	char reason[256];
	bool running;  /* with "completed": whether the guest runs */
	bool stopping; /* the daemon there stops: cancel, unless it is too late for that */
};

/**
 * The latest news. Waits up to @timeout_ms for something that was not known yet.
 *
 * @errors ERROR_LINK: the control channel ended. @news is valid even then
 */
int contact_listen(
	struct contact *contact, int timeout_ms, struct contact_news *news, struct error *err);

#endif
