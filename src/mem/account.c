/* SPDX-License-Identifier: MIT */
/*
 * What pinned memory costs, and whom. One count per user or per mm stands against RLIMIT_MEMLOCK; the
 * pages are counted as pinned in every mode.
 *
 * Source: linux drivers/iommu/iommufd/pages.c, iopt_pages_update_pinned(); mm/util.c,
 * __account_locked_vm().
 */
#include "mem/mem_priv.h"
#include "mem/proc.h"

static int charge_within(_Atomic u64 *count, u64 nr, u64 limit)
{
	u64 now = atomic_load_explicit(count, memory_order_relaxed);
	u64 sum;

	do {
		if (__builtin_add_overflow(now, nr, &sum) || sum > limit)
			return -ENOMEM;
	} while (!atomic_compare_exchange_weak(count, &now, sum));
	return 0;
}

int mm_charge(struct mm *mm, enum account_mode mode, u64 nr_pages)
{
	int rc = 0;

	switch (mode) {
	case ACCOUNT_NONE:
		break;
	case ACCOUNT_USER:
		rc = charge_within(&mm->user->locked_pages, nr_pages, mm_memlock(mm) >> PAGE_LG2);
		break;
	case ACCOUNT_MM:
		if (!mm_alive(mm))
			return -EINVAL;
		rc = charge_within(&mm->locked_pages, nr_pages, mm_memlock(mm) >> PAGE_LG2);
		break;
	}
	if (!rc)
		atomic_fetch_add(&mm->pinned_pages, nr_pages);
	return rc;
}

static void take_off(_Atomic u64 *count, u64 nr)
{
	u64 before = atomic_fetch_sub(count, nr);

	assert(before >= nr);
	(void)before;
}

void mm_uncharge(struct mm *mm, enum account_mode mode, u64 nr_pages)
{
	if (mode == ACCOUNT_USER)
		take_off(&mm->user->locked_pages, nr_pages);
	else if (mode == ACCOUNT_MM)
		take_off(&mm->locked_pages, nr_pages);
	take_off(&mm->pinned_pages, nr_pages);
}
