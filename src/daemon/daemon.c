#include "daemon/daemon.h"

struct worker *daemon_worker(struct daemon *daemon)
{
	return daemon->workers[atomic_fetch_add(&daemon->next_worker, 1) % daemon->worker_count];
}
