#include "daemon/migration_plan.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

static const char *const mode_names[] = {
	[MODE_PRECOPY] = "precopy",
	[MODE_POSTCOPY] = "postcopy",
	[MODE_HYBRID] = "hybrid",
};

bool migration_is_id(const char *text)
{
	return strlen(text) == 8 && strspn(text, "0123456789abcdef") == 8;
}

void migration_choose_id(struct migration_plan *plan)
{
	unsigned char random[4];

	if (RAND_bytes(random, sizeof(random)) != 1)
		abort();
	snprintf(plan->id, sizeof(plan->id), "%02x%02x%02x%02x", random[0], random[1], random[2],
		random[3]);
}

const char *migration_mode_name(enum migration_mode mode)
{
	return mode_names[mode];
}

int migration_mode_parse(const char *text, enum migration_mode *mode, struct error *err)
{
	for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
		if (strcmp(text, mode_names[i]) == 0) {
			*mode = (enum migration_mode)i;
			return 0;
		}
	}
	return error_set(
		err, ERROR_USAGE, "mode '%s': there are precopy, postcopy and hybrid", text);
}

int switch_policy_parse(const char *text, struct switch_policy *policy, struct error *err)
{
	*policy = (struct switch_policy){.when = SWITCH_AUTO};
	if (strcmp(text, "auto") == 0)
		return 0;
	if (strncmp(text, "pass:", 5) == 0) {
		policy->when = SWITCH_PASS;
		if (parse_number(text + 5, 1, 1000000, &policy->pass_count, err) == 0)
			return 0;
		return error_prefix(err, "switch");
	}
	if (strncmp(text, "after:", 6) == 0) {
		policy->when = SWITCH_AFTER;
		if (parse_duration(text + 6, &policy->after_ms, err) == 0)
			return 0;
		return error_prefix(err, "switch");
	}
	return error_set(err, ERROR_USAGE,
		"switch '%s': write auto, pass:N or after:DURATION, like after:30s", text);
}

void switch_policy_text(const struct switch_policy *policy, char *text, size_t size_bytes)
{
	switch (policy->when) {
	case SWITCH_AUTO:
		snprintf(text, size_bytes, "auto");
		break;
	case SWITCH_PASS:
		snprintf(text, size_bytes, "pass:%llu", (unsigned long long)policy->pass_count);
		break;
	case SWITCH_AFTER:
		snprintf(text, size_bytes, "after:%llums", (unsigned long long)policy->after_ms);
		break;
	}
}
