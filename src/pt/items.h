/* SPDX-License-Identifier: MIT */
/*
 * Loads and stores of items, one and many.
 *
 * Hardware reads items at any time, so each is read and written whole. The bulk helpers use 16-byte
 * vectors at 16-byte alignment: every aligned 8-byte half of such an access is indivisible on the
 * processors we run on, and the accesses are volatile so that the compiler neither splits them nor
 * turns them into memset(). ThreadSanitizer cannot know that: it gets one atomic access per item.
 */
#ifndef IOASIS_SRC_PT_ITEMS_H
#define IOASIS_SRC_PT_ITEMS_H

#include "base/base.h"

#if defined(__SANITIZE_THREAD__)
#define ITEMS_ONE_BY_ONE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ITEMS_ONE_BY_ONE 1
#endif
#endif

typedef u64 items_v __attribute__((vector_size(16), may_alias));
#define ITEMS_V 2u /* items in a vector */

/* Acquire: what a table item points at was filled before it was linked. */
ALWAYS_INLINE u64 item_load(const u64 *item)
{
	return __atomic_load_n(item, __ATOMIC_ACQUIRE);
}

ALWAYS_INLINE void item_store(u64 *item, u64 value)
{
	__atomic_store_n(item, value, __ATOMIC_RELEASE);
}

#ifdef ITEMS_ONE_BY_ONE

static inline u64 items_or(const u64 *p, unsigned nr)
{
	u64 acc = 0;

	for (unsigned i = 0; i < nr; i++)
		acc |= item_load(p + i);
	return acc;
}

static inline u64 items_and(const u64 *p, unsigned nr)
{
	u64 acc = UINT64_MAX;

	for (unsigned i = 0; i < nr; i++)
		acc &= item_load(p + i);
	return acc;
}

/* value, value + step, value + 2 * step… */
static inline void items_fill(u64 *p, unsigned nr, u64 value, u64 step)
{
	for (unsigned i = 0; i < nr; i++, value += step)
		item_store(p + i, value);
}

#else

ALWAYS_INLINE items_v items_vload(const u64 *p)
{
	return *(const items_v *)p;
}

ALWAYS_INLINE void items_vstore(u64 *p, items_v v)
{
	*(volatile items_v *)p = v;
}

ALWAYS_INLINE bool items_odd(const u64 *p)
{
	return (uintptr_t)p & (sizeof(items_v) - 1);
}

ALWAYS_INLINE u64 items_or(const u64 *p, unsigned nr)
{
	items_v a = {0}, b = {0};
	u64 acc = 0;

	if (nr && items_odd(p)) {
		acc = *p++;
		nr--;
	}
	for (; nr >= 4 * ITEMS_V; nr -= 4 * ITEMS_V, p += 4 * ITEMS_V) {
		a |= items_vload(p) | items_vload(p + ITEMS_V);
		b |= items_vload(p + 2 * ITEMS_V) | items_vload(p + 3 * ITEMS_V);
	}
	a |= b;
	acc |= a[0] | a[1];
	for (; nr; nr--)
		acc |= *p++;
	return acc;
}

ALWAYS_INLINE u64 items_and(const u64 *p, unsigned nr)
{
	items_v a = {UINT64_MAX, UINT64_MAX}, b = a;
	u64 acc = UINT64_MAX;

	if (nr && items_odd(p)) {
		acc = *p++;
		nr--;
	}
	for (; nr >= 4 * ITEMS_V; nr -= 4 * ITEMS_V, p += 4 * ITEMS_V) {
		a &= items_vload(p) & items_vload(p + ITEMS_V);
		b &= items_vload(p + 2 * ITEMS_V) & items_vload(p + 3 * ITEMS_V);
	}
	a &= b;
	acc &= a[0] & a[1];
	for (; nr; nr--)
		acc &= *p++;
	return acc;
}

/* value, value + step, value + 2 * step… */
ALWAYS_INLINE void items_fill(u64 *p, unsigned nr, u64 value, u64 step)
{
	items_v v, dv = {2 * step, 2 * step};

	if (nr && items_odd(p)) {
		item_store(p++, value);
		value += step;
		nr--;
	}
	v = (items_v){value, value + step};
	for (; nr >= 4 * ITEMS_V; nr -= 4 * ITEMS_V, p += 4 * ITEMS_V) {
		items_v w = v + dv, x = w + dv, y = x + dv;

		items_vstore(p, v);
		items_vstore(p + ITEMS_V, w);
		items_vstore(p + 2 * ITEMS_V, x);
		items_vstore(p + 3 * ITEMS_V, y);
		v = y + dv;
	}
	for (value = v[0]; nr; nr--, value += step)
		item_store(p++, value);
}

#endif
#endif
