/* Of culvert.conf: [service NAME], [forward NAME], and what `services` of a peer lists.
 *
 * Sections come in any order, so that what they name is looked up at the end.
 */
#ifndef CULVERT_DAEMON_CONFIG_SERVICE_H
#define CULVERT_DAEMON_CONFIG_SERVICE_H

#include "daemon/config.h"

/** Whether @section is of a kind that is read here */
bool config_service_section(const char *section);

/** Such a section begins, or is begun again */
int config_service_begin(
	struct config *config, const char *section, unsigned line, struct error *err);

/** A key of the section that was begun last under that name */
int config_service_key(struct config *config, const char *section, const char *key,
	const char *value, struct error *err);

/** A word of @peer's `services` */
int config_service_permit(
	struct config_peer *peer, const char *name, unsigned line, struct error *err);

/** Once all is read: checks it, and adds what needs no section: the service libvirt, and forwards
 * to those of peers. @path  for messages */
int config_service_complete(struct config *config, const char *path, struct error *err);

#endif
