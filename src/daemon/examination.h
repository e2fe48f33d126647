/* The examination of this host: facts gathered, and judged by doctor_host.c. No guest is touched.
 *
 * Threads: any; one at a time, others wait. Blocks: libvirt is asked, and QEMU started for its
 * version.
 */
#ifndef CULVERT_DAEMON_EXAMINATION_H
#define CULVERT_DAEMON_EXAMINATION_H

#include <jansson.h>

#include "daemon/daemon.h"
#include "daemon/facts.h"
#include "hypervisor/libvirt_host.h"

struct examination {
	struct facts facts;
	json_t *findings;
	struct libvirt_host *libvirt; /* NULL: not reached */
};

/** @errors  ERROR_LOCAL: another one has been under way for too long */
int examination_run(struct examination *examination, struct daemon *daemon, struct error *err);

/** Only what costs nothing: facts without versions, and whether libvirt's QEMUs may receive
 * post-copy. Does not wait */
void examination_run_brief(struct examination *examination, struct daemon *daemon);

void examination_fini(struct examination *examination);

#endif
