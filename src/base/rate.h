/* Bytes per second. A limit is what the operator says, a rate what is allotted or measured, a pace
 * what a socket is told. */
#ifndef CULVERT_BASE_RATE_H
#define CULVERT_BASE_RATE_H

#include <stdint.h>

/** No limit, in place of any of these. In JSON and among options it is written otherwise: null, 0
 */
#define RATE_UNLIMITED UINT64_MAX

#endif
