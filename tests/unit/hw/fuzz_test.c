/* SPDX-License-Identifier: MIT */
/*
 * Anything in registers, tables and descriptors: nothing may crash, and no DMA may leave the memory
 * that is there. Bounded and the same every time; sanitisers make it worth its time.
 */
#include "model.h"

#define ROUNDS 60000u

struct state {
	struct model *m;
	u64 seed;
	void *pages[8]; /* directory, table, ring, and what page tables are made of */
	u64 nr_passed;
};

/* An item of a page table that names @oa, as the model's format has it. */
static u64 some_item(struct state *s, u64 oa)
{
	u64 r = rnd(&s->seed);

	if (s->m->ops == &model_vtd)
		return oa | (r & r >> 12 & r >> 24 & r >> 36 & 0xfff) |
		       (r >> 48 & 3 ? 3 : r >> 50 & 3);
	return oa << 1 | (r & 12 ? 3 : r & 3) << 61 | (r >> 8 & 3) << 9 | 1;
}

/* A word that may mean something: an address of a table, of memory, of nothing, with some bits. */
static u64 some_word(struct state *s)
{
	u64 r = rnd(&s->seed), page = pool_oa(s->m, s->pages[r >> 8 & 7]);

	switch (r % 8) {
	case 0:
		return r >> 8;
	case 1:
		return 1ull << (r >> 8) % 64;
	case 2:
	case 3:
		return some_item(s, rig_oa(&s->m->r, (r >> 8) % RIG_LEN & ~0xfffull).v);
	case 4: /* a descriptor, maybe */
		return (r >> 8 & 0x3f) | (r >> 16 & 7) << 16 | (r >> 24 & 0xff) << 32;
	case 5:
		return page | (r >> 16 & 7);
	default:
		return some_item(s, page);
	}
}

/* An item for page @idx such that walks have a chance: 4, 5, 6 are tables of level 0, 1, 2. */
static u64 some_target(struct state *s, unsigned idx)
{
	u64 r = rnd(&s->seed), memory = rig_oa(&s->m->r, (r >> 8) % RIG_LEN & ~0xfffull).v;

	if (s->m->ops == &model_vtd)
		return some_item(s, r & 1 ? pool_oa(s->m, s->pages[4 + (r >> 8 & 3)]) : memory);
	if (idx == 5 || idx == 6)
		return (some_item(s, pool_oa(s->m, s->pages[idx - 1])) & ~(7ull << 9)) |
		       (idx - 4) << 9;
	return some_item(s, memory) & ~(3ull << 9);
}

static u64 *some_place(struct state *s)
{
	u64 r = rnd(&s->seed);

	return (u64 *)s->pages[r & 7] + (r >> 8) % 512;
}

/* With addresses small enough to be hit again. */
static u64 some_iova(struct state *s)
{
	u64 r = rnd(&s->seed);

	return r % 4 ? r >> 8 & 0x7fff : r >> (r % 64);
}

static void some_register(struct state *s)
{
	static const u32 of_vtd[] = {VTD_GCMD, VTD_RTADDR, VTD_FSTS, VTD_FECTL,	   VTD_IQT,
				     VTD_IQA,  VTD_IECTL,  VTD_ICS,  VTD_FRCD + 12};
	bool vtd = s->m->ops == &model_vtd;
	u64 r = rnd(&s->seed);
	u32 off = (u32)(r >> 8) & 0x7f8;
	unsigned len = r & 1 ? 8 : 4;

	if (vtd && r & 2)
		off = of_vtd[(r >> 20) % ARRAY_SIZE(of_vtd)];
	else if (!vtd)
		off = (u32)(r >> 8) & 0x78;
	s->m->hw->ops->reg_write(s->m->hw, off, some_word(s), vtd ? len : 8);
	s->m->hw->ops->reg_read(s->m->hw, (u32)(r >> 40) & 0xfff, len);
}

/* The unit runs, its queue and tables in the pages that are being scribbled on. */
static void restart(struct state *s)
{
	struct model *m = s->m;
	struct pt pt = {.root = s->pages[6], .top_level = m->ops->top_level};

	m->hw->ops->reset(m->hw);
	m->tail = 0;
	m->dir[1] = m->dir[3] = 0;
	m->ops->start(m);
	m->ops->set_context(m, MODEL_RID, &pt, rnd(&s->seed) % 8);
	if (m->ops == &model_mock)
		set64(m, MOCK_FL_BASE, pool_oa(m, s->pages[4]) | 7);
}

static void one_dma(struct state *s)
{
	struct model *m = s->m;
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	struct xlate_res res;
	u64 iova = some_iova(s), r = rnd(&s->seed);
	enum perm perm = 1 + r % 3;

	epoch_enter(slot, NULL);
	if (!hw_xlate(&m->port, PASID(r & 0x100 ? r >> 16 & 0x1ff : 0), IOVA(iova), perm, &res,
		      NULL)) {
		/* All of what it allows lies in the memory that is there. */
		u64 len = res.last - iova;

		assert_true(res.last >= iova);
		assert_ptr_equal(res.seg, m->r.seg);
		assert_true(res.host >= m->r.host);
		assert_true((u64)(res.host - m->r.host) + len < RIG_LEN);
		assert_int_equal(res.oa.v - m->r.seg->base.v, res.host - m->r.host);
		assert_int_equal(res.perm & perm, perm);
		s->nr_passed++;
	}
	epoch_leave(slot);
}

static void test_scribbles(void **state)
{
	struct model *m = *state;
	struct state s = {.m = m, .seed = 0x1234567};
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);

	for (unsigned i = 0; i < 4; i++)
		s.pages[i + 4] = table_alloc(&m->r.mem);
	s.pages[0] = m->dir;
	s.pages[1] = m->table;
	s.pages[2] = m->ring;
	s.pages[3] = (u8 *)m->table + PAGE_SIZE;
	restart(&s);
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned n = rnd(&s.seed) % 8; n; n--)
			__atomic_store_n(some_place(&s), some_word(&s), __ATOMIC_RELAXED);
		/* some of the time, a whole page of plausible items */
		if (i % 16 == 0)
			for (unsigned n = 0, idx = 4 + i / 16 % 4; n < 512; n++)
				((u64 *)s.pages[idx])[n] = some_target(&s, idx);
		if (i % 4 == 0)
			some_register(&s);
		for (unsigned n = 0; n < 4; n++)
			one_dma(&s);
		if (i % 64 == 0)
			restart(&s);
		if (i % 512 == 0) {
			json_t *j = json_object();

			epoch_enter(slot, NULL);
			m->hw->ops->explain(m->hw, RID(MODEL_RID), NO_PASID, IOVA(some_iova(&s)),
					    j);
			epoch_leave(slot);
			m->hw->ops->describe(m->hw, j);
			json_decref(j);
		}
	}
	assert_true(hw_stats(m->hw).nr_walks > ROUNDS / 4);
	print_message("%s: %llu of %u accesses passed\n", m->ops->name,
		      (unsigned long long)s.nr_passed, ROUNDS * 4);
	assert_true(s.nr_passed > ROUNDS / 100);
	for (unsigned i = 4; i < 8; i++)
		table_free(&m->r.mem, s.pages[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_scribbles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
