/* SPDX-License-Identifier: MIT */
/* The mock by registers: dirty bits, PASIDs, its ring of commands and its ring of faults. */
#include "model.h"

static bool is_dirty(struct model *m, struct pt *pt, u64 iova)
{
	struct pt_leaf leaf;

	OK(amdv1_mock_walk(&m->r.mem, table_oa(&m->r.mem, pt->root), pt->top_level, iova, &leaf));
	return leaf.dirty;
}

static void no_dirty(void *arg, u64 iova, u64 len)
{
}

static void clear_dirty(struct pt *pt)
{
	struct pt_gather g;

	pt_gather_init(&g);
	pt_dirty(pt, (struct iova_range){0, pt->last_iova}, 0, no_dirty, NULL, &g);
}

static void test_dirty(void **state)
{
	struct model *m = *state;
	struct pt pt;
	u8 *at;

	model_pt(m, &pt, 4096, PT_FEAT_DIRTY);
	model_map(m, &pt, MODEL_IOVA, 0, 8192, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	OK(rig_write(&m->r, &m->port, MODEL_IOVA, 1));
	assert_false(is_dirty(m, &pt, MODEL_IOVA)); /* the entry does not ask for it */

	m->table[(MODEL_RID & 0xff) * MOCK_DEV_WORDS] |= MOCK_ENT_D;
	m->ops->drop_context(m, MODEL_RID);
	m->ops->drop_domain(m, 1);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	assert_false(is_dirty(m, &pt, MODEL_IOVA));
	OK(rig_write(&m->r, &m->port, MODEL_IOVA,
		     2)); /* cached for reading: the write must be seen */
	assert_true(is_dirty(m, &pt, MODEL_IOVA));
	assert_false(is_dirty(m, &pt, MODEL_IOVA + 4096));
	OK(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA + 4096, PERM_RW, &at, NULL));
	assert_true(is_dirty(m, &pt, MODEL_IOVA + 4096));

	clear_dirty(&pt);
	OK(rig_write(&m->r, &m->port, MODEL_IOVA,
		     3)); /* cached with the right to write: not seen */
	assert_false(is_dirty(m, &pt, MODEL_IOVA));
	m->ops->drop_range(m, 1, MODEL_IOVA, 12);
	OK(rig_write(&m->r, &m->port, MODEL_IOVA, 4));
	assert_true(is_dirty(m, &pt, MODEL_IOVA));
	pt_fini(&pt);
}

static void test_pasids(void **state)
{
	struct model *m = *state;
	u64 *e = m->table + (MODEL_RID & 0xff) * MOCK_DEV_WORDS;
	u64 *high = table_alloc(&m->r.mem), *mid = table_alloc(&m->r.mem),
	    *low = table_alloc(&m->r.mem);
	struct pt a, b;
	u8 *at;
	struct xlate_fault f;
	u32 pasid = 0xabcde;

	model_pt(m, &a, 4096, 0);
	model_pt(m, &b, 4096, 0);
	model_map(m, &a, MODEL_IOVA, 0, 4096, PERM_RW);
	model_map(m, &b, MODEL_IOVA, 4096, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &a, 1);
	m->ops->start(m);
	FAILS(rig_xlate(&m->r, &m->port, PASID(pasid), MODEL_IOVA, PERM_R, &at, &f), EFAULT);
	assert_int_equal(f.reason, XLATE_BLOCKED);
	e[2] = pool_oa(m, high) | MOCK_DIR_P;
	high[pasid >> 17] = pool_oa(m, mid) | MOCK_DIR_P;
	mid[pasid >> 8 & 511] = pool_oa(m, low) | MOCK_DIR_P;
	low[(pasid & 255) * 2] = pool_oa(m, b.root) | MOCK_ENT_TOP(b.top_level) | MOCK_ENT_V;
	low[(pasid & 255) * 2 + 1] = 2;
	for (unsigned i = 0; i < 3; i++) {
		OK(rig_xlate(&m->r, &m->port, PASID(pasid), MODEL_IOVA, PERM_R, &at, &f));
		assert_ptr_equal(at, m->r.host + 4096);
		assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	}
	/* neighbours, also those that share its cache slot */
	for (unsigned i = 1; i < 64; i++)
		FAILS(rig_xlate(&m->r, &m->port, PASID(pasid ^ i), MODEL_IOVA, PERM_R, &at, &f),
		      EFAULT);
	low[(pasid & 255) * 2] = 0;
	OK(rig_xlate(&m->r, &m->port, PASID(pasid), MODEL_IOVA, PERM_R, &at, &f));
	m->ops->drop_context(m, MODEL_RID);
	FAILS(rig_xlate(&m->r, &m->port, PASID(pasid), MODEL_IOVA, PERM_R, &at, &f), EFAULT);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	e[2] = 0;
	pt_fini(&a);
	pt_fini(&b);
	table_free(&m->r.mem, high);
	table_free(&m->r.mem, mid);
	table_free(&m->r.mem, low);
}

static void test_bad_tables(void **state)
{
	struct model *m = *state;
	u64 *e = m->table + (MODEL_RID & 0xff) * MOCK_DEV_WORDS, *dir = m->dir + (MODEL_RID >> 8);
	struct pt pt;
	struct xlate_fault f;
	u8 *at;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	struct {
		u64 *word, value;
		enum xlate_reason why;
	} cases[] = {
		{dir, 0, XLATE_BLOCKED},
		{dir, *dir | 2, XLATE_BAD_TABLE},
		{dir, 1ull << 47 | 1, XLATE_BAD_TABLE},
		{&e[0], 0, XLATE_BLOCKED},
		{&e[0], e[0] | 1ull << 60, XLATE_BAD_TABLE},
		{&e[0], e[0] | 7 << 2, XLATE_BAD_TABLE},
		{&e[0], 1ull << 47 | (e[0] & 0xfff), XLATE_BAD_TABLE},
		{&e[1], 1ull << 32, XLATE_BAD_TABLE},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 was = *cases[i].word;

		*cases[i].word = cases[i].value;
		m->ops->drop_context(m, MODEL_RID);
		m->ops->drop_all(m);
		FAILS(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA, PERM_R, &at, &f), EFAULT);
		assert_int_equal(f.reason, cases[i].why);
		*cases[i].word = was;
		m->ops->drop_context(m, MODEL_RID);
		assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	}
	pt_fini(&pt);
}

static void test_bad_commands(void **state)
{
	struct model *m = *state;
	const u64 bad[][2] = {
		{0, 0},
		{99, 0},
		{MOCK_CMD_TLB_ALL | 1 << 16, 0},
		{MOCK_CMD_MAKE(MOCK_CMD_TLB_RANGE, 12, 1), 0x800},
		{MOCK_CMD_MAKE(MOCK_CMD_TLB_RANGE, 65, 1), 0},
		{MOCK_CMD_MAKE(MOCK_CMD_SYNC, 0, 1), 2},
	};

	m->ops->start(m);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		u32 at = m->tail;

		m->ring[at * 2] = bad[i][0];
		m->ring[at * 2 + 1] = bad[i][1];
		m->tail = (m->tail + 1) % RING_LEN;
		set64(m, MOCK_CQ_TAIL, m->tail);
		assert_int_equal(reg64(m, MOCK_STATUS), MOCK_STATUS_BAD_CMD);
		assert_int_equal(reg64(m, MOCK_CQ_HEAD), at);
		assert_int_equal(m->nr_irqs, i + 1);
		set64(m, MOCK_STATUS, MOCK_STATUS_BAD_CMD);
		assert_int_equal(reg64(m, MOCK_STATUS), 0);
		m->ops->drop_all(m);
	}
	m->ops->command(m, MOCK_CMD_MAKE(MOCK_CMD_SYNC, 0, 1), 1ull << 47); /* no memory: nowhere */
	m->ops->command(m, MOCK_CMD_MAKE(MOCK_CMD_TLB_RANGE, 64, 1), 0);
	set64(m, MOCK_CQ_TAIL, RING_LEN);
	assert_int_equal(reg64(m, MOCK_STATUS), MOCK_STATUS_BAD_CMD);
}

static void test_fault_ring(void **state)
{
	struct model *m = *state;
	u64 *ring = table_alloc(&m->r.mem);

	m->ops->start(m);
	assert_int_equal(model_reach(m, 0x1000), -1); /* no ring yet */
	assert_int_equal(reg64(m, MOCK_STATUS), MOCK_STATUS_OVERFLOW);
	set64(m, MOCK_STATUS, MOCK_STATUS_OVERFLOW);
	set64(m, MOCK_FL_BASE, pool_oa(m, ring) | 2);
	m->nr_irqs = 0;
	for (u64 i = 0; i < 3; i++)
		FAILS(rig_write(&m->r, &m->port, 0x5001 + i, 1), EFAULT);
	assert_int_equal(m->nr_irqs, 1);
	assert_int_equal(reg64(m, MOCK_FL_TAIL), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ring[i * 4] & 0xff, XLATE_BLOCKED);
		assert_int_equal(ring[i * 4] >> 8 & 3, PERM_W);
		assert_int_equal(ring[i * 4] >> 32, MODEL_RID);
		assert_int_equal(ring[i * 4 + 2], 0x5001 + i);
	}
	assert_int_equal(model_reach(m, 0), -1);
	assert_int_equal(reg64(m, MOCK_STATUS), MOCK_STATUS_FAULT | MOCK_STATUS_OVERFLOW);
	set64(m, MOCK_FL_HEAD, 2);
	assert_int_equal(model_reach(m, 0), -1);
	assert_int_equal(reg64(m, MOCK_FL_TAIL), 0);
	table_free(&m->r.mem, ring);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, model_setup_mock, model_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dirty),	 TEST(test_pasids),	TEST(test_bad_tables),
		TEST(test_bad_commands), TEST(test_fault_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
