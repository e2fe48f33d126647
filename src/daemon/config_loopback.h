/* Of culvert.conf: the loopback addresses by which clients that can only say tcp:// reach the
 * QEMUs of peers, and peers those of this host.
 */
#ifndef CULVERT_DAEMON_CONFIG_LOOPBACK_H
#define CULVERT_DAEMON_CONFIG_LOOPBACK_H

#include "daemon/config.h"

/** "127.77.0.2" or "127.77.0.2:49216-49279"; but once, and not 127.0.0.1 */
int config_loopback_set(struct config_loopback *loopback, const char *value, struct error *err);

/** Once all is read: no address twice, and no port of a peer among those that libvirt looks for a
 * free one of on this host. @path  for messages */
int config_loopback_complete(const struct config *config, const char *path, struct error *err);

#endif
