/* What `culvert doctor` found in one check, and what to do about it.
 *
 * Spec: docs/CONTROL.md, "Findings".
 */
#ifndef CULVERT_DAEMON_FINDING_H
#define CULVERT_DAEMON_FINDING_H

#include <jansson.h>

#include "base/error.h"

enum finding_state { FINDING_GOOD, FINDING_WARNING, FINDING_BAD };

struct finding {
	const char *check; /* a word; static */
	enum finding_state state;
	char text[320];
	char remedy[320]; /* empty: nothing is to be done */
};

/** Text is made printable ASCII: libvirt's words, and those of peers, become part of it */
struct finding finding_make(const char *check, enum finding_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** ... and what to do */
void finding_remedy(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** @host  what it is about; NULL: this host and its peer together. Appends to @list */
void finding_append(json_t *list, const char *host, const struct finding *finding);

/** The findings of a peer about itself, bounded and checked, appended to @list. @errors ERROR_PEER
 */
int finding_append_theirs(json_t *list, const char *host, const json_t *theirs, struct error *err);

#endif
