/* SPDX-License-Identifier: MIT */
#include "fixture.h"

void fixture_open(struct fixture *fx, const struct subject *subject)
{
	memset(fx, 0, sizeof(*fx));
	assert_int_equal(env_init(&fx->env), 0);
	assert_int_equal(mem_init(&fx->mem, &fx->env, 52, 256ull << 20), 0);
	assert_int_equal(
		pt_init(&fx->pt, subject->fmt, &fx->mem, &subject->fmt->test_cfgs[subject->cfg]), 0);
	pt_gather_init(&fx->g);
	fx->least = pt_pgsizes(&fx->pt) & -pt_pgsizes(&fx->pt);
	fx->limited = subject->fmt->test_cfgs[subject->cfg].pgsize_bitmap;
	fx->seed = 0x9e3779b97f4a7c15ull * (subject->cfg + 1);
}

void fixture_close(struct fixture *fx)
{
	pt_fini(&fx->pt);
	assert_int_equal(fx->mem.tables.nr_used, 0);
	mem_fini(&fx->mem);
	env_fini(&fx->env);
}

u64 rnd(struct fixture *fx) /* splitmix64 */
{
	u64 z = fx->seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u64 rnd_below(struct fixture *fx, u64 n)
{
	return rnd(fx) % n;
}

u64 unmap(struct fixture *fx, u64 start, u64 last)
{
	u64 bytes = pt_unmap(&fx->pt, (struct iova_range){start, last}, &fx->g);

	if (bytes) {
		assert_true(fx->g.start >= start && fx->g.last <= last);
		assert_true(fx->g.start <= fx->g.last);
		assert_true(1ull << fx->g.min_leaf_lg2 <= bytes);
	} else {
		assert_true(pt_gather_empty(&fx->g));
	}
	pt_gather_free(&fx->mem, &fx->g);
	assert_true(pt_gather_empty(&fx->g));
	return bytes;
}

int walk(const struct fixture *fx, u64 iova, struct pt_leaf *out)
{
	return fx->pt.fmt->walk(&fx->mem, table_oa(&fx->mem, fx->pt.root), fx->pt.top_level, iova,
				out);
}

unsigned steps(const struct fixture *fx, u64 iova, struct pt_step *out)
{
	return fx->pt.fmt->steps(&fx->mem, table_oa(&fx->mem, fx->pt.root), fx->pt.top_level, iova,
				 out, STEPS_MAX);
}

u64 *item_at(const struct fixture *fx, oa_t item)
{
	return table_at(&fx->mem, item, sizeof(u64));
}

int map(struct fixture *fx, u64 iova, u64 oa, u64 len, u8 perm)
{
	u64 mapped = 1;
	int rc = pt_map(&fx->pt, IOVA(iova), OA(oa), len, perm, &mapped);

	assert_int_equal(mapped, rc ? 0 : len);
	return rc;
}

leaf_set_dirty_fn leaf_set_dirty(const struct fixture *fx)
{
	if (fx->pt.fmt == &pt_vtdss)
		return vtdss_leaf_set_dirty;
	return fx->pt.fmt == &pt_amdv1 ? amdv1_leaf_set_dirty : amdv1_mock_leaf_set_dirty;
}
