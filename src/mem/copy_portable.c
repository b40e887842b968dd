/* SPDX-License-Identifier: MIT */
/*
 * Copies for processors that have no routine of their own: correct, but a fault in one cannot be told
 * from any other, so it is not survived. copy_can_guard says so.
 */
#include "mem/copy.h"
#include "mem/mem.h"

const bool copy_can_guard = false;

bool copy_fixup(void *context)
{
	return false;
}

int copy_guarded(void *to, const void *from, size_t len)
{
	/* A device's accesses are ordered as on a bus: what it wrote before is visible before. */
	atomic_thread_fence(memory_order_seq_cst);
	if (len == 8 && !(((uintptr_t)to | (uintptr_t)from) & 7))
		*(volatile u64 *)to = *(const volatile u64 *)from;
	else if (len == 4 && !(((uintptr_t)to | (uintptr_t)from) & 3))
		*(volatile u32 *)to = *(const volatile u32 *)from;
	else
		memcpy(to, from, len);
	atomic_thread_fence(memory_order_seq_cst);
	return 0;
}

int cmpxchg_guarded(void *at, u64 *old, u64 new_value, unsigned len)
{
	u32 old4 = (u32)*old;

	if (len == 8) {
		__atomic_compare_exchange_n((u64 *)at, old, new_value, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
		return 0;
	}
	__atomic_compare_exchange_n((u32 *)at, &old4, (u32)new_value, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	*old = old4;
	return 0;
}
