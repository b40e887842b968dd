/* SPDX-License-Identifier: MIT */
/*
 * Epochs: how an unmap knows that no device thread still uses what it is about to free.
 *
 * Each thread that touches memory through an instance has one slot in it. A reader stores the epoch
 * and a scope on entry (seq_cst: the store must be visible before the first look at a table), zero on
 * leave. epoch_sync() advances the epoch and waits for the readers of an older one whose scope may
 * meet the caller's. A reader never makes a system call, takes a lock or calls out inside an epoch;
 * what must, holds a count instead (mem/seg.h).
 *
 * A slot belongs to one thread until it exits (a pthread key's destructor gives it back) or the instance
 * ends (the slot is then an orphan, freed by its thread); whoever comes second frees it, so neither order
 * leaves a dangling pointer.
 *
 * Scope: an address (the IOAS) named by a reader that knows it, or NULL = any, for DMA that goes
 * through an IOMMU model.
 */
#ifndef IOASIS_SRC_BASE_EPOCH_H
#define IOASIS_SRC_BASE_EPOCH_H

#include "base/types.h"

enum epoch_slot_state {
	EPOCH_SLOT_FREE,   /* on its instance's list, for the next thread */
	EPOCH_SLOT_OWNED,  /* a thread has it */
	EPOCH_SLOT_ORPHAN, /* its instance ended; its thread frees it */
};

struct epoch_slot {
	alignas(CACHELINE) _Atomic u64 epoch; /* 0: outside */
	_Atomic(const void *) scope;
	unsigned depth;			 /* nested entries of the same thread; its owner only */
	_Atomic(struct epoch *) domain;	 /* NULL: orphan */
	_Atomic unsigned state;		 /* enum epoch_slot_state */
	struct epoch_slot *next;	 /* of the same instance; fixed once linked */
	struct epoch_slot *next_of_thread; /* its owner only */
};

struct epoch {
	_Atomic u64 now;		    /* starts at 1 */
	_Atomic(struct epoch_slot *) slots; /* grows only, until the instance ends */
};

/* What a thread remembers of its slots: thread-local, so that a look-up is a load and a compare. */
#define EPOCH_CACHE 4u
struct epoch_thread {
	struct epoch_slot *cache[EPOCH_CACHE]; /* by address of the instance */
	struct epoch_slot *owned;
};
extern _Thread_local struct epoch_thread epoch_thread __attribute__((tls_model("initial-exec")));

int epoch_init(struct epoch *e) MUST_CHECK;
void epoch_fini(struct epoch *e); /* no thread may be inside */

struct epoch_slot *epoch_slot_slow(struct epoch *e);

/* This thread's slot, made at its first use. Return: NULL when out of memory. */
ALWAYS_INLINE struct epoch_slot *epoch_slot(struct epoch *e)
{
	struct epoch_slot *s = epoch_thread.cache[((uintptr_t)e / CACHELINE) % EPOCH_CACHE];

	if (likely(s) && likely(atomic_load_explicit(&s->domain, memory_order_acquire) == e))
		return s;
	return epoch_slot_slow(e);
}

/*
 * Wait until every reader that entered before this call and whose scope meets @scope has left.
 * Context: not inside an epoch of @e; no lock that a reader could wait for (readers take none).
 */
void epoch_sync(struct epoch *e, const void *scope);

ALWAYS_INLINE void epoch_enter(struct epoch_slot *s, const void *scope)
{
	struct epoch *e;

	if (s->depth++) {
		/* Two scopes at once are "any": widen, never narrow. */
		if (atomic_load_explicit(&s->scope, memory_order_relaxed) != scope)
			atomic_store(&s->scope, NULL);
		return;
	}
	e = atomic_load_explicit(&s->domain, memory_order_relaxed);
	atomic_store_explicit(&s->scope, scope, memory_order_relaxed);
	atomic_store(&s->epoch, atomic_load_explicit(&e->now, memory_order_acquire));
#if !defined(__x86_64__)
	/* Elsewhere a seq_cst store may still be passed by the loads that follow it. */
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

ALWAYS_INLINE void epoch_leave(struct epoch_slot *s)
{
	if (--s->depth == 0)
		atomic_store_explicit(&s->epoch, 0, memory_order_release);
}

#endif
