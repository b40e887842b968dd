/* SPDX-License-Identifier: MIT */
/* Dirty bits: set as hardware does, read and cleared, compared page by page with the flat model. */
#include "suite.h"
#include "../model/flat.h"

#define PAGES 2048

struct report {
	struct flat *flat;
	bool seen[PAGES];
	u64 next; /* reports ascend and do not touch */
};

static void on_dirty(void *arg, u64 iova, u64 len)
{
	struct report *r = arg;
	u64 page = 1ull << r->flat->page_lg2;

	assert_true(iova >= r->next && len && len % page == 0);
	r->next = iova + len + 1;
	for (; len; len -= page, iova += page) {
		u64 i = (iova - r->flat->base) >> r->flat->page_lg2;

		assert_true(i < r->flat->nr);
		r->seen[i] = true;
	}
}

static void read_dirty(struct fixture *fx, struct report *r, u64 start, u64 last, unsigned flags)
{
	struct flat *flat = r->flat;

	*r = (struct report){.flat = flat};
	pt_dirty(&fx->pt, (struct iova_range){start, last}, flags, on_dirty, r, &fx->g);
}

static void expect_dirty(const struct report *r, unsigned first, unsigned last)
{
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(r->seen[i],
				 i >= first && i <= last && r->flat->page[i].dirty);
}

static void fill(struct fixture *fx, struct flat *f)
{
	u64 least = fx->least;

	for (unsigned i = 0; i < PAGES;) {
		unsigned nr = min(PAGES - i, 1u << rnd_below(fx, 10));
		u64 iova = flat_iova(f, i), oa = rnd_below(fx, 3) ? iova : iova + least;

		i += nr;
		if (rnd_below(fx, 4) == 0)
			continue;
		assert_int_equal(map(fx, iova, oa, nr * least, PERM_RW), 0);
		flat_map(f, i - nr, nr, oa, PERM_RW, pt_pgsizes(&fx->pt));
	}
}

static void write_some(struct fixture *fx, struct flat *f)
{
	for (unsigned n = 0; n < 60; n++) {
		unsigned i = (unsigned)rnd_below(fx, PAGES);
		u64 iova = flat_iova(f, i) + rnd_below(fx, fx->least);
		struct pt_leaf leaf;

		assert_int_equal(fx->pt.fmt->set_dirty(&fx->pt, iova), f->page[i].mapped);
		if (!f->page[i].mapped)
			continue;
		assert_int_equal(walk(fx, iova, &leaf), 0);
		assert_true(leaf.dirty);
		flat_set_dirty(f, iova & ~((1ull << leaf.lg2) - 1), leaf.last);
	}
}

static void read_and_clear(struct fixture *fx)
{
	struct report *r = test_calloc(1, sizeof(*r));
	struct flat f;
	u64 last;

	flat_init(&f, 0, log2_floor(fx->least), PAGES);
	r->flat = &f;
	last = flat_iova(&f, PAGES) - 1;
	fill(fx, &f);
	for (unsigned round = 0; round < 5; round++) {
		write_some(fx, &f);
		read_dirty(fx, r, 0, last, PT_DIRTY_NO_CLEAR);
		expect_dirty(r, 0, PAGES - 1);
		assert_true(pt_gather_empty(&fx->g));
		read_dirty(fx, r, flat_iova(&f, 100), flat_iova(&f, 300) - 1, PT_DIRTY_NO_CLEAR);
		expect_dirty(r, 100, 299);
		read_dirty(fx, r, 0, UINT64_MAX, 0);
		expect_dirty(r, 0, PAGES - 1);
		assert_true(fx->g.start <= fx->g.last && !fx->g.free);
		pt_gather_init(&fx->g);
		for (unsigned i = 0; i < PAGES; i++)
			f.page[i].dirty = false;
		read_dirty(fx, r, 0, last, 0);
		expect_dirty(r, 0, PAGES - 1);
		assert_true(pt_gather_empty(&fx->g));
	}
	assert_int_equal(unmap(fx, 0, last), flat_unmap(&f, 0, PAGES));
	flat_fini(&f);
	test_free(r);
}

static void ignore_dirty(void *arg, u64 iova, u64 len)
{
	*(u64 *)arg += len;
}

/* The last leaf of the space, and a large leaf of which only a part is asked for. */
static void at_the_edges(struct fixture *fx)
{
	u64 least = fx->least, last = fx->pt.last_iova, bytes = 0;

	assert_int_equal(map(fx, last - least + 1, 0, least, PERM_RW), 0);
	assert_true(fx->pt.fmt->set_dirty(&fx->pt, last));
	pt_dirty(&fx->pt, (struct iova_range){0, UINT64_MAX}, PT_DIRTY_NO_CLEAR, ignore_dirty,
		 &bytes, &fx->g);
	assert_int_equal(bytes, least);
	bytes = 0;
	pt_dirty(&fx->pt, (struct iova_range){last - least / 2 + 1, last}, 0, ignore_dirty, &bytes,
		 &fx->g);
	assert_int_equal(bytes, least / 2);
	pt_gather_init(&fx->g);
	assert_false(fx->pt.fmt->set_dirty(&fx->pt, 0));
	assert_int_equal(unmap(fx, last - least + 1, last), least);
}

/* A write that comes too late does not bring a leaf back. */
static void write_after_unmap(struct fixture *fx)
{
	leaf_set_dirty_fn set = leaf_set_dirty(fx);
	struct pt_leaf leaf, gone;

	assert_int_equal(map(fx, 0, 0, fx->least, PERM_RW), 0);
	assert_int_equal(map(fx, fx->least, 0, fx->least, PERM_RW), 0);
	assert_int_equal(walk(fx, 0, &leaf), 0);
	assert_false(leaf.dirty);
	set(&fx->mem, &leaf);
	assert_int_equal(walk(fx, 0, &leaf), 0);
	assert_true(leaf.dirty);
	assert_int_equal(unmap(fx, 0, fx->least - 1), fx->least);
	set(&fx->mem, &leaf);
	assert_int_equal(walk(fx, 0, &gone), -ENOENT);
	assert_int_equal(*item_at(fx, leaf.item), 0);
	assert_int_equal(unmap(fx, 0, 2 * fx->least - 1), fx->least);
}

const struct suite_test dirty_tests[] = {
	{"dirty: read and clear", read_and_clear},
	{"dirty: edges", at_the_edges},
	{"dirty: write after unmap", write_after_unmap},
	{0},
};
