#include "daemon/terms.h"

#include <stdlib.h>

struct terms *terms_new(uint64_t limit_bytes_per_s)
{
	struct terms *terms = calloc(1, sizeof(*terms));

	if (!terms)
		return NULL;
	atomic_init(&terms->references, 1);
	atomic_init(&terms->share_class, SHARE_BULK);
	atomic_init(&terms->limit_bytes_per_s, limit_bytes_per_s);
	atomic_init(&terms->to_peer_rate, RATE_UNLIMITED);
	atomic_init(&terms->to_local_rate, RATE_UNLIMITED);
	return terms;
}

struct terms *terms_new_patient(void)
{
	struct terms *terms = terms_new(RATE_UNLIMITED);

	if (terms)
		atomic_store(&terms->patient, true);
	return terms;
}

struct terms *terms_hold(struct terms *terms)
{
	if (terms)
		atomic_fetch_add(&terms->references, 1);
	return terms;
}

void terms_put(struct terms *terms)
{
	if (terms && atomic_fetch_sub(&terms->references, 1) == 1)
		free(terms);
}
