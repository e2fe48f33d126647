/* What a migration is to be: which guest, where to, and how. Chosen at its begin, in its journal,
 * and never changed after.
 */
#ifndef CULVERT_DAEMON_MIGRATION_PLAN_H
#define CULVERT_DAEMON_MIGRATION_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "hypervisor/figures.h"
#include "hypervisor/libvirt_options.h"
#include "hypervisor/streams.h"

/* When hybrid switches; always at the end of a pass */
struct switch_policy {
	enum { SWITCH_AUTO, SWITCH_PASS, SWITCH_AFTER } when;
	uint64_t pass_count; /* SWITCH_PASS: after so many full passes */
	uint64_t after_ms;   /* SWITCH_AFTER: not before */
};

struct migration_plan {
	char id[9]; /* 8 hex digits */
	bool incoming;
	bool told; /* incoming, and nobody here knows of it but by its source's word */
	char vm[64];
	char destination_vm[64];
	char host[64]; /* the other one */
	enum migration_mode mode;
	struct switch_policy policy;
	bool quit_source;
	struct libvirt_options libvirt; /* what a bare QEMU cannot do */
	struct streams streams;         /* of a bare QEMU */
	uint64_t bandwidth;             /* bytes/s at most, to begin with; 0: no limit */
};

/** Whether @text is 8 hex digits */
bool migration_is_id(const char *text);

/** Give @plan a random id */
void migration_choose_id(struct migration_plan *plan);

const char *migration_mode_name(enum migration_mode mode);
int migration_mode_parse(const char *text, enum migration_mode *mode, struct error *err);

/** "auto", "pass:N", "after:DURATION" */
int switch_policy_parse(const char *text, struct switch_policy *policy, struct error *err);

/** ... as it is read. @text  of @size_bytes: written */
void switch_policy_text(const struct switch_policy *policy, char *text, size_t size_bytes);

#endif
