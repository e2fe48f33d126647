#include "cli/order.h"

#include "control/client.h"

json_t *order(const struct options *options, const char *name, json_t *arguments, int timeout_ms,
	struct error *err)
{
	struct client *client = client_open(options->socket_path, err);
	json_t *result = NULL;

	if (!client) {
		json_decref(arguments);
		return NULL;
	}
	if (client_call(client, name, arguments, timeout_ms, &result, err) < 0)
		result = NULL;
	client_free(client);
	return result;
}
