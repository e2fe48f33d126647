#include "hypervisor/streams.h"

#include <stdio.h>

/* The first QEMU whose parallel streams and post-copy go together */
#define VERSION_PARALLEL_POSTCOPY 10001000
/* ... and the first that has postcopy-preempt */
#define VERSION_PREEMPT 7001000

bool streams_need_path(const struct streams *streams)
{
	return streams->parallel_count > 0 || streams->preempt;
}

uint64_t streams_version(const char *text)
{
	unsigned major, minor, micro = 0;

	if (sscanf(text, "%4u.%3u.%3u", &major, &minor, &micro) < 2)
		return 0;
	return major * UINT64_C(1000000) + minor * UINT64_C(1000) + micro;
}

static int refuse(
	const char *why, uint64_t version, const char *host, const char *remedy, struct error *err)
{
	return error_set(err, ERROR_USAGE, "%s, and that of %s is %llu.%llu.%llu: %s", why, host,
		(unsigned long long)(version / 1000000),
		(unsigned long long)(version / 1000 % 1000), (unsigned long long)(version % 1000),
		remedy);
}

int streams_check(const struct streams *streams, enum migration_mode mode, uint64_t version,
	const char *host, struct error *err)
{
	if (streams->preempt && mode == MODE_PRECOPY)
		return error_set(err, ERROR_USAGE,
			"preempt is for the pages that a guest in post-copy waits for: use --mode "
			"hybrid or postcopy, or no --preempt");
	if (streams->preempt && version < VERSION_PREEMPT)
		return refuse("preempt needs a QEMU of 7.1 at least", version, host,
			"use no --preempt", err);
	/* It is accepted, and the destination's QEMU aborts when all else is done. */
	if (streams->parallel_count > 0 && mode != MODE_PRECOPY &&
		version < VERSION_PARALLEL_POSTCOPY)
		return refuse("parallel streams and post-copy together lose the guest with a QEMU "
			      "below 10.1",
			version, host, "use --mode precopy, or no --parallel", err);
	return 0;
}
