/* SPDX-License-Identifier: MIT */
/*
 * Stores into registers with side effects: decoded, sent to the device, skipped. The program goes
 * on when the device has taken the store and the page shows its effect.
 */
#include "shim/shim.h"
#include "shim/store_decode.h"

#include <sched.h>

/* From the SIGSEGV handler: no lock; a table that is being changed is read again. */
static bool trap_find(u64 addr, struct trap *out)
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
			*out = *t;
			found = true;
		}
		if (seq & 1)
			sched_yield(); /* its writer may need this processor */
	} while (seq & 1 || atomic_load(&shim.trap_seq) != seq);
	return found;
}

/* A device takes naturally aligned words of at most 8 bytes, in the order of their addresses. */
static void send_words(const struct trap *t, const struct store *s)
{
	for (unsigned done = 0, len; done < s->len; done += len) {
		struct call c = CALL(CHAN_STORE, t->handle);
		u64 addr = s->addr + done;

		for (len = 8; len > s->len - done || addr & (len - 1); len /= 2)
			;
		c.req.pos = t->pos + (addr - t->start);
		c.req.len = len;
		memcpy(&c.req.arg, s->value + done, len);
		shim_call(&c); /* a device that is gone takes no store: nobody tells a program */
	}
}

bool trap_store(void *addr, void *ucontext)
{
	struct store s;
	struct trap t;

	if (!atomic_load_explicit(&shim.nr_traps, memory_order_relaxed) ||
	    !trap_find((uintptr_t)addr, &t) || !t.stores)
		return false;
	if (store_decode(ucontext, t.start, t.start + t.len, &s))
		return false;
	send_words(&t, &s);
	store_apply(ucontext, &s);
	return true;
}
