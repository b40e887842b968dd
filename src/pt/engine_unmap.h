/* SPDX-License-Identifier: MIT */
/* Unmapping: leaves out of tables, empty tables to the gather. Part of pt/engine.h. */
#ifndef IOASIS_SRC_PT_ENGINE_UNMAP_H
#define IOASIS_SRC_PT_ENGINE_UNMAP_H

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

/* One leaf of an item's size, not its table's last, out of the hot table of its level. */
ALWAYS_INLINE bool unmap_one(struct pt *pt, unsigned level, u64 start, u64 last, struct pt_gather *g)
{
	const struct pt_hot *hot = &pt->hot[level];
	u64 *item = hot->table + index_of(start, level);

	if (unlikely(start & ((1ull << item_lg2(level)) - 1)) || unlikely(note_nr(hot->note) <= 1))
		return false;
	if (unlikely(!fmt_present(*item)) || unlikely(!fmt_is_leaf(*item, level)) ||
	    unlikely(leaf_lg2(*item, level) != item_lg2(level)))
		return false;
	item_store(item, 0);
	--*hot->note;
	gather_leaves(g, start, last, item_lg2(level));
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
	u64 len = last - start + 1; /* 0: all of a 64-bit space */

	if ((len == GRANULE && likely(hot_find(pt, start)) &&
	     likely(unmap_one(pt, 0, start, last, g))) ||
	    (len == 1ull << item_lg2(1) && pt->hot[1].tag == start >> table_lg2(1) &&
	     likely(unmap_one(pt, 1, start, last, g))))
		return len;
	return unmap_some(pt, start, last, g);
}

#endif
