#include "daemon/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

/* More checks than any version has */
#define THEIRS_MOST 24

static const char *const names[] = {
	[FINDING_GOOD] = "good",
	[FINDING_WARNING] = "warning",
	[FINDING_BAD] = "bad",
};

#define NAMES_COUNT (sizeof(names) / sizeof(names[0]))

static void make_printable(char *text)
{
	for (char *p = text; *p; p++) {
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	}
}

struct finding finding_make(const char *check, enum finding_state state, const char *format, ...)
{
	struct finding finding = {.check = check, .state = state};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding.text, sizeof(finding.text), format, arguments);
	va_end(arguments);
	make_printable(finding.text);
	return finding;
}

void finding_remedy(struct finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding->remedy, sizeof(finding->remedy), format, arguments);
	va_end(arguments);
	make_printable(finding->remedy);
}

void finding_append(json_t *list, const char *host, const struct finding *finding)
{
	json_array_append_new(list,
		json_pack("{ss? ss ss ss so}", "host", host, "check", finding->check, "state",
			names[finding->state], "text", finding->text, "remedy",
			*finding->remedy ? json_string(finding->remedy) : json_null()));
}

/* @returns the state of that name, or -1 */
static int find_state(const char *name)
{
	for (size_t i = 0; i < NAMES_COUNT; i++) {
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

int finding_append_theirs(json_t *list, const char *host, const json_t *theirs, struct error *err)
{
	size_t index;
	json_t *element;

	if (!json_is_array(theirs) || json_array_size(theirs) > THEIRS_MOST)
		return error_set(err, ERROR_PEER, "its findings are no list of such");
	json_array_foreach((json_t *)theirs, index, element)
	{
		const char *check = json_string_value(json_object_get(element, "check"));
		const char *state = json_string_value(json_object_get(element, "state"));
		const char *text = json_string_value(json_object_get(element, "text"));
		const char *remedy = json_string_value(json_object_get(element, "remedy"));
		struct finding finding;

		if (!check || !parse_is_name(check) || !state || find_state(state) < 0 || !text)
			return error_set(err, ERROR_PEER, "one of its findings is none");
		finding = finding_make(check, (enum finding_state)find_state(state), "%s", text);
		if (remedy)
			finding_remedy(&finding, "%s", remedy);
		finding_append(list, host, &finding);
	}
	return 0;
}
