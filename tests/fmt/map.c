/* SPDX-License-Identifier: MIT */
/* Mapping and unmapping, place by place: what can be said without chance. */
#include "suite.h"

static u64 sizes(const struct fixture *fx)
{
	return pt_pgsizes(&fx->pt);
}

static void expect_leaf(struct fixture *fx, u64 iova, u64 oa, unsigned lg2)
{
	struct pt_leaf leaf;

	assert_int_equal(walk(fx, iova, &leaf), 0);
	assert_int_equal(leaf.oa.v, oa);
	assert_int_equal(leaf.lg2, lg2);
	assert_int_equal(leaf.last, iova | ((1ull << lg2) - 1));
	assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(iova)).v, oa);
}

static void expect_nothing(struct fixture *fx, u64 iova)
{
	struct pt_leaf leaf;

	assert_int_equal(walk(fx, iova, &leaf), -ENOENT);
	assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(iova)).v, UINT64_MAX);
}

static void only_root_left(struct fixture *fx)
{
	assert_int_equal(fx->pt.nr_tables, 1);
	assert_int_equal(fx->mem.tables.nr_used, 1);
}

/* A table that may grow upwards keeps what it grew by. */
static void nothing_left(struct fixture *fx)
{
	if (!(fx->pt.cfg.features & PT_FEAT_DYNAMIC_TOP))
		only_root_left(fx);
}

/* The sizes that the specifications name, less what the configuration cannot express. */
static void sizes_granted(struct fixture *fx)
{
	const struct pt_cfg *granted = &fx->pt.cfg;
	u64 all = fx->pt.fmt == &pt_vtdss ? 1ull << 12 | 1ull << 21 | 1ull << 30
					  : ((1ull << 52) - 1) & ~(1ull << 39);

	if (fx->pt.fmt == &pt_amdv1_mock)
		all &= (1ull << 47) - 1; /* the highest level has no leaves */
	all &= ~((1ull << fx->pt.fmt->granule_lg2) - 1);
	all &= ((1ull << (granted->va_bits - 1)) - 1) & ((1ull << granted->oa_bits) - 1);
	assert_int_equal(sizes(fx), fx->limited ? all & fx->limited : all);
}

/* One leaf of each size the format grants, at 0 where it fits and as the space's last leaf. */
static void every_size(struct fixture *fx)
{
	for (unsigned lg2 = 0; lg2 < 64; lg2++) {
		u64 size = 1ull << lg2, last = fx->pt.last_iova - size + 1;

		if (!(sizes(fx) & size))
			continue;
		for (u8 perm = PERM_R; perm <= PERM_RW; perm++) {
			u64 oa = size <= fx->pt.last_oa / 2 ? size : 0;
			struct pt_leaf leaf;

			assert_int_equal(map(fx, last, oa, size, perm), 0);
			assert_int_equal(map(fx, 0, oa, size, perm), 0);
			expect_leaf(fx, last, oa, lg2);
			expect_leaf(fx, 0, oa, lg2);
			assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(last + size - 1)).v,
					 oa + size - 1);
			assert_int_equal(walk(fx, last + size / 2, &leaf), 0);
			assert_int_equal(leaf.perm, perm);
			assert_int_equal(leaf.oa.v, oa + size / 2);
			assert_int_equal(map(fx, last, oa, size, perm), -EADDRINUSE);
			assert_int_equal(unmap(fx, last, last + size - 1), size);
			assert_int_equal(unmap(fx, 0, size - 1), size);
			expect_nothing(fx, last);
			expect_nothing(fx, 0);
			nothing_left(fx);
		}
	}
}

static void refusals(struct fixture *fx)
{
	u64 least = fx->least, mapped = 0;
	u64 last_page = fx->pt.last_iova - least + 1, last_oa_page = fx->pt.last_oa - least + 1;

	assert_int_equal(map(fx, 0, 0, 0, PERM_R), -EINVAL);
	assert_int_equal(map(fx, 0, 0, least, 0), -EINVAL);
	assert_int_equal(map(fx, 0, 0, least, 4), -EINVAL);
	assert_int_equal(map(fx, least / 2, 0, least, PERM_R), -EINVAL);
	assert_int_equal(map(fx, 0, least / 2, least, PERM_R), -EINVAL);
	assert_int_equal(map(fx, 0, 0, least / 2, PERM_R), -EINVAL);
	assert_int_equal(map(fx, 0, 0, least + least / 2, PERM_R), -EINVAL);
	assert_int_equal(map(fx, last_page, 0, 2 * least, PERM_R), -ERANGE);
	assert_int_equal(map(fx, 0, last_oa_page, 2 * least, PERM_R), -ERANGE);
	if (fx->pt.last_iova != UINT64_MAX)
		assert_int_equal(map(fx, fx->pt.last_iova + 1, 0, least, PERM_R), -ERANGE);
	assert_int_equal(map(fx, 0, fx->pt.last_oa + 1, least, PERM_R), -ERANGE);
	nothing_left(fx);

	/* The same with the table at hand that the short way uses. */
	assert_int_equal(map(fx, 0, 0, least, PERM_R), 0);
	assert_int_equal(map(fx, least, 0, least, 0), -EINVAL);
	assert_int_equal(map(fx, least, least / 2, least, PERM_R), -EINVAL);
	assert_int_equal(map(fx, least + least / 2, 0, least, PERM_R), -EINVAL);
	assert_int_equal(map(fx, least, fx->pt.last_oa + 1, least, PERM_R), -ERANGE);
	assert_int_equal(map(fx, 0, 0, least, PERM_R), -EADDRINUSE);
	assert_int_equal(unmap(fx, 0, least - 1), least);
	(void)mapped;
}

/* A leaf over a table, a leaf under a leaf, a run over a page: all are collisions. */
static void collisions(struct fixture *fx)
{
	for (unsigned lg2 = 0; lg2 < 63; lg2++) {
		u64 size = 1ull << lg2;

		if (!(sizes(fx) & size) || size == fx->least)
			continue;
		assert_int_equal(map(fx, size - fx->least, 0, fx->least, PERM_RW), 0);
		assert_int_equal(map(fx, 0, 0, size, PERM_RW), -EADDRINUSE);
		expect_leaf(fx, size - fx->least, 0, log2_floor(fx->least));
		assert_int_equal(unmap(fx, 0, size - 1), fx->least);

		assert_int_equal(map(fx, 0, 0, size, PERM_RW), 0);
		assert_int_equal(map(fx, size - fx->least, 0, fx->least, PERM_RW), -EADDRINUSE);
		expect_leaf(fx, 0, 0, lg2);
		assert_int_equal(unmap(fx, 0, size - 1), size);
	}
	nothing_left(fx);
}

/* Leaves are never split: one that sticks out stays, and nothing behind it is touched. */
static void sticking_out(struct fixture *fx)
{
	for (unsigned lg2 = 0; lg2 < 62; lg2++) {
		u64 size = 1ull << lg2, a = 0, b = size, c = 2 * size;

		if (!(sizes(fx) & size) || size == fx->least || c + size - 1 > fx->pt.last_iova ||
		    size > fx->pt.last_oa / 4)
			continue;
		assert_int_equal(map(fx, a, size, size, PERM_RW), 0);
		assert_int_equal(map(fx, b, 0, size, PERM_RW), 0);
		assert_int_equal(map(fx, c, size, size, PERM_RW), 0);
		assert_int_equal(unmap(fx, b, b + size / 2 - 1), 0);
		assert_int_equal(unmap(fx, b + size / 2, b + size - 1), 0);
		assert_int_equal(unmap(fx, b + size / 2, c + size - 1), 0);
		expect_leaf(fx, b, 0, lg2);
		expect_leaf(fx, c, size, lg2);
		assert_int_equal(unmap(fx, a, b + fx->least - 1), size);
		expect_nothing(fx, a);
		expect_leaf(fx, b, 0, lg2);
		assert_int_equal(unmap(fx, 0, UINT64_MAX), 2 * size);
		nothing_left(fx);
	}
}

/* The table last used is remembered: it must be forgotten when it goes. */
static void remembered_table_goes(struct fixture *fx)
{
	u64 least = fx->least, far = fx->pt.last_iova - least + 1;
	struct pt_leaf leaf;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(map(fx, 0, least, least, PERM_RW), 0);
		assert_int_equal(unmap(fx, 0, least - 1), least);
		/* The pool hands the same pages out again, for another place. */
		assert_int_equal(map(fx, far, 2 * least, least, PERM_RW), 0);
		assert_int_equal(map(fx, least, 3 * least, least, PERM_R), 0);
		assert_int_equal(walk(fx, 0, &leaf), -ENOENT);
		assert_int_equal(walk(fx, least, &leaf), 0);
		assert_int_equal(leaf.oa.v, 3 * least);
		assert_int_equal(walk(fx, far, &leaf), 0);
		assert_int_equal(leaf.oa.v, 2 * least);
		assert_int_equal(unmap(fx, far, fx->pt.last_iova), least);
		assert_int_equal(unmap(fx, least, 2 * least - 1), least);
		nothing_left(fx);
	}
}

/* Every failing allocation, one after the other: `mapped` is what is there, and undoing it is all. */
static void failure_half_way(struct fixture *fx)
{
	u64 least = fx->least, iova = 509 * least, oa = 3 * least, len = 1600 * least, mapped;
	s64 nth;
	int rc;

	if (fx->pt.cfg.features & PT_FEAT_DYNAMIC_TOP)
		assert_int_equal(map(fx, fx->pt.last_iova - least + 1, 0, least, PERM_R), 0);
	for (nth = 1;; nth++) {
		u64 tables = fx->pt.nr_tables;

		mapped = UINT64_MAX;
		fault_arm(&fx->env.fault, nth);
		rc = pt_map(&fx->pt, IOVA(iova), OA(oa), len, PERM_RW, &mapped);
		fault_arm(&fx->env.fault, 0);
		if (!rc)
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_true(mapped < len && mapped % least == 0);
		for (u64 done = 0; done < len; done += least)
			assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(iova + done)).v,
					 done < mapped ? oa + done : UINT64_MAX);
		if (mapped)
			assert_int_equal(unmap(fx, iova, iova + mapped - 1), mapped);
		assert_int_equal(fx->pt.nr_tables, tables);
		assert_int_equal(fx->mem.tables.nr_used, tables);
	}
	assert_true(nth > 2);
	assert_int_equal(mapped, len);
	assert_int_equal(unmap(fx, iova, iova + len - 1), len);
}

/* Busy half-way: what lies before is mapped and reported, what was there is untouched. */
static void busy_half_way(struct fixture *fx)
{
	u64 least = fx->least, busy = 1400 * least, len = 1600 * least, mapped = UINT64_MAX;

	assert_int_equal(map(fx, busy, 0, least, PERM_R), 0);
	assert_int_equal(pt_map(&fx->pt, IOVA(0), OA(least), len, PERM_RW, &mapped), -EADDRINUSE);
	assert_true(mapped <= busy);
	for (u64 iova = 0; iova < len; iova += least)
		assert_int_equal(pt_iova_to_oa(&fx->pt, IOVA(iova)).v,
				 iova < mapped	? iova + least
				 : iova == busy ? 0
						: UINT64_MAX);
	if (mapped)
		assert_int_equal(unmap(fx, 0, mapped - 1), mapped);
	assert_int_equal(unmap(fx, 0, UINT64_MAX), least);
	nothing_left(fx);
}

/* Unmapping everything at once knows how much there was without having been told. */
static void unmap_everything(struct fixture *fx)
{
	u64 least = fx->least, total = 0;

	for (unsigned i = 0; i < 300; i++) {
		u64 iova = (rnd(fx) & fx->pt.last_iova) & ~(least - 1);
		u64 len = least * (1 + rnd_below(fx, 40)), mapped;

		if (len - 1 > fx->pt.last_iova - iova)
			len = least;
		if (pt_map(&fx->pt, IOVA(iova), OA(0), len, PERM_RW, &mapped) == 0)
			total += len;
		else
			assert_int_equal(mapped ? unmap(fx, iova, iova + mapped - 1) : 0, mapped);
	}
	assert_int_equal(unmap(fx, 0, UINT64_MAX), total);
	only_root_left(fx);
}

/* The root grows and takes what was there along. */
static void growing(struct fixture *fx)
{
	u64 least = fx->least;
	void *root = fx->pt.root;

	if (!(fx->pt.cfg.features & PT_FEAT_DYNAMIC_TOP))
		return;
	assert_int_equal(map(fx, 0, least, least, PERM_RW), 0);
	for (unsigned lg2 = 20; lg2 < fx->pt.cfg.va_bits; lg2++) {
		assert_int_equal(map(fx, 1ull << lg2, least, least, PERM_RW), 0);
		expect_leaf(fx, 1ull << lg2, least, log2_floor(least));
		expect_leaf(fx, 0, least, log2_floor(least));
	}
	assert_ptr_not_equal(root, fx->pt.root);
	assert_int_equal(unmap(fx, 0, UINT64_MAX), least * (fx->pt.cfg.va_bits - 19));
	only_root_left(fx);
}

static void out_of_memory_at_birth(struct fixture *fx)
{
	struct pt pt;

	fault_arm(&fx->env.fault, 1);
	assert_int_equal(pt_init(&pt, fx->pt.fmt, &fx->mem, &fx->pt.cfg), -ENOMEM);
	fault_arm(&fx->env.fault, 0);
}

/* A space smaller than a table: the table's other items are out of range. */
static void narrow(struct fixture *fx)
{
	u64 least = 1ull << fx->pt.fmt->granule_lg2, mapped;
	struct pt pt;

	for (unsigned bits = 16; bits <= 24; bits += 8) {
		u64 end = 1ull << bits;

		assert_int_equal(
			pt_init(&pt, fx->pt.fmt, &fx->mem, &(struct pt_cfg){.va_bits = bits}), 0);
		assert_int_equal(pt.last_iova, end - 1);
		/* Twice: the second finds the table that the first made, and remembers it. */
		assert_int_equal(pt_map(&pt, IOVA(0), OA(0), least, PERM_R, &mapped), 0);
		assert_int_equal(pt_map(&pt, IOVA(end - least), OA(0), least, PERM_R, &mapped), 0);
		assert_int_equal(pt_map(&pt, IOVA(end - 2 * least), OA(0), least, PERM_R, &mapped),
				 0);
		assert_int_equal(pt_map(&pt, IOVA(end), OA(0), least, PERM_R, &mapped), -ERANGE);
		assert_int_equal(mapped, 0);
		assert_int_equal(pt_iova_to_oa(&pt, IOVA(end)).v, UINT64_MAX);
		assert_int_equal(pt_unmap(&pt, (struct iova_range){0, UINT64_MAX}, &fx->g),
				 3 * least);
		pt_gather_free(&fx->mem, &fx->g);
		pt_fini(&pt);
	}
}

static void impossible_configurations(struct fixture *fx)
{
	const struct pt_fmt *fmt = fx->pt.fmt;
	const struct pt_cfg bad[] = {
		{.va_bits = fmt->max_va_bits + 1},
		{.oa_bits = fmt->max_oa_bits + 1},
		{.va_bits = fmt->granule_lg2},
		{.top_level = 7},
		{.pgsize_bitmap = 1ull << (fmt->granule_lg2 - 1)},
		{.va_bits = 32, .pgsize_bitmap = 1ull << 45},
	};
	struct pt pt;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(pt_init(&pt, fmt, &fx->mem, &bad[i]), -EINVAL);
	assert_int_equal(pt_init(&pt, fmt, &fx->mem, &(struct pt_cfg){.features = 1u << 31}),
			 -EOPNOTSUPP);
	assert_int_equal(fx->mem.tables.nr_used, 1);
}

const struct suite_test map_tests[] = {
	{"sizes granted", sizes_granted},
	{"every size", every_size},
	{"refusals", refusals},
	{"collisions", collisions},
	{"a leaf that sticks out", sticking_out},
	{"remembered table goes", remembered_table_goes},
	{"failure half-way", failure_half_way},
	{"busy half-way", busy_half_way},
	{"unmap everything", unmap_everything},
	{"growing top", growing},
	{"out of memory at birth", out_of_memory_at_birth},
	{"a space smaller than a table", narrow},
	{"impossible configurations", impossible_configurations},
	{0},
};
