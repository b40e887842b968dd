/* SPDX-License-Identifier: MIT */
/* Random work on pieces of the address space, compared page by page with the flat model. */
#include "suite.h"
#include "../model/flat.h"

#define PIECES 4
#define ROUNDS 300

struct pieces {
	struct flat flat[PIECES];
	unsigned nr;
};

static void add_piece(struct fixture *fx, struct pieces *p, u64 base, unsigned page_lg2, unsigned nr)
{
	u64 len = (u64)nr << page_lg2;

	if (base > fx->pt.last_iova || len - 1 > fx->pt.last_iova - base)
		return;
	for (unsigned i = 0; i < p->nr; i++)
		if (base <= p->flat[i].base + (((u64)p->flat[i].nr << p->flat[i].page_lg2) - 1) &&
		    p->flat[i].base <= base + (len - 1))
			return;
	flat_init(&p->flat[p->nr++], base, page_lg2, nr);
}

/* The first pages, the last pages, and coarser pieces in the middle, where large leaves grow. */
static void pieces_open(struct fixture *fx, struct pieces *p)
{
	unsigned lg2 = log2_floor(fx->least);
	u64 half = fx->pt.last_iova / 2 + 1;

	p->nr = 0;
	add_piece(fx, p, 0, lg2, 2048);
	add_piece(fx, p, fx->pt.last_iova - (2048ull << lg2) + 1, lg2, 2048);
	add_piece(fx, p, half - (64ull << (lg2 + 9)), lg2 + 9, 512);
	if (lg2 + 17 + 6 < 62)
		add_piece(fx, p, half / 2, lg2 + 17, 64);
	assert_true(p->nr >= 2);
}

static void check_page(struct fixture *fx, const struct flat *f, unsigned i)
{
	u64 page = 1ull << f->page_lg2, iova = flat_iova(f, i);
	u64 offset = rnd_below(fx, page);
	const struct flat_page *m = &f->page[i];
	struct pt_step step[STEPS_MAX];
	struct pt_leaf leaf;
	unsigned nr;
	int rc;

	assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(iova + offset)).v,
			 m->mapped ? m->oa + offset : UINT64_MAX);
	rc = walk(fx, iova + offset, &leaf);
	nr = steps(fx, iova + offset, step);
	assert_true(nr <= fx->pt.top_level + 1);
	assert_int_equal(rc, m->mapped ? 0 : -ENOENT);
	assert_int_equal(nr && step[nr - 1].present, m->mapped);
	if (!m->mapped)
		return;
	assert_int_equal(leaf.oa.v, m->oa + offset);
	assert_int_equal(leaf.perm, m->perm);
	assert_true(step[nr - 1].leaf);
	assert_int_equal(step[nr - 1].level, leaf.level);
	assert_int_equal(step[nr - 1].oa.v, leaf.oa.v & ~((1ull << leaf.lg2) - 1));
	assert_int_equal(walk(fx, iova, &leaf), 0);
	assert_int_equal(leaf.lg2, m->leaf_lg2);
	assert_int_equal(leaf.last, iova | ((1ull << leaf.lg2) - 1));
}

static void check_pieces(struct fixture *fx, const struct pieces *p)
{
	for (unsigned n = 0; n < p->nr; n++)
		for (unsigned i = 0; i < p->flat[n].nr; i++)
			check_page(fx, &p->flat[n], i);
}

static void check_around(struct fixture *fx, const struct flat *f, unsigned i, unsigned nr)
{
	unsigned last = min(f->nr - 1, i + nr);

	for (i = i ? i - 1 : 0; i <= last; i += i + 8 < last ? 1 + (unsigned)rnd_below(fx, 7) : 1)
		check_page(fx, f, i);
}

/* An OA that agrees with the IOVA in a random number of low bits. */
static u64 random_oa(struct fixture *fx, u64 iova, u64 len)
{
	u64 mask = (1ull << rnd_below(fx, 48)) - 1;
	u64 oa = (rnd(fx) & fx->pt.last_oa & ~mask) | (iova & mask);

	oa &= ~(fx->least - 1);
	return oa <= fx->pt.last_oa && len - 1 <= fx->pt.last_oa - oa ? oa : 0;
}

/* So that a test takes milliseconds: not more leaves than this in one call. */
static unsigned bounded(struct fixture *fx, const struct flat *f, u64 iova, u64 oa, unsigned nr)
{
	u64 differ = iova ^ oa, sizes = pt_pgsizes(&fx->pt) & (differ ^ (differ - 1));
	u64 leaf = 1ull << log2_floor(sizes), page = 1ull << f->page_lg2;

	while (nr > 1 && nr * page / leaf > 20000)
		nr /= 2;
	return page / leaf > 20000 ? 0 : nr;
}

static unsigned random_nr(struct fixture *fx, const struct flat *f, unsigned i)
{
	static const unsigned some[] = {1, 1, 1, 2, 3, 16, 17, 100, 256, 512, 1024, 2048};
	unsigned nr = some[rnd_below(fx, ARRAY_SIZE(some))];

	return min(nr, f->nr - i);
}

static void random_map(struct fixture *fx, struct flat *f)
{
	unsigned i = (unsigned)rnd_below(fx, f->nr), nr = random_nr(fx, f, i);
	u64 iova = flat_iova(f, i), oa = random_oa(fx, iova, (u64)nr << f->page_lg2), mapped = 7;
	u8 perm = 1 + (u8)rnd_below(fx, 3);
	int rc;

	nr = bounded(fx, f, iova, oa, nr);
	if (!nr)
		return;
	rc = pt_map(&fx->pt, IOVA(iova), OA(oa), (u64)nr << f->page_lg2, perm, &mapped);
	if (flat_busy(f, i, nr)) {
		assert_int_equal(rc, -EADDRINUSE);
		assert_true(mapped < (u64)nr << f->page_lg2);
		if (mapped)
			assert_int_equal(unmap(fx, iova, iova + mapped - 1), mapped);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(mapped, (u64)nr << f->page_lg2);
		flat_map(f, i, nr, oa, perm, pt_pgsizes(&fx->pt));
	}
	check_around(fx, f, i, nr);
}

static void random_unmap(struct fixture *fx, struct flat *f)
{
	unsigned i = (unsigned)rnd_below(fx, f->nr), nr = random_nr(fx, f, i);
	u64 start, last;

	flat_whole_areas(f, &i, &nr);
	start = flat_iova(f, i);
	last = start + (((u64)nr << f->page_lg2) - 1);
	assert_int_equal(unmap(fx, start, last), flat_unmap(f, i, nr));
	check_around(fx, f, i, nr);
}

static void against_the_model(struct fixture *fx)
{
	struct pieces p;
	u64 left = 0;

	pieces_open(fx, &p);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct flat *f = &p.flat[rnd_below(fx, p.nr)];

		if (rnd_below(fx, 5) < 3)
			random_map(fx, f);
		else
			random_unmap(fx, f);
		if (round % 100 == 99)
			check_pieces(fx, &p);
	}
	for (unsigned n = 0; n < p.nr; n++) {
		left += flat_unmap(&p.flat[n], 0, p.flat[n].nr);
		flat_fini(&p.flat[n]);
	}
	assert_int_equal(unmap(fx, 0, UINT64_MAX), left);
	assert_int_equal(fx->pt.nr_tables, 1);
}

const struct suite_test random_tests[] = {
	{"random work against the flat model", against_the_model},
	{0},
};
