/* What must hold of two hosts, whatever happens to their links. Anything else ends the simulation.
 */
#ifndef CULVERT_SIM_ORACLE_H
#define CULVERT_SIM_ORACLE_H

#include "host.h"

/** At every moment: nothing is acknowledged that was not delivered, and memory is bounded */
void oracle_check(struct host *host, const struct host *peer);

/** Everything that is not acknowledged is kept, so that it can be sent again on another link */
void oracle_check_replay(const struct host *host);

/** Did @host learn how its channel ended, and rightly so? */
void oracle_check_end(const struct host *host, const struct host *peer);

#endif
