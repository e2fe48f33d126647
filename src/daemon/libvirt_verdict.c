#include "daemon/libvirt_verdict.h"

static bool has_it(enum libvirt_hold hold)
{
	return hold == HOLD_RUNNING || hold == HOLD_STOPPED;
}

/* Pre-copy has stopped it on the source, which has all of its memory. */
static enum libvirt_verdict paused_here(enum libvirt_hold there)
{
	if (has_it(there))
		return VERDICT_DESTINATION;
	return there == HOLD_NONE ? VERDICT_SOURCE_PAUSED : VERDICT_WAIT;
}

/* It has left the source in post-copy. */
static enum libvirt_verdict leaving(enum libvirt_hold here, enum libvirt_hold there, bool settled)
{
	if (there == HOLD_NONE)
		return settled ? VERDICT_LOST : VERDICT_WAIT;
	if (there == HOLD_UNKNOWN)
		return VERDICT_WAIT;
	return here == HOLD_BROKEN || there == HOLD_BROKEN ? VERDICT_RESUME : VERDICT_WAIT;
}

static enum libvirt_verdict gone_here(enum libvirt_hold there, bool settled)
{
	if (has_it(there))
		return VERDICT_DESTINATION;
	if (there == HOLD_UNKNOWN || !settled)
		return VERDICT_WAIT;
	return there == HOLD_NONE ? VERDICT_ENDED : VERDICT_LOST;
}

enum libvirt_verdict libvirt_verdict(enum libvirt_hold here, enum libvirt_hold there, bool settled)
{
	switch (here) {
	case HOLD_RUNNING:
	case HOLD_STOPPED:
		return here == HOLD_RUNNING && there == HOLD_RUNNING ? VERDICT_TWICE
								     : VERDICT_SOURCE;
	case HOLD_ARRIVING:
		return settled ? paused_here(there) : VERDICT_WAIT;
	case HOLD_LEAVING:
	case HOLD_BROKEN:
		return leaving(here, there, settled);
	case HOLD_NONE:
		return gone_here(there, settled);
	case HOLD_UNKNOWN:
		break;
	}
	return VERDICT_WAIT;
}
