/* SPDX-License-Identifier: MIT */
/* Mapping: leaves into tables, tables into tables. Part of pt/engine.h. */
#ifndef IOASIS_SRC_PT_ENGINE_MAP_H
#define IOASIS_SRC_PT_ENGINE_MAP_H

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

/*
 * One leaf of an item's size into the hot table of its level. Return: false when it needs the long way,
 * if only to be refused.
 */
ALWAYS_INLINE bool map_one(struct pt *pt, unsigned level, u64 iova, u64 oa, u8 perm)
{
	u64 *item = pt->hot[level].table + index_of(iova, level);
	u64 len = 1ull << item_lg2(level);

	if (unlikely((iova | oa) & (len - 1)) || unlikely(iova > pt->last_iova) ||
	    unlikely(oa > pt->last_oa) || unlikely((u8)(perm - 1) >= PERM_RW) || unlikely(!(pt->pgsizes & len)))
		return false;
	if (unlikely(fmt_present(*item)))
		return false;
	item_store(item, fmt_make_leaf(oa, perm, level, item_lg2(level)));
	++*pt->hot[level].note;
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

	if ((len == GRANULE && likely(hot_find(pt, iova)) &&
	     likely(map_one(pt, 0, iova, oa.v, perm))) ||
	    (len == 1ull << item_lg2(1) && pt->hot[1].tag == iova >> table_lg2(1) &&
	     likely(map_one(pt, 1, iova, oa.v, perm)))) {
		*mapped = len;
		return 0;
	}
	m = (struct map){iova, oa.v, len, perm};
	return map_some(pt, &m, mapped);
}

#endif
