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

/* --- map -------------------------------------------------------------------------------------- */

/* What is still to be mapped. */
struct map {
	u64 iova;
	u64 oa;
	u64 len;
	u8 perm;
};

/* The largest size in @sizes that both addresses and the length allow; 0: none. */
ALWAYS_INLINE unsigned best_lg2(u64 sizes, u64 addresses, u64 len)
{
	sizes &= addresses ^ (addresses - 1);
	sizes &= (2ull << log2_floor(len)) - 1;
	return sizes ? log2_floor(sizes) : 0;
}

ALWAYS_INLINE unsigned level_of_size(unsigned lg2)
{
	return (lg2 - FMT_GRANULE_LG2) / ITEMS_LG2;
}

/* Whether no leaf larger than an item can appear anywhere in what is left to map. */
ALWAYS_INLINE bool items_only(const struct map *m, u64 sizes, unsigned level)
{
	u64 larger = sizes & ~(1ull << item_lg2(level));
	u64 least = larger & -larger;

	if (!FMT_HAS_RUNS || !larger)
		return true;
	return m->len < least || ((m->iova ^ m->oa) & (least - 1));
}

ALWAYS_INLINE void map_advance(struct map *m, u64 len)
{
	m->iova += len;
	m->oa += len;
	m->len -= len;
}

/* Fill up the table with runs. Return: items written; *@rc as fill(). */
static unsigned fill_runs(u64 *table, unsigned level, struct map *m, u64 sizes, int *rc)
{
	unsigned idx = index_of(m->iova, level), first = idx;

	*rc = 0;
	while (idx < ITEMS && m->len) {
		unsigned lg2 = best_lg2(sizes, m->iova | m->oa, m->len), nr;

		if (!lg2)
			break; /* a size of another level */
		nr = 1u << (lg2 - item_lg2(level));
		if (unlikely(fmt_present(items_or(table + idx, nr)))) {
			*rc = -EADDRINUSE;
			break;
		}
		items_fill(table + idx, nr, fmt_make_leaf(m->oa, m->perm, level, lg2), 0);
		map_advance(m, 1ull << lg2);
		idx += nr;
	}
	return idx - first;
}

/* Write leaves into one table, to its end or to the end of what is to be mapped. */
ALWAYS_INLINE int fill(const struct pt *pt, u64 *table, u16 *note, unsigned level, struct map *m)
{
	u64 sizes = pt->pgsizes & fmt_leaf_sizes(level);
	unsigned idx = index_of(m->iova, level), nr;
	u64 avail;
	int rc = 0;

	if (!items_only(m, sizes, level)) {
		nr = fill_runs(table, level, m, sizes, &rc);
		*note += nr;
		return rc;
	}
	avail = m->len >> item_lg2(level);
	nr = avail < ITEMS - idx ? (unsigned)avail : ITEMS - idx;
	if (note_nr(note) && unlikely(fmt_present(items_or(table + idx, nr))))
		return -EADDRINUSE;
	items_fill(table + idx, nr, fmt_make_leaf(m->oa, m->perm, level, item_lg2(level)),
		   fmt_leaf_step(level));
	map_advance(m, (u64)nr << item_lg2(level));
	*note += nr;
	return 0;
}

/*
 * Make the tables between @parent's free slot and @level, fill the lowest, then link them bottom up: a
 * walker sees nothing or everything.
 */
static NOINLINE int map_new(struct pt *pt, u64 *parent, unsigned parent_level, unsigned level,
			    struct map *m)
{
	u64 *chain[LEVELS_MAX], iova = m->iova;
	unsigned l;
	int rc;

	for (l = parent_level; l > level; l--) {
		chain[l - 1] = new_table(pt, l - 1);
		if (!chain[l - 1])
			goto undo_tables;
	}
	rc = fill(pt, chain[level], note_of(pt->mem, chain[level]), level, m);
	assert(!rc); /* it was empty */
	chain[parent_level] = parent;
	for (l = level + 1; l <= parent_level; l++) {
		item_store(&chain[l][index_of(iova, l)],
			   fmt_make_table(table_oa(pt->mem, chain[l - 1]).v, l));
		++*note_of(pt->mem, chain[l]);
	}
	return 0;

undo_tables:
	for (; l < parent_level; l++)
		drop_unlinked(pt, chain[l]);
	return -ENOMEM;
}

ALWAYS_INLINE void hot_set(struct pt *pt, unsigned level, u64 iova, u64 *table)
{
	if (level >= ARRAY_SIZE(pt->hot))
		return;
	pt->hot[level] = (struct pt_hot){iova >> table_lg2(level), table, note_of(pt->mem, table)};
}

/*
 * Go down from the root (or the hot table of level 1) towards the table of @level over @iova.
 * Return: the level reached, with the table in *@out; above @level when the slot is not a table.
 */
ALWAYS_INLINE unsigned descend(struct pt *pt, u64 iova, unsigned level, u64 **out)
{
	u64 *table = pt->root;
	unsigned l = pt->top_level;

	if (level <= 1 && pt->hot[1].tag == iova >> table_lg2(1)) {
		table = pt->hot[1].table;
		l = 1;
	}
	while (l > level) {
		u64 item = table[index_of(iova, l)];
		u64 *child;

		if (!fmt_present(item) || fmt_is_leaf(item, l))
			break;
		child = child_of(pt->mem, item);
		if (unlikely(!child) || unlikely(!note_is_level(note_of(pt->mem, child), l - 1)))
			break;
		table = child;
		l--;
		if (l == 1)
			hot_set(pt, 1, iova, table);
	}
	*out = table;
	return l;
}

/* Map what one table holds of @m. */
static int map_step(struct pt *pt, struct map *m)
{
	unsigned level = level_of_size(best_lg2(pt->pgsizes, m->iova | m->oa, m->len));
	u64 *table, iova = m->iova;
	unsigned l = descend(pt, iova, level, &table);

	if (l > level) {
		if (fmt_present(table[index_of(iova, l)]))
			return -EADDRINUSE;
		return map_new(pt, table, l, level, m);
	}
	hot_set(pt, level, iova, table);
	return fill(pt, table, note_of(pt->mem, table), level, m);
}

/* The highest IOVA that the tables reach as they are. */
static u64 top_last(const struct pt *pt)
{
	return last_of(0, table_lg2(pt->top_level));
}

/* The highest IOVA that can be mapped now. */
static u64 reach(const struct pt *pt)
{
	u64 last = top_last(pt);

	return min(last, pt->last_iova);
}

/* Put a root over the root. An empty one just changes its level: there is nothing to link. */
static int grow_top(struct pt *pt)
{
	u16 *note = note_of(pt->mem, pt->root);
	u64 *root;

	if (!note_nr(note)) {
		pt->hot[0].tag = pt->hot[1].tag = PT_HOT_NONE;
		*note = (u16)((++pt->top_level + 1) << NOTE_LEVEL_SHIFT);
		publish_top(pt);
		return 0;
	}
	root = new_table(pt, pt->top_level + 1);
	if (!root)
		return -ENOMEM;
	root[0] = fmt_make_table(table_oa(pt->mem, pt->root).v, pt->top_level + 1);
	++*note_of(pt->mem, root);
	pt->root = root;
	pt->top_level++;
	publish_top(pt);
	return 0;
}

static int map_check(const struct pt *pt, u64 iova, u64 oa, u64 len, u8 perm)
{
	u64 least = pt->pgsizes & -pt->pgsizes;

	if (!len || !perm || (perm & ~PERM_RW) || ((iova | oa | len) & (least - 1)))
		return -EINVAL;
	if (iova > pt->last_iova || len - 1 > pt->last_iova - iova)
		return -ERANGE;
	if (oa > pt->last_oa || len - 1 > pt->last_oa - oa)
		return -ERANGE;
	return 0;
}

static NOINLINE int map_range(struct pt *pt, struct map *m)
{
	unsigned level;
	int rc = map_check(pt, m->iova, m->oa, m->len, m->perm);

	if (rc)
		return rc;
	level = level_of_size(best_lg2(pt->pgsizes, m->iova | m->oa, m->len));
	while (m->iova + (m->len - 1) > top_last(pt) || level > pt->top_level) {
		rc = grow_top(pt);
		if (rc)
			return rc;
	}
	while (m->len) {
		rc = map_step(pt, m);
		if (rc)
			return rc;
	}
	return 0;
}

/* Make the table of level 0 over @iova the hot one. Return: false when there is none. */
ALWAYS_INLINE bool hot_find(struct pt *pt, u64 iova)
{
	u64 *table;

	if (likely(pt->hot[0].tag == iova >> table_lg2(0)))
		return true;
	if (unlikely(iova > reach(pt)) || unlikely(descend(pt, iova, 0, &table)))
		return false;
	hot_set(pt, 0, iova, table);
	return true;
}

/* One granule into the hot table. Return: false when it needs the long way, if only to be refused. */
ALWAYS_INLINE bool map_one(struct pt *pt, u64 iova, u64 oa, u8 perm)
{
	u64 *item = pt->hot[0].table + index_of(iova, 0);

	if (unlikely((iova | oa) & (GRANULE - 1)) || unlikely(oa > pt->last_oa) ||
	    unlikely((u8)(perm - 1) >= PERM_RW) || unlikely(!(pt->pgsizes & GRANULE)))
		return false;
	if (unlikely(fmt_present(*item)))
		return false;
	item_store(item, fmt_make_leaf(oa, perm, 0, FMT_GRANULE_LG2));
	++*pt->hot[0].note;
	return true;
}

static NOINLINE int map_some(struct pt *pt, struct map *m, u64 *mapped)
{
	u64 len = m->len;
	int rc;

	/* Within one table of level 0 that exists: no size of another level can fit. */
	if (len < 1ull << table_lg2(0) &&
	    m->iova >> table_lg2(0) == (m->iova + len - 1) >> table_lg2(0) &&
	    !map_check(pt, m->iova, m->oa, len, m->perm) && hot_find(pt, m->iova))
		rc = fill(pt, pt->hot[0].table, pt->hot[0].note, 0, m);
	else
		rc = map_range(pt, m);
	*mapped = len - m->len;
	return rc;
}

static int PT(map)(struct pt *pt, u64 iova, oa_t oa, u64 len, u8 perm, u64 *mapped)
{
	struct map m;

	if (len == GRANULE && likely(hot_find(pt, iova)) && likely(map_one(pt, iova, oa.v, perm))) {
		*mapped = len;
		return 0;
	}
	m = (struct map){iova, oa.v, len, perm};
	return map_some(pt, &m, mapped);
}

/* --- unmap ------------------------------------------------------------------------------------ */

struct unmap {
	struct pt *pt;
	struct pt_gather *g;
	u64 start;
	u64 last;
	u64 bytes;
	bool stop; /* met a leaf that sticks out */
};

static unsigned count_present(const u64 *item, unsigned nr)
{
	unsigned present = 0;

	if (fmt_present(items_and(item, nr)))
		return nr;
	for (unsigned i = 0; i < nr; i++)
		present += fmt_present(item[i]);
	return present;
}

/* A table whose slot was just cleared, and all below it. Return: bytes that were mapped. */
static u64 gather_subtree(struct pt *pt, u64 *table, unsigned level, struct pt_gather *g)
{
	u64 bytes = 0;

	if (!level) {
		bytes = (u64)note_nr(note_of(pt->mem, table)) << FMT_GRANULE_LG2;
		g->min_leaf_lg2 = min(g->min_leaf_lg2, (u8)FMT_GRANULE_LG2);
		gather_table(pt, table, g);
		return bytes;
	}
	for (unsigned i = 0; i < ITEMS; i++) {
		u64 item = table[i], *child;

		if (!fmt_present(item))
			continue;
		if (fmt_is_leaf(item, level)) {
			bytes += 1ull << item_lg2(level);
			g->min_leaf_lg2 = min(g->min_leaf_lg2, (u8)item_lg2(level));
			continue;
		}
		child = child_of(pt->mem, item);
		if (child && note_is_level(note_of(pt->mem, child), level - 1))
			bytes += gather_subtree(pt, child, level - 1, g);
	}
	gather_table(pt, table, g);
	return bytes;
}

/* A leaf whose encoding makes no sense here (memory was changed) counts as its item alone. */
ALWAYS_INLINE unsigned leaf_lg2(u64 item, unsigned level)
{
	if (!FMT_HAS_RUNS || unlikely(fmt_is_malformed(item, level)))
		return item_lg2(level);
	return fmt_leaf_lg2(item, level);
}

ALWAYS_INLINE bool is_table(u64 item, unsigned level)
{
	return level && fmt_present(item) && !fmt_is_leaf(item, level);
}

/* Clear [start, last] of one table, where there are leaves and holes only. */
static void unmap_leaves(struct unmap *u, u64 *table, unsigned level, u64 start, u64 last)
{
	unsigned i = index_of(start, level), j = index_of(last, level), nr;
	unsigned lg2 = item_lg2(level);

	if (fmt_present(table[i])) {
		lg2 = leaf_lg2(table[i], level);
		if (start & ((1ull << lg2) - 1)) {
			u->stop = true;
			return;
		}
	}
	if (fmt_present(table[j]) && last_of(last, leaf_lg2(table[j], level)) != last) {
		u->stop = true;
		last = align_down(last, 1ull << leaf_lg2(table[j], level)) - 1;
		if (last == start - 1)
			return;
		j = index_of(last, level);
	}
	nr = count_present(table + i, j - i + 1);
	if (!nr)
		return;
	items_fill(table + i, j - i + 1, 0, 0);
	*note_of(u->pt->mem, table) -= nr;
	u->bytes += (u64)nr << item_lg2(level);
	gather_leaves(u->g, start, last, last - start == (1ull << lg2) - 1 ? lg2 : item_lg2(level));
}

static void unmap_table(struct unmap *u, u64 *table, unsigned level, u64 start, u64 last);

/* The table that @slot names: all of it, or the part that [start, last] touches. */
static void unmap_child(struct unmap *u, u64 *slot, unsigned level, u64 start, u64 last)
{
	u64 *child = child_of(u->pt->mem, *slot);
	u16 *note;

	if (unlikely(!child))
		return;
	note = note_of(u->pt->mem, child);
	if (unlikely(!note_is_level(note, level - 1)))
		return;
	if (last - start != (1ull << item_lg2(level)) - 1) {
		unmap_table(u, child, level - 1, start, last);
		if (note_nr(note))
			return;
	}
	item_store(slot, 0);
	--*note_of(u->pt->mem, slot);
	if (note_nr(note))
		gather_leaves(u->g, start, last, FMT_GRANULE_LG2);
	u->bytes += gather_subtree(u->pt, child, level - 1, u->g);
}

/* Up to where from @start on there is no table. */
static u64 leaves_last(const u64 *table, unsigned level, u64 start, u64 last)
{
	u64 seg_last = last_of(start, item_lg2(level));

	if (!level)
		return last;
	while (seg_last < last && !is_table(table[index_of(seg_last + 1, level)], level))
		seg_last += 1ull << item_lg2(level);
	return min(seg_last, last);
}

/* [start, last] lies within @table. */
static void unmap_table(struct unmap *u, u64 *table, unsigned level, u64 start, u64 last)
{
	while (!u->stop) {
		u64 *slot = table + index_of(start, level), done;

		if (is_table(*slot, level)) {
			done = min(last, last_of(start, item_lg2(level)));
			unmap_child(u, slot, level, start, done);
		} else {
			done = leaves_last(table, level, start, last);
			unmap_leaves(u, table, level, start, done);
		}
		if (done == last)
			return;
		start = done + 1;
	}
}

/*
 * An unmap that lies within the hot table of level 0 or of level 1. Return: false when it needs the long
 * way, or the rest of it: a table was emptied.
 */
ALWAYS_INLINE bool unmap_hot(struct unmap *u)
{
	struct pt *pt = u->pt;
	u64 differ = u->start ^ u->last;
	u64 *table;

	if (!(differ >> table_lg2(0)) && likely(hot_find(pt, u->start))) {
		unmap_leaves(u, pt->hot[0].table, 0, u->start, u->last);
		return note_nr(pt->hot[0].note);
	}
	if (differ >> table_lg2(1) || pt->hot[1].tag != u->start >> table_lg2(1))
		return false;
	table = pt->hot[1].table;
	unmap_table(u, table, 1, u->start, u->last);
	return note_nr(note_of(pt->mem, table));
}

/* One granule: the common call. */
ALWAYS_INLINE bool unmap_one(struct pt *pt, u64 start, u64 last, struct pt_gather *g)
{
	u64 *item;

	if (last - start != GRANULE - 1 || unlikely(start & (GRANULE - 1)) ||
	    unlikely(!hot_find(pt, start)) || unlikely(note_nr(pt->hot[0].note) <= 1))
		return false;
	item = pt->hot[0].table + index_of(start, 0);
	if (unlikely(!fmt_present(*item)) || unlikely(leaf_lg2(*item, 0) != FMT_GRANULE_LG2))
		return false;
	item_store(item, 0);
	--*pt->hot[0].note;
	gather_leaves(g, start, last, FMT_GRANULE_LG2);
	return true;
}

static NOINLINE u64 unmap_some(struct pt *pt, u64 start, u64 last, struct pt_gather *g)
{
	struct unmap u = {pt, g, start, last, 0, false};

	if (unmap_hot(&u))
		return u.bytes;
	u.last = min(last, reach(pt));
	if (start <= u.last && !u.stop)
		unmap_table(&u, pt->root, pt->top_level, start, u.last);
	return u.bytes;
}

static u64 PT(unmap)(struct pt *pt, u64 start, u64 last, struct pt_gather *g)
{
	if (likely(unmap_one(pt, start, last, g)))
		return GRANULE;
	return unmap_some(pt, start, last, g);
}

/* --- look-ups --------------------------------------------------------------------------------- */

/* A walk under way: what it has seen so far. */
struct walk {
	u64 iova;
	const u64 *table;
	u64 table_oa;
	u64 granted; /* items seen, ANDed */
};

/* Where tables can be: read once, since an acquiring load makes the compiler read again. */
struct walk_pool {
	u8 *host;
	u64 base, len;
};

enum walk_verdict {
	WALK_DOWN = 1, /* else 0: found, or -errno */
	WALK_OUT,      /* to a table that is not in the pool */
};

ALWAYS_INLINE struct walk_pool walk_pool_of(const struct mem *mem)
{
	return (struct walk_pool){mem->tables.host, mem->tables.base, mem->tables.len};
}

/* Turn w->table_oa into w->table. Return: false when it is not in the pool, all of which can be read. */
ALWAYS_INLINE bool walk_enter(struct walk *w, struct walk_pool pool)
{
	u64 off = w->table_oa - pool.base;

	/* Aligned to a page, which fmt_is_table() saw to: one compare is enough. */
	w->table = (const u64 *)(pool.host + off);
	return likely(off < pool.len);
}

ALWAYS_INLINE void walk_found(const struct walk *w, u64 item, unsigned level, unsigned lg2,
			      struct pt_leaf *out)
{
	u64 offset = w->iova & ((1ull << lg2) - 1);

	out->oa = OA(fmt_leaf_oa(item, level) + offset);
	out->last = last_of(w->iova, lg2);
	out->lg2 = (u8)lg2;
	out->level = (u8)level;
	out->perm = fmt_perm(w->granted & item);
	out->dirty = item & FMT_DIRTY;
	out->item = OA(w->table_oa + index_of(w->iova, level) * sizeof(u64));
}

/* What an item says that is no plain table. Return: 0 found, or -errno. */
ALWAYS_INLINE int walk_leaf(const struct walk *w, u64 item, unsigned level, struct pt_leaf *out)
{
	if (likely(fmt_is_plain_leaf(item, level))) {
		walk_found(w, item, level, item_lg2(level), out);
		return 0;
	}
	if (!fmt_present(item))
		return -ENOENT;
	if (!FMT_HAS_RUNS || fmt_is_malformed(item, level) || !fmt_is_leaf(item, level))
		return -EINVAL;
	walk_found(w, item, level, fmt_leaf_lg2(item, level), out);
	return 0;
}

ALWAYS_INLINE int walk_item(struct walk *w, struct walk_pool pool, unsigned level,
			    struct pt_leaf *out)
{
	u64 item = item_load(w->table + index_of(w->iova, level));

	if (!level || unlikely(!fmt_is_table(item, level)))
		return walk_leaf(w, item, level, out);
	w->granted &= item;
	w->table_oa = fmt_table_oa(item);
	return likely(walk_enter(w, pool)) ? WALK_DOWN : WALK_OUT;
}

/* Unrolled, so that levels and shifts are constants; levels above the top are skipped. */
ALWAYS_INLINE int walk_from(struct walk *w, struct walk_pool pool, unsigned top_level,
			    struct pt_leaf *out)
{
	int rc;

#define WALK_LEVEL(level)                                                                          \
	if ((level) <= FMT_MAX_TOP && ((level) <= FMT_WALK_MIN_TOP || top_level >= (level))) {     \
		rc = walk_item(w, pool, level, out);                                               \
		if (rc != WALK_DOWN)                                                               \
			return rc;                                                                 \
	}
	WALK_LEVEL(5)
	WALK_LEVEL(4)
	WALK_LEVEL(3)
	WALK_LEVEL(2)
	WALK_LEVEL(1)
#undef WALK_LEVEL
	return walk_item(w, pool, 0, out);
}

/* One item of a table that may lie in a client's memory, which can go away at any time. */
static int item_read(const struct mem *mem, u64 oa, u64 *item)
{
	const u64 *at = table_at(mem, OA(oa), sizeof(*item));

	if (!at || copy_guarded(item, at, sizeof(*item)))
		return -EIO;
	return 0;
}

/* The whole walk again when a table is not in the pool: a guest's, or a corrupt item. */
static NOINLINE int walk_guarded(const struct mem *mem, oa_t root, unsigned level, u64 iova,
				 struct pt_leaf *out)
{
	struct walk w = {iova, NULL, root.v, UINT64_MAX};

	for (;; level--) {
		u64 item;
		int rc = item_read(mem, w.table_oa + index_of(iova, level) * sizeof(item), &item);

		if (rc)
			return rc;
		if (!level || !fmt_is_table(item, level))
			return walk_leaf(&w, item, level, out);
		w.granted &= item;
		w.table_oa = fmt_table_oa(item);
	}
}

ALWAYS_INLINE bool can_walk(unsigned top_level)
{
	return top_level - FMT_WALK_MIN_TOP <= FMT_MAX_TOP - FMT_WALK_MIN_TOP;
}

/* Whether @iova lies beyond what a table of @top_level translates. */
ALWAYS_INLINE bool beyond_top(u64 iova, unsigned top_level)
{
	unsigned lg2 = table_lg2(top_level);

	return lg2 < 64 && iova >> lg2;
}

int PT(walk)(const struct mem *mem, oa_t root, unsigned top_level, u64 iova, struct pt_leaf *out)
{
	struct walk_pool pool = walk_pool_of(mem);
	struct walk w = {iova, NULL, root.v, UINT64_MAX};
	int rc = WALK_OUT;

	if (unlikely(!can_walk(top_level)) || unlikely(root.v & (TABLE_LEN - 1)))
		return -EINVAL;
	if (unlikely(beyond_top(iova, top_level)))
		return -ENOENT;
	if (likely(walk_enter(&w, pool)))
		rc = walk_from(&w, pool, top_level, out);
	return likely(rc <= 0) ? rc : walk_guarded(mem, root, top_level, iova, out);
}

static oa_t PT(iova_to_oa)(const struct pt *pt, u64 iova)
{
	uintptr_t top = atomic_load_explicit(&pt->top, memory_order_acquire);
	unsigned top_level = top & (TABLE_LEN - 1);
	struct walk w = {iova, (const u64 *)(top - top_level), 0, UINT64_MAX};
	struct pt_leaf leaf;

	if (unlikely(iova > pt->last_iova) ||
	    (FMT_FEATURES & PT_FEAT_DYNAMIC_TOP && unlikely(beyond_top(iova, top_level))) ||
	    unlikely(walk_from(&w, walk_pool_of(pt->mem), top_level, &leaf)))
		return OA_NONE;
	return leaf.oa;
}

static unsigned PT(steps)(const struct mem *mem, oa_t root, unsigned top_level, u64 iova,
			  struct pt_step *out, unsigned max)
{
	unsigned nr = 0, level = top_level;
	u64 table_oa = root.v;

	if (!can_walk(top_level) || (root.v & (TABLE_LEN - 1)) || beyond_top(iova, top_level))
		return 0;
	while (nr < max) {
		unsigned idx = index_of(iova, level);
		u64 item;

		if (item_read(mem, table_oa + idx * sizeof(item), &item))
			break;
		out[nr] = (struct pt_step){
			.level = (u8)level,
			.lg2 = (u8)item_lg2(level),
			.index = (u16)idx,
			.item = OA(table_oa + idx * sizeof(u64)),
			.raw = item,
			.present = fmt_present(item),
			.leaf = fmt_present(item) && fmt_is_leaf(item, level),
			.perm = fmt_perm(item),
		};
		table_oa = fmt_table_oa(item);
		if (out[nr].leaf)
			out[nr].oa = OA(fmt_leaf_oa(item, level));
		else if (out[nr].present)
			out[nr].oa = OA(table_oa);
		nr++;
		if (!out[nr - 1].present || out[nr - 1].leaf || fmt_is_malformed(item, level--))
			break;
	}
	return nr;
}

/* --- dirty ------------------------------------------------------------------------------------ */

struct dirty {
	struct pt *pt;
	struct pt_gather *g; /* NULL: leave the bits set */
	u64 start;
	u64 last;
	pt_dirty_fn fn;
	void *arg;
	/* Adjacent leaves are reported as one run. */
	u64 run_start;
	u64 run_last; /* < run_start: none */
};

static void dirty_report(struct dirty *d)
{
	if (d->run_start <= d->run_last)
		d->fn(d->arg, d->run_start, d->run_last - d->run_start + 1);
	d->run_start = 1;
	d->run_last = 0;
}

static void dirty_add(struct dirty *d, u64 start, u64 last, unsigned lg2)
{
	start = max(start, d->start);
	last = min(last, d->last);
	if (d->g)
		gather_leaves(d->g, start, last, lg2);
	if (d->run_start <= d->run_last && d->run_last + 1 == start) {
		d->run_last = last;
		return;
	}
	dirty_report(d);
	d->run_start = start;
	d->run_last = last;
}

/* The leaf at index @idx of @table. Return: the index behind it. */
static unsigned dirty_leaf(struct dirty *d, u64 *table, unsigned level, unsigned idx, u64 iova)
{
	unsigned lg2 = leaf_lg2(table[idx], level);
	unsigned nr = 1u << (lg2 - item_lg2(level)), first = idx & ~(nr - 1);

	if (!(items_or(table + first, nr) & FMT_DIRTY))
		return first + nr;
	if (d->g)
		for (unsigned i = first; i < first + nr; i++)
			if (item_load(table + i) & FMT_DIRTY)
				__atomic_fetch_and(table + i, ~FMT_DIRTY, __ATOMIC_RELAXED);
	dirty_add(d, align_down(iova, 1ull << lg2), last_of(iova, lg2), lg2);
	return first + nr;
}

/* [start, last] lies within @table. */
static void dirty_table(struct dirty *d, u64 *table, unsigned level, u64 start, u64 last)
{
	u64 base = start - ((u64)index_of(start, level) << item_lg2(level));
	unsigned idx = index_of(start, level), end = index_of(last, level) + 1;

	base = align_down(base, 1ull << item_lg2(level));
	while (idx < end) {
		u64 iova = base + ((u64)idx << item_lg2(level));

		if (!level && end - idx >= 16 && !(items_or(table + idx, 16) & FMT_DIRTY)) {
			idx += 16;
		} else if (is_table(table[idx], level)) {
			u64 *child = child_of(d->pt->mem, table[idx]);

			if (child && note_is_level(note_of(d->pt->mem, child), level - 1))
				dirty_table(d, child, level - 1, max(iova, start),
					    min(last, last_of(iova, item_lg2(level))));
			idx++;
		} else if (fmt_present(table[idx])) {
			idx = dirty_leaf(d, table, level, idx, iova);
		} else {
			idx++;
		}
	}
}

static void PT(dirty)(struct pt *pt, u64 start, u64 last, unsigned flags, pt_dirty_fn fn, void *arg,
		      struct pt_gather *g)
{
	struct dirty d = {
		.pt = pt,
		.g = flags & PT_DIRTY_NO_CLEAR ? NULL : g,
		.start = start,
		.last = min(last, reach(pt)),
		.fn = fn,
		.arg = arg,
		.run_start = 1,
	};

	if (start > d.last)
		return;
	dirty_table(&d, pt->root, pt->top_level, start, d.last);
	dirty_report(&d);
}

/* As hardware does it: the item may go meanwhile, and must not come back. */
static bool set_dirty_at(u64 *item)
{
	u64 old = item_load(item);

	do {
		if (!fmt_present(old))
			return false;
	} while (!__atomic_compare_exchange_n(item, &old, old | FMT_DIRTY, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

void PT(leaf_set_dirty)(const struct mem *mem, const struct pt_leaf *leaf)
{
	u64 off = leaf->item.v - mem->tables.base, *at, old;

	if (likely(off < mem->tables.len)) {
		set_dirty_at((u64 *)(mem->tables.host + off));
		return;
	}
	at = table_at(mem, leaf->item, sizeof(*at));
	if (!at || copy_guarded(&old, at, sizeof(old)))
		return;
	while (fmt_present(old)) {
		u64 seen = old;

		if (cmpxchg_guarded(at, &seen, old | FMT_DIRTY, sizeof(seen)) || seen == old)
			return;
		old = seen;
	}
}

static bool PT(set_dirty)(struct pt *pt, u64 iova)
{
	struct pt_leaf leaf;

	if (iova > pt->last_iova ||
	    PT(walk)(pt->mem, table_oa(pt->mem, pt->root), pt->top_level, iova, &leaf))
		return false;
	PT(leaf_set_dirty)(pt->mem, &leaf);
	return true;
}

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
