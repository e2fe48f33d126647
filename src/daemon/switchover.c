#include "daemon/switchover.h"

void switchover_init(struct switchover *switchover, const struct migration_plan *plan)
{
	/* Pass 1 is the first full one: it ends when QEMU counts 2. */
	*switchover =
		(struct switchover){.mode = plan->mode, .policy = plan->policy, .pass_count = 1};
}

/* Pre-copy converges when what remains can be sent within the downtime limit. If what is dirtied
 * while the rest is sent is again more than that, the next pass will not converge either. */
static bool hopeless(const struct migration_figures *figures)
{
	double rate = (double)figures->rate_bytes_per_s;
	double within_limit = rate * (double)figures->downtime_limit_ms / 1000;
	double remaining = (double)figures->ram_remaining_bytes;
	double dirtied_again;

	if (rate <= 0)
		return true;
	dirtied_again = (double)figures->dirty_rate_bytes_per_s * remaining / rate;
	return remaining > within_limit && dirtied_again > within_limit;
}

bool switchover_due(
	struct switchover *switchover, const struct migration_figures *figures, uint64_t elapsed_ms)
{
	if (switchover->mode == MODE_PRECOPY || figures->state != MIGRATION_PRECOPY)
		return false;
	if (switchover->mode == MODE_POSTCOPY)
		return true;
	if (figures->pass_count <= switchover->pass_count)
		return false;
	switchover->pass_count = figures->pass_count;
	switch (switchover->policy.when) {
	case SWITCH_AUTO:
		return hopeless(figures);
	case SWITCH_PASS:
		return figures->pass_count > switchover->policy.pass_count;
	case SWITCH_AFTER:
		return elapsed_ms >= switchover->policy.after_ms;
	}
	return false;
}
