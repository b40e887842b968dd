/* SPDX-License-Identifier: MIT */
/*
 * AMD IOMMU v1, and the variant of it that Linux's iommufd selftest uses as its mock.
 *
 * Source: AMD I/O Virtualization Technology (IOMMU) Specification, section 2.2.3 (I/O page tables for
 * host translations), tables 14 and 15. Level 0 here is the specification's level 1 (mode 1), and so
 * on; the mode of a table is its level + 1. A leaf is Next Level 0 (the item's own size) or 7 (a run
 * of items: the size is in the lowest zero bit of the output address). Level skipping is not made and
 * not accepted: no driver known to us uses it.
 *
 * The mock (linux drivers/iommu/generic_pt/fmt/amdv1.h, AMDV1_IOMMUFD_SELFTEST) has 2 KiB granules in
 * 4 KiB tables: the address field holds oa >> 11 where amdv1's holds oa >> 12.
 */
#ifndef IOASIS_SRC_PT_FMT_AMDV1_H
#define IOASIS_SRC_PT_FMT_AMDV1_H

#include "pt/pt.h"

enum {
#ifdef AMDV1_MOCK
	FMT_GRANULE_LG2 = 11,
	FMT_MAX_TOP = 4,
	FMT_MAX_VA_BITS = 56,
	FMT_MAX_OA_BITS = 51,
	FMT_FEATURES = PT_FEAT_DIRTY,
#else
	FMT_GRANULE_LG2 = 12,
	FMT_MAX_TOP = 5,
	FMT_MAX_VA_BITS = 64,
	FMT_MAX_OA_BITS = 52,
	FMT_FEATURES = PT_FEAT_DIRTY | PT_FEAT_DYNAMIC_TOP,
#endif
	FMT_MIN_TOP = 1,
	FMT_WALK_MIN_TOP = 0, /* mode 1 is a table of leaves only; we make none */
	FMT_HAS_RUNS = true,
	FMT_OA_SHIFT = 12 - FMT_GRANULE_LG2,
};

#define AMDV1_PR	 (1ull << 0)
#define AMDV1_DIRTY	 (1ull << 6)
#define AMDV1_NEXT(item) ((unsigned)((item) >> 9) & 7)
#define AMDV1_NEXT_MASK	 (7ull << 9)
#define AMDV1_NEXT_RUN	 7u
#define AMDV1_OA	 (((1ull << 52) - 1) & ~((1ull << 12) - 1))
#define AMDV1_RESERVED	 (127ull << 52)
#define AMDV1_FC	 (1ull << 60) /* force coherent, as Linux sets it */
#define AMDV1_PERM_LG2	 61	      /* IR, IW */

#define FMT_DIRTY AMDV1_DIRTY

ALWAYS_INLINE unsigned amdv1_item_lg2(unsigned level)
{
	return FMT_GRANULE_LG2 + 9 * level;
}

/* Every power of two but 512 GiB, which hardware gets wrong; the top of all levels has no leaves. */
ALWAYS_INLINE u64 fmt_leaf_sizes(unsigned level)
{
	unsigned lg2 = amdv1_item_lg2(level), last_lg2 = min(51u, lg2 + 8);

	if (level >= FMT_MAX_TOP)
		return 0;
	return ((2ull << last_lg2) - (1ull << lg2)) & ~(1ull << 39);
}

ALWAYS_INLINE bool fmt_present(u64 item)
{
	return item & AMDV1_PR;
}

ALWAYS_INLINE bool fmt_is_leaf(u64 item, unsigned level)
{
	return level == 0 || AMDV1_NEXT(item) == 0 || AMDV1_NEXT(item) == AMDV1_NEXT_RUN;
}

/* Present, a table, well-formed: one test. */
ALWAYS_INLINE bool fmt_is_table(u64 item, unsigned level)
{
	u64 zero = AMDV1_RESERVED | (FMT_OA_SHIFT ? 1ull << 12 : 0);

	return (item & (zero | AMDV1_NEXT_MASK | AMDV1_PR)) == ((u64)level << 9 | AMDV1_PR);
}

/* A present leaf of its item's size, well-formed. */
ALWAYS_INLINE bool fmt_is_plain_leaf(u64 item, unsigned level)
{
	u64 zero = (((1ull << amdv1_item_lg2(level)) - 1) << FMT_OA_SHIFT) & AMDV1_OA;

	if (level == 0)
		zero = 0;
	return level < FMT_MAX_TOP &&
	       (item & (AMDV1_RESERVED | AMDV1_NEXT_MASK | AMDV1_PR | zero)) == AMDV1_PR;
}

ALWAYS_INLINE unsigned fmt_leaf_lg2(u64 item, unsigned level)
{
	if (likely(AMDV1_NEXT(item) != AMDV1_NEXT_RUN))
		return amdv1_item_lg2(level);
	/* Bit 52 stops a field of all ones. */
	return FMT_GRANULE_LG2 + 1 + (unsigned)__builtin_ctzll(~(item >> 12) | 1ull << 40);
}

ALWAYS_INLINE bool fmt_is_malformed(u64 item, unsigned level)
{
	unsigned next = AMDV1_NEXT(item);

	if (item & AMDV1_RESERVED)
		return true;
	if (next == AMDV1_NEXT_RUN)
		return !(fmt_leaf_sizes(level) & ~(1ull << amdv1_item_lg2(level)) &
			 1ull << fmt_leaf_lg2(item, level));
	if (next == 0)
		return level && (level >= FMT_MAX_TOP ||
				 (((item & AMDV1_OA) >> FMT_OA_SHIFT) &
				  ((1ull << amdv1_item_lg2(level)) - 1)));
	return next != level || (FMT_OA_SHIFT && (item & 1ull << 12));
}

ALWAYS_INLINE u64 fmt_leaf_oa(u64 item, unsigned level)
{
	u64 field = item & AMDV1_OA;

	if (unlikely(AMDV1_NEXT(item) == AMDV1_NEXT_RUN))
		field &= field + (1ull << 12); /* drop the trailing ones */
	return field >> FMT_OA_SHIFT;
}

ALWAYS_INLINE u64 fmt_table_oa(u64 item)
{
	return (item & AMDV1_OA) >> FMT_OA_SHIFT;
}

/* Of one item, or of all levels' items ANDed. */
ALWAYS_INLINE u8 fmt_perm(u64 item)
{
	return (item >> AMDV1_PERM_LG2) & PERM_RW;
}

ALWAYS_INLINE u64 fmt_make_leaf(u64 oa, u8 perm, unsigned level, unsigned lg2)
{
	u64 item = AMDV1_PR | oa << FMT_OA_SHIFT | (u64)perm << AMDV1_PERM_LG2;

#ifndef AMDV1_MOCK
	item |= AMDV1_FC;
#endif
	if (lg2 != amdv1_item_lg2(level))
		item |= AMDV1_NEXT_RUN << 9 | ((1ull << (lg2 - FMT_GRANULE_LG2 - 1)) - 1) << 12;
	return item;
}

/* What two neighbouring items' leaves differ by. */
ALWAYS_INLINE u64 fmt_leaf_step(unsigned level)
{
	return 1ull << (amdv1_item_lg2(level) + FMT_OA_SHIFT);
}

ALWAYS_INLINE u64 fmt_make_table(u64 oa, unsigned level)
{
	return AMDV1_PR | (u64)level << 9 | oa << FMT_OA_SHIFT | (u64)PERM_RW << AMDV1_PERM_LG2;
}

/* What tests/fmt runs. */
static const struct pt_cfg fmt_test_cfgs[] = {
#ifdef AMDV1_MOCK
	{.va_bits = 56, .top_level = 2}, /* as the selftest asks for it: granted are 38 bits */
	{.va_bits = 56, .top_level = 2, .pgsize_bitmap = 1ull << 20 | 1ull << 12}, /* its huge mode */
	{.va_bits = 56, .top_level = 2, .features = PT_FEAT_DIRTY, .pgsize_bitmap = 1ull << 11},
	{.va_bits = 0},
#else
	{.va_bits = 64, .top_level = 2, .features = PT_FEAT_DYNAMIC_TOP},
	{.va_bits = 32, .top_level = 2},
	{.va_bits = 48, .oa_bits = 48, .features = PT_FEAT_DIRTY},
	{.va_bits = 39, .pgsize_bitmap = 1ull << 12},
	{.va_bits = 39, .pgsize_bitmap = 1ull << 16 | 1ull << 12},
	{.va_bits = 48, .pgsize_bitmap = 1ull << 16 | 1ull << 22 | 1ull << 30},
	{.va_bits = 0},
#endif
};

#endif
