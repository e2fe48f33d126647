/* How a host gets another link for its channel: src/daemon/channel.c and redial.c, without their
 * sockets. */
#ifndef CULVERT_SIM_RESUME_H
#define CULVERT_SIM_RESUME_H

#include "host.h"

/** A pass of a host without a link */
void resume_wait(struct host *host);

/** Acceptor: grant or refuse what was asked on @end */
void resume_answer(struct host *host, struct link_end *end);

/** The link of @end is granted: go over to it */
void resume_gain(struct host *host, struct link_end *end);

/** Opener: the attempt was refused, or failed otherwise */
void resume_refused(struct host *host);
void resume_failed(struct host *host);

/** A RESUME of an earlier attempt comes once more. @returns whether there is one */
bool resume_repeat(struct host *opener);

/** A RESUME comes with the right words and a position that cannot be */
bool resume_lie(struct host *opener, const struct host *acceptor);

#endif
