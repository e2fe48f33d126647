#include "daemon/forward.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/channel.h"
#include "daemon/conversation.h"
#include "daemon/opening.h"

struct forwarding {
	struct daemon *daemon;
	const struct config_forward *forward;
	int fd;
};

int forward_connect(struct daemon *daemon, const struct config_peer *peer, const char *service,
	int fd, struct error *err)
{
	struct channel *channel = opening_run(daemon, peer, service, "", fd, NULL, err);

	if (!channel)
		return -1;
	channel_put(channel);
	return 0;
}

static void tell_refusal(const struct config_forward *forward, const struct error *err)
{
	log_event_limited(LOG_WARNING, "forward.refused",
		"forward=%s host=%s service=%s reason=\"%s\"", forward->name, forward->host,
		forward->service, err->message);
}

static void talk(void *argument)
{
	struct forwarding *forwarding = argument;
	const struct config_forward *forward = forwarding->forward;
	struct daemon *daemon = forwarding->daemon;
	struct error err;

	if (forward_connect(daemon, config_find_peer(daemon->config, forward->host),
		    forward->service, forwarding->fd, &err) < 0)
		tell_refusal(forward, &err);
	free(forwarding);
}

void forward_serve(struct daemon *daemon, const struct config_forward *forward, int fd)
{
	struct forwarding *forwarding = calloc(1, sizeof(*forwarding));
	struct error err;

	if (!forwarding) {
		close(fd);
		return;
	}
	*forwarding = (struct forwarding){.daemon = daemon, .forward = forward, .fd = fd};
	if (conversation_start(talk, forwarding, &err) == 0)
		return;
	tell_refusal(forward, &err);
	close(fd);
	free(forwarding);
}
