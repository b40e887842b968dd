/* SPDX-License-Identifier: MIT */
/* The walk that hardware makes, and what an item changed behind our back does to it. */
#include "suite.h"

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

const struct suite_test walk_tests[] = {
	{"items matter", items_matter},
	{"changed leaf", changed_leaf},
	{"tables outside memory", tables_outside_memory},
	{"permissions of all levels", permissions_of_all_levels},
	{"wrong roots", wrong_roots},
	{"few steps", few_steps},
	{0},
};
