/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

void fault_arm(struct fault *f, s64 nth)
{
	atomic_store(&f->countdown, nth);
}

bool fault_hit_slow(struct fault *f)
{
	s64 left = atomic_load(&f->countdown);

	/* Not a plain decrement: two threads at the last point must not push it below zero for good. */
	do {
		if (left <= 0)
			return false;
	} while (!atomic_compare_exchange_weak(&f->countdown, &left, left - 1));
	if (left != 1)
		return false;
	atomic_fetch_add(&f->fired, 1);
	return true;
}
