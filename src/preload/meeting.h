/* A rendezvous of culvertd with the peer that a client of libvirt means. */
#ifndef CULVERT_PRELOAD_MEETING_H
#define CULVERT_PRELOAD_MEETING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/client.h"

#define MEETING_HOST_BYTES 256
/* By how many names a client may mean it */
#define MEETING_HOSTS_MOST 2

/* The best first; "" where there are fewer */
struct meeting_hosts {
	char names[MEETING_HOSTS_MOST][MEETING_HOST_BYTES];
};

/** "qemu+ssh://root@hostb:22/system": "hostb". @returns false: there is none in it */
bool meeting_host(const char *uri, char *host, size_t size);

/**
 * Meet the first of @hosts that is a peer: by its name, address or identity.
 *
 * @client  holds the rendezvous, until client_free()
 * @returns the URIs, a new reference; or NULL with @err set
 */
json_t *meeting_begin(const struct meeting_hosts *hosts, struct client **client, struct error *err);

#endif
