#include "tunnel/budget.h"

#include <assert.h>

void budget_init(struct budget *budget, size_t total_bytes)
{
	budget->total = total_bytes / CHUNK_BYTES;
	atomic_init(&budget->lent, 0);
	atomic_init(&budget->sharers, 0);
}

void budget_join(struct budget *budget)
{
	atomic_fetch_add(&budget->sharers, 1);
}

void budget_leave(struct budget *budget)
{
	size_t before = atomic_fetch_sub(&budget->sharers, 1);

	assert(before > 0);
}

static bool below_share(const struct budget *budget, size_t borrowed)
{
	size_t sharers = atomic_load(&budget->sharers);

	if (sharers > BUDGET_SHARERS_MOST)
		sharers = BUDGET_SHARERS_MOST;
	return borrowed < budget->total / (sharers > 0 ? sharers : 1);
}

bool budget_would_lend(const struct budget *budget, size_t borrowed)
{
	return below_share(budget, borrowed) && atomic_load(&budget->lent) < budget->total;
}

bool budget_borrow(struct budget *budget, size_t borrowed)
{
	size_t lent = atomic_load(&budget->lent);

	if (!below_share(budget, borrowed))
		return false;
	do {
		if (lent >= budget->total)
			return false;
	} while (!atomic_compare_exchange_weak(&budget->lent, &lent, lent + 1));
	return true;
}

void budget_give_back(struct budget *budget, size_t count)
{
	size_t before = atomic_fetch_sub(&budget->lent, count);

	assert(before >= count);
}
