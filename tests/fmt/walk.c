/* SPDX-License-Identifier: MIT */
/* The walk that hardware makes, and what an item changed behind our back does to it. */
#include "suite.h"

#include <stdlib.h>

static u64 encoded(const struct fixture *fx, u64 oa)
{
	return oa << (12 - fx->pt.fmt->granule_lg2);
}

/* Each level's item, taken away: the walk ends there, and comes back with it. */
static void items_matter(struct fixture *fx)
{
	u64 iova = 5 * fx->least, len = fx->least;
	struct pt_step step[STEPS_MAX], again[STEPS_MAX];
	struct pt_leaf leaf;
	unsigned nr;

	assert_int_equal(map(fx, iova, 9 * fx->least, len, PERM_RW), 0);
	nr = steps(fx, iova, step);
	assert_true(nr >= 1 && step[nr - 1].leaf);
	for (unsigned i = 0; i < nr; i++) {
		u64 *item = item_at(fx, step[i].item);

		assert_int_equal(*item, step[i].raw);
		assert_int_equal(step[i].level, fx->pt.top_level - i);
		*item = 0;
		assert_int_equal(walk(fx, iova, &leaf), -ENOENT);
		assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(iova)).v, UINT64_MAX);
		assert_int_equal(steps(fx, iova, again), i + 1);
		*item = step[i].raw;
		assert_int_equal(walk(fx, iova, &leaf), 0);
	}
	assert_int_equal(leaf.oa.v, 9 * fx->least);
	assert_int_equal(unmap(fx, iova, iova + len - 1), len);
}

/* A leaf that names another page sends the walk there. */
static void changed_leaf(struct fixture *fx)
{
	u64 iova = 5 * fx->least;
	struct pt_leaf leaf, other;

	assert_int_equal(map(fx, iova, 8 * fx->least, fx->least, PERM_RW), 0);
	assert_int_equal(walk(fx, iova + 1, &leaf), 0);
	*item_at(fx, leaf.item) ^= encoded(fx, 32 * fx->least);
	assert_int_equal(walk(fx, iova + 1, &other), 0);
	assert_int_equal(other.oa.v, 40 * fx->least + 1);
	assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(iova + 1)).v, 40 * fx->least + 1);
	assert_int_equal(unmap(fx, iova, iova + fx->least - 1), fx->least);
}

/* A table item that names no memory is -EIO at every level. */
static void tables_outside_memory(struct fixture *fx)
{
	struct pt_step step[STEPS_MAX], again[STEPS_MAX];
	struct pt_leaf leaf;
	unsigned nr;

	assert_int_equal(map(fx, 0, 0, fx->least, PERM_RW), 0);
	nr = steps(fx, 0, step);
	for (unsigned i = 0; i + 1 < nr; i++) {
		u64 *item = item_at(fx, step[i].item);

		*item = step[i].raw ^ encoded(fx, 1ull << 50);
		assert_int_equal(walk(fx, 0, &leaf), -EIO);
		assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(0)).v, UINT64_MAX);
		assert_int_equal(steps(fx, 0, again), i + 1);
		*item = step[i].raw;
	}
	assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);
}

/* Permissions are those of all levels together. */
static void permissions_of_all_levels(struct fixture *fx)
{
	struct pt_step step[STEPS_MAX], ro[STEPS_MAX];
	struct pt_leaf leaf;
	u64 write_bit;
	unsigned nr;

	assert_int_equal(map(fx, 0, 0, fx->least, PERM_RW), 0);
	nr = steps(fx, 0, step);
	assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);
	assert_int_equal(map(fx, 0, 0, fx->least, PERM_R), 0);
	assert_int_equal(steps(fx, 0, ro), nr);
	write_bit = step[nr - 1].raw ^ ro[nr - 1].raw;
	assert_true(is_pow2(write_bit));
	assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);

	assert_int_equal(map(fx, 0, 0, fx->least, PERM_RW), 0);
	nr = steps(fx, 0, step);
	for (unsigned i = 0; i < nr; i++) {
		u64 *item = item_at(fx, step[i].item);

		*item &= ~write_bit;
		assert_int_equal(walk(fx, 0, &leaf), 0);
		assert_int_equal(leaf.perm, PERM_R);
		*item |= write_bit;
	}
	assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);
}

static void wrong_roots(struct fixture *fx)
{
	const struct pt_fmt *fmt = fx->pt.fmt;
	oa_t root = table_oa(&fx->mem, fx->pt.root);
	struct pt_step step[STEPS_MAX];
	struct pt_leaf leaf;

	assert_int_equal(fmt->walk(&fx->mem, OA(1ull << 50), fx->pt.top_level, 0, &leaf), -EIO);
	assert_int_equal(fmt->walk(&fx->mem, OA(root.v + 8), fx->pt.top_level, 0, &leaf), -EINVAL);
	assert_int_equal(fmt->walk(&fx->mem, root, 6, 0, &leaf), -EINVAL);
	assert_int_equal(fmt->walk(&fx->mem, root, UINT_MAX, 0, &leaf), -EINVAL);
	assert_int_equal(fmt->steps(&fx->mem, root, UINT_MAX, 0, step, STEPS_MAX), 0);
	assert_int_equal(fmt->steps(&fx->mem, OA(1ull << 50), 2, 0, step, STEPS_MAX), 0);
	if (fx->pt.last_iova != UINT64_MAX) {
		assert_int_equal(map(fx, 0, 0, fx->least, PERM_RW), 0);
		assert_int_equal(walk(fx, fx->pt.last_iova + 1, &leaf), -ENOENT);
		assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(fx->pt.last_iova + 1)).v, UINT64_MAX);
		assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);
	}
}

/* Tables that are not in the pool, as a guest's: the same walk, through guarded reads. */
static void tables_elsewhere(struct fixture *fx)
{
	u64 len = 2ull << 20, iova = 7 * fx->least;
	struct pt_step step[STEPS_MAX], again[STEPS_MAX];
	struct pt_leaf leaf, other;
	u8 *host = aligned_alloc(PAGE_SIZE, len);
	struct seg *seg;
	unsigned nr;

	assert_int_equal(seg_add(&fx->mem, SEG_TOKEN, host, len, &seg), 0);
	assert_int_equal(map(fx, iova, 9 * fx->least, fx->least, PERM_RW), 0);
	assert_int_equal(walk(fx, iova, &leaf), 0);
	nr = steps(fx, iova, step);
	for (unsigned i = 0; i < nr; i++) {
		u64 table = step[i].item.v & ~(PAGE_SIZE - 1);
		u64 *items = (u64 *)(host + i * PAGE_SIZE);

		memcpy(items, item_at(fx, OA(table)), PAGE_SIZE);
		if (!step[i].leaf)
			items[step[i].index] += encoded(fx, seg->base.v + (i + 1) * PAGE_SIZE) -
						encoded(fx, step[i].oa.v);
	}
	assert_int_equal(
		fx->pt.fmt->walk(&fx->mem, seg->base, fx->pt.top_level, iova, &other), 0);
	assert_int_equal(other.oa.v, leaf.oa.v);
	assert_int_equal(other.last, leaf.last);
	assert_int_equal(other.perm, leaf.perm);
	assert_int_equal(other.item.v,
			 seg->base.v + (nr - 1) * PAGE_SIZE + (leaf.item.v & (PAGE_SIZE - 1)));
	assert_int_equal(
		fx->pt.fmt->steps(&fx->mem, seg->base, fx->pt.top_level, iova, again, STEPS_MAX), nr);
	leaf_set_dirty(fx)(&fx->mem, &other);
	assert_int_equal(
		fx->pt.fmt->walk(&fx->mem, seg->base, fx->pt.top_level, iova, &other), 0);
	assert_true(other.dirty);
	assert_int_equal(walk(fx, iova, &leaf), 0);
	assert_false(leaf.dirty);
	assert_int_equal(fx->pt.fmt->walk(&fx->mem, seg->base, fx->pt.top_level,
					  iova + fx->least, &other),
			 -ENOENT);
	seg_put(&fx->mem, seg);
	assert_int_equal(fx->pt.fmt->walk(&fx->mem, OA(1ull << 45), fx->pt.top_level, iova, &other),
			 -EIO);
	assert_int_equal(unmap(fx, iova, iova + fx->least - 1), fx->least);
	free(host);
}

/* A step's buffer may be shorter than the walk. */
static void few_steps(struct fixture *fx)
{
	struct pt_step step[STEPS_MAX];

	assert_int_equal(map(fx, 0, 0, fx->least, PERM_RW), 0);
	memset(step, 0xee, sizeof(step));
	assert_int_equal(fx->pt.fmt->steps(&fx->mem, table_oa(&fx->mem, fx->pt.root),
					   fx->pt.top_level, 0, step, 1),
			 1);
	assert_int_equal(step[1].level, 0xee);
	assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);
}

/* What the specifications say an item looks like, bit by bit; no function of ours computes it. */
struct golden {
	const struct pt_fmt *fmt;
	u8 lg2, perm, level;
	u64 oa, raw;
};

static const struct golden goldens[] = {
	{&pt_vtdss, 12, PERM_R, 0, 0x12345000, 0x12345001},
	{&pt_vtdss, 12, PERM_W, 0, 0xfffff12345000, 0xfffff12345002},
	{&pt_vtdss, 21, PERM_RW, 1, 0x12400000, 0x12400083},
	{&pt_vtdss, 30, PERM_RW, 2, 0x1240000000, 0x1240000083},
	{&pt_amdv1, 12, PERM_R, 0, 0x12345000, 0x3000000012345001},
	{&pt_amdv1, 12, PERM_W, 0, 0xfffff12345000, 0x500fffff12345001},
	{&pt_amdv1, 13, PERM_RW, 0, 0x12344000, 0x7000000012344e01},
	{&pt_amdv1, 16, PERM_RW, 0, 0x12340000, 0x7000000012347e01},
	{&pt_amdv1, 20, PERM_RW, 0, 0x12300000, 0x700000001237fe01},
	{&pt_amdv1, 21, PERM_RW, 1, 0x12400000, 0x7000000012400001},
	{&pt_amdv1, 22, PERM_RW, 1, 0x12400000, 0x70000000125ffe01},
	{&pt_amdv1, 29, PERM_RW, 1, 0x20000000, 0x700000002ffffe01},
	{&pt_amdv1_mock, 11, PERM_RW, 0, 0x12345800, 0x600000002468b001},
	{&pt_amdv1_mock, 12, PERM_RW, 0, 0x12345000, 0x600000002468ae01},
	{&pt_amdv1_mock, 20, PERM_RW, 1, 0x12300000, 0x6000000024600001},
};

static u64 golden_table(const struct fixture *fx, const struct pt_step *step, u64 child)
{
	if (fx->pt.fmt == &pt_vtdss)
		return child | 3;
	return 0x6000000000000001 | (u64)step->level << 9 | encoded(fx, child);
}

static void layouts(struct fixture *fx)
{
	for (unsigned i = 0; i < ARRAY_SIZE(goldens); i++) {
		const struct golden *g = &goldens[i];
		u64 size = 1ull << g->lg2, iova = 3 * size;
		struct pt_step step[STEPS_MAX];
		unsigned nr;

		if (g->fmt != fx->pt.fmt || !(pt_pgsizes(&fx->pt) & size) ||
		    g->oa + size - 1 > fx->pt.last_oa || iova + size - 1 > fx->pt.last_iova)
			continue;
		assert_int_equal(map(fx, iova, g->oa, size, g->perm), 0);
		nr = steps(fx, iova + size - 1, step);
		assert_int_equal(nr, fx->pt.top_level - g->level + 1);
		assert_int_equal(step[nr - 1].raw, g->raw);
		assert_int_equal(step[nr - 1].perm, g->perm);
		assert_int_equal(step[nr - 1].oa.v, g->oa);
		for (unsigned n = 0; n + 1 < nr; n++)
			assert_int_equal(step[n].raw,
					 golden_table(fx, &step[n],
						      step[n + 1].item.v & ~(PAGE_SIZE - 1)));
		assert_int_equal(unmap(fx, iova, iova + size - 1), size);
	}
}

/* Items with reserved bits or impossible sizes fault, whatever else they say. */
static void malformed(struct fixture *fx)
{
	struct pt_step step[STEPS_MAX];
	struct pt_leaf leaf;
	unsigned nr;
	u64 *top;

	assert_int_equal(map(fx, 0, 0, fx->least, PERM_RW), 0);
	nr = steps(fx, 0, step);
	top = item_at(fx, step[0].item);
	if (fx->pt.fmt == &pt_vtdss) {
		if (fx->pt.top_level > 2) {
			*top |= 1ull << 7; /* a leaf of 512 GiB */
			assert_int_equal(walk(fx, 0, &leaf), -EINVAL);
			*top = step[0].raw;
		}
		*item_at(fx, step[nr - 2].item) = 0x12345083; /* 2 MiB or 1 GiB, not aligned */
		assert_int_equal(walk(fx, 0, &leaf), -EINVAL);
		*item_at(fx, step[nr - 2].item) = step[nr - 2].raw;
	} else {
		*top ^= (u64)(fx->pt.top_level ^ 6) << 9; /* next level is not one below */
		assert_int_equal(walk(fx, 0, &leaf), -EINVAL);
		*top = step[0].raw | 1ull << 52;
		assert_int_equal(walk(fx, 0, &leaf), -EINVAL);
		*top = step[0].raw;
		*item_at(fx, step[nr - 1].item) |= 7ull << 9 | 0xffffffffffull << 12;
		assert_int_equal(walk(fx, 0, &leaf), -EINVAL);
		*item_at(fx, step[nr - 1].item) = step[nr - 1].raw;
	}
	assert_int_equal(walk(fx, 0, &leaf), 0);
	assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);
}

const struct suite_test walk_tests[] = {
	{"layouts", layouts},
	{"malformed items", malformed},
	{"items matter", items_matter},
	{"changed leaf", changed_leaf},
	{"tables outside memory", tables_outside_memory},
	{"permissions of all levels", permissions_of_all_levels},
	{"wrong roots", wrong_roots},
	{"few steps", few_steps},
	{"tables elsewhere", tables_elsewhere},
	{0},
};
