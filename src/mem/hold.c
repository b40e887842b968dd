/* SPDX-License-Identifier: MIT */
/*
 * Holds: who is inside which range of OA for longer than an epoch.
 *
 * A hold claims a slot (lowest free bit first, so that a quiesce scans few), writes its range there and
 * makes the slot's seq odd; letting go makes it even. A quiesce notes the seq of every slot that
 * overlaps and waits for just those to move.
 *
 * Why nothing is missed: a hold is taken inside the epoch whose translation it stands for. Unmap waits
 * for epochs first, so every hold that could name the old translation is complete when it quiesces.
 */
#include "mem/mem_priv.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOLD_WORDS (HOLDS_MAX / 64)

static void raise_words(struct mem_priv *p, u32 nr)
{
	u32 now = atomic_load_explicit(&p->hold_words, memory_order_relaxed);

	while (now < nr && !atomic_compare_exchange_weak(&p->hold_words, &now, nr))
		;
}

static u32 claim_slot(struct mem_priv *p)
{
	for (u32 w = 0; w < HOLD_WORDS; w++) {
		u64 bits = atomic_load_explicit(&p->hold_bits[w], memory_order_relaxed);

		while (bits != UINT64_MAX) {
			u32 b = (u32)__builtin_ctzll(~bits);

			if (!atomic_compare_exchange_weak(&p->hold_bits[w], &bits, bits | 1ull << b))
				continue;
			if (w >= atomic_load_explicit(&p->hold_words, memory_order_relaxed))
				raise_words(p, w + 1);
			return w * 64 + b;
		}
	}
	return SEG_NO_TICKET;
}

u32 seg_hold(struct seg *seg, oa_t oa, u64 len)
{
	struct mem_priv *p = seg->mem->priv;
	u32 ticket = claim_slot(p);
	struct hold_slot *slot;

	if (ticket == SEG_NO_TICKET)
		return ticket;
	slot = &p->holds[ticket];
	atomic_store_explicit(&slot->start, oa.v, memory_order_release);
	atomic_store_explicit(&slot->last, oa.v + len - 1, memory_order_release);
	atomic_fetch_add_explicit(&slot->seq, 1, memory_order_release);
	atomic_fetch_add_explicit(&seg->nr_holds, 1, memory_order_release);
	return ticket;
}

void seg_unhold(struct seg *seg, u32 ticket)
{
	struct mem_priv *p = seg->mem->priv;
	struct hold_slot *slot = &p->holds[ticket];

	assert(atomic_load_explicit(&slot->seq, memory_order_relaxed) & 1);
	/* After the seq moved the segment may be freed by the waiter: it is not touched again. */
	atomic_fetch_sub_explicit(&seg->nr_holds, 1, memory_order_release);
	atomic_fetch_add(&slot->seq, 1);
	if (unlikely(atomic_load(&p->hold_waiters)))
		syscall(SYS_futex, &slot->seq, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	atomic_fetch_and_explicit(&p->hold_bits[ticket / 64], ~(1ull << (ticket % 64)),
				  memory_order_release);
}

static void wait_slot(struct mem_priv *p, struct hold_slot *slot, u32 seq)
{
	for (unsigned i = 0; i < 200; i++) {
		if (atomic_load_explicit(&slot->seq, memory_order_acquire) != seq)
			return;
		if (i > 100)
			sched_yield();
	}
	atomic_fetch_add(&p->hold_waiters, 1);
	while (atomic_load(&slot->seq) == seq)
		syscall(SYS_futex, &slot->seq, FUTEX_WAIT_PRIVATE, seq, NULL, NULL, 0);
	atomic_fetch_sub(&p->hold_waiters, 1);
}

static void quiesce_slot(struct mem_priv *p, struct hold_slot *slot, u64 start, u64 last)
{
	u32 seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
	u64 s, l;

	if (!(seq & 1))
		return;
	s = atomic_load_explicit(&slot->start, memory_order_acquire);
	l = atomic_load_explicit(&slot->last, memory_order_acquire);
	if (atomic_load_explicit(&slot->seq, memory_order_relaxed) != seq)
		return; /* that hold ended; whoever has the slot now came later */
	if (s <= last && start <= l)
		wait_slot(p, slot, seq);
}

void seg_quiesce(struct seg *seg, oa_t oa, u64 len)
{
	struct mem_priv *p = seg->mem->priv;
	u32 words;

	if (!atomic_load_explicit(&seg->nr_holds, memory_order_acquire))
		return;
	words = atomic_load(&p->hold_words);
	for (u32 w = 0; w < words; w++) {
		u64 bits = atomic_load_explicit(&p->hold_bits[w], memory_order_acquire);

		for (; bits; bits &= bits - 1)
			quiesce_slot(p, &p->holds[w * 64 + (u32)__builtin_ctzll(bits)], oa.v,
				     oa.v + len - 1);
	}
}
