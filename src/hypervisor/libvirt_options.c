#include "hypervisor/libvirt_options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "hypervisor/streams.h"

/* No '%', which libvirt would decode, and no '&', which would begin another parameter */
#define PATH_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"

const char *libvirt_options_uri(const struct libvirt_options *options)
{
	return *options->uri ? options->uri : LIBVIRT_URI;
}

/* @returns what follows @beginning in @text, or NULL: it does not begin so */
static const char *after(const char *text, const char *beginning)
{
	size_t length = strlen(beginning);

	return strncmp(text, beginning, length) == 0 ? text + length : NULL;
}

static bool is_local(const char *uri)
{
	const char *path = after(uri, "qemu:///");
	const char *socket;

	if (!path)
		path = after(uri, "qemu+unix:///");
	if (!path || strspn(path, PATH_CHARACTERS) == 0)
		return false;
	path += strspn(path, PATH_CHARACTERS);
	if (!*path)
		return true;
	socket = after(path, "?socket=/");
	return socket && *socket && strspn(socket, PATH_CHARACTERS) == strlen(socket);
}

int libvirt_options_set_uri(struct libvirt_options *options, const char *uri, struct error *err)
{
	if (strlen(uri) >= sizeof(options->uri) || !is_local(uri))
		return error_set(err, ERROR_USAGE,
			"'%.100s' is not a libvirt of this host: write qemu:///system, or "
			"qemu+unix:///system?socket=/PATH",
			uri);
	snprintf(options->uri, sizeof(options->uri), "%s", uri);
	return 0;
}

int libvirt_options_set_copy_storage(
	struct libvirt_options *options, const char *text, struct error *err)
{
	if (strcmp(text, "all") == 0)
		options->copy_storage = COPY_STORAGE_ALL;
	else if (strcmp(text, "inc") == 0)
		options->copy_storage = COPY_STORAGE_INC;
	else
		return error_set(err, ERROR_USAGE,
			"'%.100s' is not what can be copied of disks: all, or inc", text);
	return 0;
}

const char *libvirt_options_given(const struct libvirt_options *options)
{
	const struct {
		const char *name;
		bool given;
	} table[] = {
		{"connect", *options->uri != '\0'},
		{"persistent", options->persistent},
		{"undefine_source", options->undefine_source},
		{"copy_storage", options->copy_storage != COPY_STORAGE_NONE},
		{"parallel", options->parallel_count > 0},
		{"compressed", options->compressed},
		{"auto_converge", options->auto_converge},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].given)
			return table[i].name;
	}
	return NULL;
}

int libvirt_options_check(const struct libvirt_options *options, enum migration_mode mode,
	uint64_t version, const char *host, struct error *err)
{
	const struct streams streams = {.parallel_count = options->parallel_count};

	return streams_check(&streams, mode, version, host, err);
}
