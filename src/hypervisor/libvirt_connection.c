#include "hypervisor/libvirt_connection.h"

#include <libvirt/virterror.h>
#include <pthread.h>
#include <stddef.h>

/* libvirt would print what it answers on standard error. */
static void keep_quiet(void *unused, virErrorPtr error)
{
	(void)unused;
	(void)error;
}

static void set_up(void)
{
	(void)virInitialize();
	virSetErrorFunc(NULL, keep_quiet);
}

int libvirt_connection_fail(struct error *err, enum error_code code, const char *what)
{
	const char *words = virGetLastErrorMessage();

	return error_set(err, code, "%s: %s", what, words ? words : "libvirt does not say why");
}

virConnectPtr libvirt_connection_open(const char *uri, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	virConnectPtr connection;

	pthread_once(&once, set_up);
	connection = virConnectOpen(uri);
	if (!connection)
		libvirt_connection_fail(err, ERROR_LOCAL, "cannot reach libvirt");
	return connection;
}
