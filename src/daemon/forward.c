#include "daemon/forward.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "daemon/channel.h"
#include "daemon/conversation.h"
#include "daemon/opening.h"

#define PATIENCE_MS 3000
#define TURN_MS     200

struct forwarding {
	struct daemon *daemon;
	const struct config_forward *forward;
	int fd;
};

/* Of a channel that was not opened nothing has passed: a connection that is lost meanwhile is no
 * reason to disappoint a local program. */
int forward_connect(struct daemon *daemon, const struct config_peer *peer, const char *service,
	int fd, struct error *err)
{
	uint64_t patient_ms = clock_deadline_ms(PATIENCE_MS);
	CLEANUP_FD int local = fd;

	for (;;) {
		int duplicate = fcntl(local, F_DUPFD_CLOEXEC, 0);
		struct channel *channel;

		if (duplicate < 0)
			return error_errno(err, "cannot duplicate a descriptor");
		channel = opening_run(daemon, peer, service, "", NULL, duplicate, NULL, err);
		if (channel) {
			channel_put(channel);
			return 0;
		}
		if (err->code != ERROR_LINK || clock_left_ms(patient_ms) == 0 ||
			atomic_load(&daemon->stopping))
			return -1;
		uv_sleep(TURN_MS);
	}
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
