#include "control/phase.h"

#include <stddef.h>
#include <string.h>

static const char *const phases[] = {
	[PHASE_PREPARING] = "preparing",
	[PHASE_DISKS] = "disks",
	[PHASE_PRECOPY] = "precopy",
	[PHASE_POSTCOPY] = "postcopy",
	[PHASE_FINISHING] = "finishing",
	[PHASE_PAUSED] = "paused",
	[PHASE_COMPLETED] = "completed",
	[PHASE_FAILED] = "failed",
	[PHASE_CANCELLED] = "cancelled",
	[PHASE_LOST] = "lost",
};

static const char *const guests[] = {
	[GUEST_SOURCE] = "source",
	[GUEST_DESTINATION] = "destination",
	[GUEST_UNKNOWN] = "unknown",
	[GUEST_NOWHERE] = "nowhere",
};

const char *phase_name(enum migration_phase phase)
{
	return phases[phase];
}

const char *phase_guest_name(enum guest_place guest)
{
	return guests[guest];
}

/* The index of @name, or @other */
static size_t find(const char *const *names, size_t count, const char *name, size_t other)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return other;
}

enum migration_phase phase_find(const char *name)
{
	return (enum migration_phase)find(
		phases, sizeof(phases) / sizeof(phases[0]), name, PHASE_OTHER);
}

enum guest_place phase_find_guest(const char *name)
{
	return (enum guest_place)find(
		guests, sizeof(guests) / sizeof(guests[0]), name, GUEST_UNKNOWN);
}
