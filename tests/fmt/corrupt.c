/* SPDX-License-Identifier: MIT */
/*
 * Tables that somebody scribbled on: walks and steps end, and neither they nor our own writers touch
 * what is not a table of ours.
 */
#include "suite.h"

static void some_tables(struct fixture *fx)
{
	for (unsigned i = 0; i < 40; i++) {
		u64 iova = (rnd(fx) & fx->pt.last_iova) & ~(fx->least - 1), mapped;

		(void)!pt_map(&fx->pt, IOVA(iova), OA(0), fx->least, PERM_RW, &mapped);
	}
	for (unsigned i = 0; i < 40; i++) {
		u64 mapped;

		(void)!pt_map(&fx->pt, IOVA(i * 700 * fx->least), OA(0), 500 * fx->least, PERM_RW,
			      &mapped);
	}
}

/* Something to write into an item: noise, or a table item that names a page of the pool. */
static u64 poison(struct fixture *fx, u64 old)
{
	u64 page = fx->mem.tables.base + PAGE_SIZE * rnd_below(fx, fx->mem.tables.next / PAGE_SIZE);
	unsigned shift = 12 - fx->pt.fmt->granule_lg2;
	u64 field = ((1ull << 52) - 1) & ~(PAGE_SIZE - 1);

	switch (rnd_below(fx, 4)) {
	case 0:
		return rnd(fx);
	case 1:
		return old ^ 1ull << rnd_below(fx, 64);
	case 2:
		return (old & ~field) | page << shift; /* a loop, or another level's table */
	default:
		return (rnd(fx) & ~field) | page << shift | 1;
	}
}

static void scribble(struct fixture *fx, unsigned nr)
{
	u64 pages = fx->mem.tables.next / PAGE_SIZE;

	while (nr--) {
		u64 page = rnd_below(fx, pages), idx = rnd_below(fx, 512);
		u64 *item = (u64 *)(fx->mem.tables.host + page * PAGE_SIZE) + idx;

		/* Pages in the pool's free list belong to the pool. */
		if (fx->mem.tables.note[page])
			*item = poison(fx, *item);
	}
}

static void look_everywhere(struct fixture *fx)
{
	for (unsigned i = 0; i < 400; i++) {
		u64 iova = rnd(fx) & (i & 1 ? fx->pt.last_iova : fx->least * 30000);
		struct pt_step step[STEPS_MAX];
		struct pt_leaf leaf;
		int rc = walk(fx, iova, &leaf);

		assert_true(rc == 0 || rc == -ENOENT || rc == -EIO || rc == -EINVAL);
		assert_true(steps(fx, iova, step) <= fx->pt.top_level + 1);
		if (!rc)
			assert_true(leaf.last >= iova && leaf.lg2 <= 52);
		pt_iova_to_oa(&fx->pt, IOVA(iova));
		if (i % 16 == 0)
			fx->pt.fmt->set_dirty(&fx->pt, iova);
	}
}

static void nothing(void *arg, u64 iova, u64 len)
{
}

static void scribbled_tables(struct fixture *fx)
{
	some_tables(fx);
	for (unsigned round = 0; round < 20; round++) {
		u64 mapped;

		scribble(fx, 50 << (round % 5));
		look_everywhere(fx);
		pt_dirty(&fx->pt, (struct iova_range){0, UINT64_MAX}, 0, nothing, NULL, &fx->g);
		(void)!pt_map(&fx->pt, IOVA(0), OA(0), 3000 * fx->least, PERM_RW, &mapped);
		pt_unmap(&fx->pt, (struct iova_range){0, 2000 * fx->least}, &fx->g);
		pt_gather_free(&fx->mem, &fx->g);
	}
	pt_unmap(&fx->pt, (struct iova_range){0, UINT64_MAX}, &fx->g);
	pt_gather_free(&fx->mem, &fx->g);
	pt_fini(&fx->pt);
	/* Tables that only a destroyed item named are lost; nothing may be given back twice. */
	assert_true((s64)fx->mem.tables.nr_used >= 0);
	for (u64 page = 0; page < fx->mem.tables.next / PAGE_SIZE; page++)
		if (fx->mem.tables.note[page]) {
			fx->mem.tables.note[page] = 0;
			table_free(&fx->mem, fx->mem.tables.host + page * PAGE_SIZE);
		}
	assert_int_equal(fx->mem.tables.nr_used, 0);
}

const struct suite_test corrupt_tests[] = {
	{"scribbled tables", scribbled_tables},
	{0},
};
