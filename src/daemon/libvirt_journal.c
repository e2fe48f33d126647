#include "daemon/libvirt_journal.h"

#include <string.h>

json_t *libvirt_journal_encode(const char *uuid, const struct libvirt_options *options)
{
	return json_pack("{ss ss sb sb si sI sb sb}", "uuid", uuid, "connect",
		libvirt_options_uri(options), "persistent", options->persistent, "undefine_source",
		options->undefine_source, "copy_storage", (int)options->copy_storage, "parallel",
		(json_int_t)options->parallel_count, "compressed", options->compressed,
		"auto_converge", options->auto_converge);
}

static bool is_uuid(const char *text)
{
	return strlen(text) == LIBVIRT_UUID_CHARACTERS &&
		strspn(text, "0123456789abcdef-") == LIBVIRT_UUID_CHARACTERS;
}

int libvirt_journal_decode(const json_t *value, char uuid[LIBVIRT_UUID_CHARACTERS + 1],
	struct libvirt_options *options, struct error *err)
{
	const char *domain, *uri;
	int persistent, undefine_source, copy_storage, compressed, auto_converge;
	json_int_t parallel;
	json_error_t why;

	*options = (struct libvirt_options){0};
	if (json_unpack_ex((json_t *)value, &why, 0, "{ss ss sb sb si sI sb sb}", "uuid", &domain,
		    "connect", &uri, "persistent", &persistent, "undefine_source", &undefine_source,
		    "copy_storage", &copy_storage, "parallel", &parallel, "compressed", &compressed,
		    "auto_converge", &auto_converge) < 0)
		return error_set(err, ERROR_LOCAL, "%s", why.text);
	if (!is_uuid(domain))
		return error_set(err, ERROR_LOCAL, "'uuid' is none");
	if (copy_storage < COPY_STORAGE_NONE || copy_storage > COPY_STORAGE_INC || parallel < 0 ||
		parallel > LIBVIRT_PARALLEL_MOST)
		return error_set(err, ERROR_LOCAL, "'copy_storage' or 'parallel' is out of range");
	memcpy(uuid, domain, LIBVIRT_UUID_CHARACTERS + 1);
	options->persistent = persistent;
	options->undefine_source = undefine_source;
	options->copy_storage = (enum copy_storage)copy_storage;
	options->parallel_count = (uint64_t)parallel;
	options->compressed = compressed;
	options->auto_converge = auto_converge;
	return libvirt_options_set_uri(options, uri, err);
}
