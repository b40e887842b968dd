/* SPDX-License-Identifier: MIT */
/*
 * Fault points: every allocation and every look-up passes one, so that a test can make the n-th fail.
 *
 * A test arms an instance with n for the calling thread's requests and sweeps n upward until nothing
 * fires any more; a request that then fails must have changed nothing and leaked nothing.
 */
#ifndef IOASIS_SRC_BASE_FAULT_H
#define IOASIS_SRC_BASE_FAULT_H

#include "base/types.h"

struct fault {
	_Atomic s64 countdown; /* <= 0: disarmed; 1: the next point fails */
	_Atomic u64 fired;
};

void fault_arm(struct fault *f, s64 nth); /* 0 disarms */
bool fault_hit_slow(struct fault *f);

/* Return: true when this point must fail. */
static inline bool fault_hit(struct fault *f)
{
	if (likely(atomic_load_explicit(&f->countdown, memory_order_relaxed) <= 0))
		return false;
	return fault_hit_slow(f);
}

#endif
