/* SPDX-License-Identifier: MIT */
/* Look-ups: our own, and the walk that hardware makes. Part of pt/engine.h. */
#ifndef IOASIS_SRC_PT_ENGINE_WALK_H
#define IOASIS_SRC_PT_ENGINE_WALK_H

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
	w->table = (const u64 *)((uintptr_t)pool.host + off);
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

/* The top as a reader without a lock may see it: root and level belong together. */
ALWAYS_INLINE const u64 *read_top(const struct pt *pt, unsigned *top_level)
{
	uintptr_t top;

	if (!(FMT_FEATURES & PT_FEAT_DYNAMIC_TOP)) {
		*top_level = pt->top_level;
		return pt->root;
	}
	top = atomic_load_explicit(&pt->top, memory_order_acquire);
	*top_level = top & (TABLE_LEN - 1);
	return (const u64 *)(top & ~(uintptr_t)(TABLE_LEN - 1));
}

static oa_t PT(iova_to_oa)(const struct pt *pt, u64 iova)
{
	unsigned top_level;
	struct walk w = {iova, read_top(pt, &top_level), 0, UINT64_MAX};
	struct pt_leaf leaf;

	if (unlikely(iova > pt->last_iova) ||
	    (FMT_FEATURES & PT_FEAT_DYNAMIC_TOP && unlikely(beyond_top(iova, top_level))))
		return OA_NONE;
	if (unlikely(walk_from(&w, walk_pool_of(pt->mem), top_level, &leaf)))
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

#endif
