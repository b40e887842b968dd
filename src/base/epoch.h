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
 * Scope: an address (the IOAS) named by a reader that knows it, or NULL = any, for DMA that goes
 * through an IOMMU model.
 */
#ifndef IOASIS_SRC_BASE_EPOCH_H
#define IOASIS_SRC_BASE_EPOCH_H

#include "base/list.h"
#include "base/lock.h"

struct epoch_slot {
	alignas(CACHELINE) _Atomic u64 epoch; /* 0: outside */
	_Atomic(const void *) scope;
	unsigned depth; /* nested entries of the same thread; touched by its owner only */
	bool used;	/* GUARDED_BY(epoch.lock) */
	struct epoch *domain;
	struct list node;
};

struct epoch {
	_Atomic u64 now; /* starts at 1 */
	u64 id;		 /* distinguishes instances that reuse an address */
	struct lock lock;
	struct list slots; /* GUARDED_BY(lock); slots are freed with the instance only */
};

int epoch_init(struct epoch *e) MUST_CHECK;
void epoch_fini(struct epoch *e); /* no thread may be inside */

/* This thread's slot, made at its first use. Return: NULL when out of memory. */
struct epoch_slot *epoch_slot(struct epoch *e);

/* Wait until every reader that entered before this call and whose scope meets @scope has left. */
void epoch_sync(struct epoch *e, const void *scope);

ALWAYS_INLINE void epoch_enter(struct epoch_slot *s, const void *scope)
{
	if (s->depth++) {
		/* Two scopes at once are "any": widen, never narrow. */
		if (atomic_load_explicit(&s->scope, memory_order_relaxed) != scope)
			atomic_store(&s->scope, NULL);
		return;
	}
	atomic_store_explicit(&s->scope, scope, memory_order_relaxed);
	atomic_store(&s->epoch, atomic_load_explicit(&s->domain->now, memory_order_acquire));
}

ALWAYS_INLINE void epoch_leave(struct epoch_slot *s)
{
	if (--s->depth == 0)
		atomic_store_explicit(&s->epoch, 0, memory_order_release);
}

#endif
