/* SPDX-License-Identifier: MIT */
/*
 * The page-table engine: map, unmap, walk and dirty, written once.
 *
 * A format's .c defines PT_FMT (the prefix of its symbols), includes the format's header and then this
 * file; everything below is compiled for that format alone, levels and shifts being constants where
 * it matters. What a format provides is in any header of fmt/: the FMT_ constants and fmt_ functions.
 *
 * Rules that the code below leans on:
 * - A table other than the root is linked only while it has present items. The number of them lies in
 *   the pool's note of that page, with the level: unmap knows an empty table, and what a whole table
 *   had mapped, without reading it; a large leaf over a table is a collision without looking into it.
 * - A table is filled before it is linked (release), and its slot is cleared before it is gathered.
 * - Writers trust a table item only as far as the pool's bounds and the note: an item that was changed
 *   behind our back can lose mappings, it cannot make us write outside of our tables.
 */
#ifndef IOASIS_SRC_PT_ENGINE_H
#define IOASIS_SRC_PT_ENGINE_H

#include "pt/items.h"

#define PT_CAT_(a, b) a##_##b
#define PT_CAT(a, b)  PT_CAT_(a, b)
#define PT(verb)      PT_CAT(PT_FMT, verb)
#define PT_STR_(a)    #a
#define PT_STR(a)     PT_STR_(a)

enum {
	ITEMS_LG2 = 9,
	ITEMS = 1 << ITEMS_LG2,
	TABLE_LEN = 4096,
	LEVELS_MAX = 6,
	NOTE_LEVEL_SHIFT = 12, /* note: level + 1 above, present items below */
	NOTE_NR_MASK = (1 << NOTE_LEVEL_SHIFT) - 1,
};

#define GRANULE	    (1ull << FMT_GRANULE_LG2)
#define PT_HOT_NONE UINT64_MAX

ALWAYS_INLINE unsigned item_lg2(unsigned level)
{
	return FMT_GRANULE_LG2 + ITEMS_LG2 * level;
}

ALWAYS_INLINE unsigned table_lg2(unsigned level)
{
	return item_lg2(level + 1);
}

ALWAYS_INLINE unsigned index_of(u64 iova, unsigned level)
{
	return (iova >> item_lg2(level)) & (ITEMS - 1);
}

/* Last address of the 2^lg2 bytes, aligned, that @x lies in. */
ALWAYS_INLINE u64 last_of(u64 x, unsigned lg2)
{
	return lg2 >= 64 ? UINT64_MAX : x | ((1ull << lg2) - 1);
}

/* --- tables ----------------------------------------------------------------------------------- */

ALWAYS_INLINE u16 *note_of(const struct mem *mem, const u64 *table)
{
	return &mem->tables.note[(u64)((const u8 *)table - mem->tables.host) / TABLE_LEN];
}

ALWAYS_INLINE unsigned note_nr(const u16 *note)
{
	return *note & NOTE_NR_MASK;
}

ALWAYS_INLINE bool note_is_level(const u16 *note, unsigned level)
{
	return *note >> NOTE_LEVEL_SHIFT == level + 1;
}

/* The table that @item names, if it lies in the pool; NULL: somebody changed the item. */
ALWAYS_INLINE u64 *child_of(const struct mem *mem, u64 item)
{
	u64 off = fmt_table_oa(item) - mem->tables.base;

	if (unlikely(off >= mem->tables.len))
		return NULL;
	return (u64 *)(mem->tables.host + (off & ~(u64)(TABLE_LEN - 1)));
}

static u64 *new_table(struct pt *pt, unsigned level)
{
	u64 *table = table_alloc(pt->mem);

	if (!table)
		return NULL;
	*note_of(pt->mem, table) = (u16)((level + 1) << NOTE_LEVEL_SHIFT);
	atomic_store_explicit(&pt->nr_tables,
			      atomic_load_explicit(&pt->nr_tables, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	return table;
}

/* The page is no table any more; who may still read it is the caller's affair. */
static void forget_table(struct pt *pt, u64 *table)
{
	*note_of(pt->mem, table) = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(pt->hot); i++)
		if (pt->hot[i].table == table)
			pt->hot[i] = (struct pt_hot){.tag = PT_HOT_NONE};
	atomic_store_explicit(&pt->nr_tables,
			      atomic_load_explicit(&pt->nr_tables, memory_order_relaxed) - 1,
			      memory_order_relaxed);
}

static void drop_unlinked(struct pt *pt, u64 *table)
{
	forget_table(pt, table);
	table_free(pt->mem, table);
}

static void gather_table(struct pt *pt, u64 *table, struct pt_gather *g)
{
	forget_table(pt, table);
	/* A host address, page aligned: walkers that are late take it for an item not present. */
	item_store(&table[0], (u64)(uintptr_t)g->free);
	if (!g->free)
		g->free_last = table;
	g->free = table;
	g->nr_free++;
	g->tables = true;
}

ALWAYS_INLINE void gather_leaves(struct pt_gather *g, u64 start, u64 last, unsigned lg2)
{
	g->start = min(g->start, start);
	g->last = max(g->last, last);
	if (lg2 < g->min_leaf_lg2)
		g->min_leaf_lg2 = (u8)lg2;
}

static void publish_top(struct pt *pt)
{
	atomic_store_explicit(&pt->top, (uintptr_t)pt->root | pt->top_level, memory_order_release);
}

#include "pt/engine_map.h"
#include "pt/engine_unmap.h"
#include "pt/engine_walk.h"
#include "pt/engine_dirty.h"

/* --- life ------------------------------------------------------------------------------------- */

/* The sizes that levels up to @top_level can make, as Linux's generic_pt counts them: none as large as
 * half the space, none that the OA cannot express. */
static u64 possible_sizes(unsigned top_level, unsigned va_bits, unsigned oa_bits)
{
	u64 sizes = 0;

	for (unsigned level = 0; level <= top_level; level++)
		sizes |= fmt_leaf_sizes(level);
	return sizes & ((1ull << (va_bits - 1)) - 1) & ((1ull << oa_bits) - 1);
}

/* The lowest top level that translates @va_bits. */
static unsigned top_for(unsigned va_bits)
{
	unsigned level = FMT_MIN_TOP;

	while (level < FMT_MAX_TOP && table_lg2(level) < va_bits)
		level++;
	return level;
}

/* Turn what was asked for into what is granted. */
static int grant(struct pt_cfg *cfg)
{
	unsigned reach;

	if (cfg->features & ~(unsigned)FMT_FEATURES)
		return -EOPNOTSUPP;
	if (cfg->va_bits > FMT_MAX_VA_BITS || cfg->oa_bits > FMT_MAX_OA_BITS ||
	    (cfg->top_level && cfg->top_level < FMT_MIN_TOP) || cfg->top_level > FMT_MAX_TOP)
		return -EINVAL;
	if (!cfg->va_bits)
		cfg->va_bits = FMT_MAX_VA_BITS;
	if (!cfg->oa_bits)
		cfg->oa_bits = FMT_MAX_OA_BITS;
	if (!cfg->top_level)
		cfg->top_level = top_for(cfg->va_bits);
	reach = table_lg2(cfg->top_level);
	if (!(cfg->features & PT_FEAT_DYNAMIC_TOP) && cfg->va_bits > reach)
		cfg->va_bits = reach;
	if (cfg->va_bits <= FMT_GRANULE_LG2 + 1 || cfg->oa_bits <= FMT_GRANULE_LG2)
		return -EINVAL;
	return 0;
}

static u64 PT(pgsizes)(const struct pt *pt)
{
	return pt->pgsizes;
}

static int PT(init)(struct pt *pt)
{
	unsigned top;
	int rc = grant(&pt->cfg);

	if (rc)
		return rc;
	top = pt->cfg.features & PT_FEAT_DYNAMIC_TOP ? top_for(pt->cfg.va_bits) : pt->cfg.top_level;
	pt->pgsizes = possible_sizes(top, pt->cfg.va_bits, pt->cfg.oa_bits);
	if (pt->cfg.pgsize_bitmap)
		pt->pgsizes &= pt->cfg.pgsize_bitmap;
	if (!pt->pgsizes)
		return -EINVAL;
	pt->cfg.pgsize_bitmap = pt->pgsizes;
	pt->top_level = pt->cfg.top_level;
	pt->last_iova = last_of(0, pt->cfg.va_bits);
	pt->last_oa = last_of(0, pt->cfg.oa_bits);
	pt->hot[0].tag = pt->hot[1].tag = PT_HOT_NONE;
	pt->root = new_table(pt, pt->top_level);
	if (!pt->root)
		return -ENOMEM;
	publish_top(pt);
	return 0;
}

static void PT(fini)(struct pt *pt)
{
	struct pt_gather g;

	pt_gather_init(&g);
	gather_subtree(pt, pt->root, pt->top_level, &g);
	pt_gather_free(pt->mem, &g);
}

const struct pt_fmt PT_CAT(pt, PT_FMT) = {
	.name = PT_STR(PT_FMT),
	.max_va_bits = FMT_MAX_VA_BITS,
	.max_oa_bits = FMT_MAX_OA_BITS,
	.item_len = sizeof(u64),
	.granule_lg2 = FMT_GRANULE_LG2,
	.features = FMT_FEATURES,
	.test_cfgs = fmt_test_cfgs,
	.nr_test_cfgs = ARRAY_SIZE(fmt_test_cfgs),
	.pgsizes = PT(pgsizes),
	.init = PT(init),
	.fini = PT(fini),
	.map = PT(map),
	.unmap = PT(unmap),
	.iova_to_oa = PT(iova_to_oa),
	.dirty = PT(dirty),
	.set_dirty = PT(set_dirty),
	.walk = PT(walk),
	.steps = PT(steps),
};

#endif
