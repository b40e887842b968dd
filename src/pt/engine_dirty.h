/* SPDX-License-Identifier: MIT */
/* Dirty bits: read and clear, and set as hardware does. Part of pt/engine.h. */
#ifndef IOASIS_SRC_PT_ENGINE_DIRTY_H
#define IOASIS_SRC_PT_ENGINE_DIRTY_H

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

#endif
