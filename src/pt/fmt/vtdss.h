/* SPDX-License-Identifier: MIT */
/*
 * Intel VT-d second stage, 3 to 5 levels.
 *
 * Source: Intel Virtualization Technology for Directed I/O, sections 3.7 (second-stage translation) and
 * 9.8 (second-stage paging entries). Its names: level 0 SS-PTE, 1 SS-PDE, 2 SS-PDPTE, 3 SS-PML4E,
 * 4 SS-PML5E. There is no present bit: an entry is present when it allows reading or writing.
 */
#ifndef IOASIS_SRC_PT_FMT_VTDSS_H
#define IOASIS_SRC_PT_FMT_VTDSS_H

#include "pt/pt.h"

enum {
	FMT_GRANULE_LG2 = 12,
	FMT_MIN_TOP = 2,
	FMT_WALK_MIN_TOP = 2,
	FMT_MAX_TOP = 4,
	FMT_MAX_VA_BITS = 57,
	FMT_MAX_OA_BITS = 52,
	FMT_FEATURES = PT_FEAT_DIRTY,
	FMT_HAS_RUNS = false,
	FMT_LAST_LEAF_LEVEL = 2, /* SS-PDPTE: 1 GiB */
};

#define VTDSS_R	    (1ull << 0)
#define VTDSS_W	    (1ull << 1)
#define VTDSS_PS    (1ull << 7) /* levels 1 and 2: a leaf; above: reserved */
#define VTDSS_DIRTY (1ull << 9)
#define VTDSS_OA    (((1ull << 52) - 1) & ~(PAGE_SIZE - 1))

#define FMT_DIRTY VTDSS_DIRTY

ALWAYS_INLINE u64 fmt_leaf_sizes(unsigned level)
{
	return level <= FMT_LAST_LEAF_LEVEL ? 1ull << (FMT_GRANULE_LG2 + 9 * level) : 0;
}

ALWAYS_INLINE bool fmt_present(u64 item)
{
	return item & (VTDSS_R | VTDSS_W);
}

ALWAYS_INLINE bool fmt_is_leaf(u64 item, unsigned level)
{
	return level == 0 || (level <= FMT_LAST_LEAF_LEVEL && (item & VTDSS_PS));
}

/* Present, a table, well-formed: one test. */
ALWAYS_INLINE bool fmt_is_table(u64 item, unsigned level)
{
	return ((item & (VTDSS_PS | VTDSS_R | VTDSS_W)) - 1) < PERM_RW;
}

/* A present leaf of its item's size, well-formed. */
ALWAYS_INLINE bool fmt_is_plain_leaf(u64 item, unsigned level)
{
	u64 zero = level ? ((1ull << (FMT_GRANULE_LG2 + 9 * level)) - 1) & VTDSS_OA : 0;

	if (level == 0)
		return item & (VTDSS_R | VTDSS_W);
	return level <= FMT_LAST_LEAF_LEVEL && (item & (VTDSS_R | VTDSS_W)) &&
	       (item & (zero | VTDSS_PS)) == VTDSS_PS;
}

ALWAYS_INLINE bool fmt_is_malformed(u64 item, unsigned level)
{
	if (level > FMT_LAST_LEAF_LEVEL)
		return item & VTDSS_PS;
	return level && (item & VTDSS_PS) &&
	       (item & VTDSS_OA & ((1ull << (FMT_GRANULE_LG2 + 9 * level)) - 1));
}

ALWAYS_INLINE unsigned fmt_leaf_lg2(u64 item, unsigned level)
{
	return FMT_GRANULE_LG2 + 9 * level;
}

ALWAYS_INLINE u64 fmt_leaf_oa(u64 item, unsigned level)
{
	return item & VTDSS_OA;
}

ALWAYS_INLINE u64 fmt_table_oa(u64 item)
{
	return item & VTDSS_OA;
}

/* Of one item, or of all levels' items ANDed. */
ALWAYS_INLINE u8 fmt_perm(u64 item)
{
	static_assert(VTDSS_R == PERM_R && VTDSS_W == PERM_W, "taken over as they are");
	return item & PERM_RW;
}

ALWAYS_INLINE u64 fmt_make_leaf(u64 oa, u8 perm, unsigned level, unsigned lg2)
{
	return oa | perm | (level ? VTDSS_PS : 0);
}

/* What two neighbouring items' leaves differ by. */
ALWAYS_INLINE u64 fmt_leaf_step(unsigned level)
{
	return 1ull << (FMT_GRANULE_LG2 + 9 * level);
}

ALWAYS_INLINE u64 fmt_make_table(u64 oa, unsigned level)
{
	return oa | VTDSS_R | VTDSS_W;
}

/* What tests/fmt runs; the widths are those of SAGAW: 39, 48 and 57 bits. */
static const struct pt_cfg fmt_test_cfgs[] = {
	{.va_bits = 39, .top_level = 2},
	{.va_bits = 48, .top_level = 3},
	{.va_bits = 57, .top_level = 4},
	{.va_bits = 0},
	{.va_bits = 48, .features = PT_FEAT_DIRTY},
	{.va_bits = 42, .oa_bits = 40},
	{.va_bits = 39, .pgsize_bitmap = 1ull << 12},
	{.va_bits = 48, .pgsize_bitmap = 1ull << 12 | 1ull << 30},
	{.va_bits = 48, .pgsize_bitmap = 1ull << 21},
};

#endif
