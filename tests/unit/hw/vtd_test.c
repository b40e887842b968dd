/* SPDX-License-Identifier: MIT */
/* VT-d by registers: fault reasons, fault recording, the queue and its errors. */
#include "model.h"

struct seen {
	u32 reason, sid;
	u64 fi;
	bool read;
};

/* Take the pending fault record. Return: false when there is none. */
static bool take_record(struct model *m, struct seen *out)
{
	u32 at = VTD_FRCD + VTD_FSTS_FRI(reg32(m, VTD_FSTS)) * 16;
	u64 hi = reg64(m, at + 8);

	if (!(hi & VTD_FRCD_HI_F))
		return false;
	*out = (struct seen){VTD_FRCD_HI_FR(hi), VTD_FRCD_HI_SID(hi), VTD_FRCD_LO_FI(reg64(m, at)),
			     hi & VTD_FRCD_HI_READ};
	set32(m, at + 12, 1u << 31);
	return true;
}

struct env_of_fault {
	struct pt pt;
	u64 *leaf; /* the leaf of MODEL_IOVA */
};

static void prepare(struct model *m, struct env_of_fault *e)
{
	struct pt_step steps[8];
	unsigned n;

	model_pt(m, &e->pt, 4096, 0);
	model_map(m, &e->pt, MODEL_IOVA, 0, 4096, PERM_RW);
	n = pt_vtdss.steps(&m->r.mem, table_oa(&m->r.mem, e->pt.root), e->pt.top_level, MODEL_IOVA,
			   steps, 8);
	e->leaf = table_at(&m->r.mem, steps[n - 1].item, 8);
	m->ops->set_context(m, MODEL_RID, &e->pt, 5);
	m->ops->start(m);
	memset(m->r.host, RIG_FILL, 4096);
}

/* The access must be refused with @reason, recorded once, and memory must be as it was. */
static void expect(struct model *m, enum perm perm, u64 iova, u32 reason)
{
	struct xlate_fault f;
	struct seen s;
	u8 *at;

	m->ops->drop_context(m, MODEL_RID);
	m->ops->drop_all(m);
	if (perm == PERM_W)
		FAILS(rig_write(&m->r, &m->port, iova, 0x11), EFAULT);
	else
		FAILS(rig_xlate(&m->r, &m->port, NO_PASID, iova, perm, &at, &f), EFAULT);
	assert_int_equal(m->r.host[0], RIG_FILL);
	assert_true(take_record(m, &s));
	assert_int_equal(s.reason, reason);
	assert_int_equal(s.sid, MODEL_RID);
	assert_int_equal(s.fi, iova & ~0xfffull);
	assert_int_equal(s.read, perm == PERM_R);
	assert_false(take_record(m, &s));
}

#define SPOILED(word, value, ...)                                                                  \
	do {                                                                                       \
		u64 was_ = (word);                                                                 \
		(word) = (value);                                                                  \
		__VA_ARGS__;                                                                       \
		(word) = was_;                                                                     \
	} while (0)

static void test_fault_reasons(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;
	u64 *root, *ctx;
	const u64 nowhere = 1ull << 47;

	prepare(m, &e);
	root = m->dir + 2 * (MODEL_RID >> 8);
	ctx = m->table + 2 * (MODEL_RID & 0xff);
	SPOILED(root[0], 0, expect(m, PERM_W, MODEL_IOVA, 0x1));
	SPOILED(ctx[0], 0, expect(m, PERM_R, MODEL_IOVA, 0x2));
	SPOILED(ctx[0], ctx[0] | 2 << 2, expect(m, PERM_W, MODEL_IOVA, 0x3)); /* pass-through */
	SPOILED(ctx[0], ctx[0] | 1 << 2, expect(m, PERM_W, MODEL_IOVA, 0x3)); /* device TLB */
	SPOILED(ctx[1], ctx[1] | 7, expect(m, PERM_W, MODEL_IOVA, 0x3));
	SPOILED(ctx[1], ctx[1] & ~7ull, expect(m, PERM_W, MODEL_IOVA, 0x3));
	expect(m, PERM_W, 1ull << 48, 0x4);
	expect(m, PERM_R, UINT64_MAX, 0x4);
	SPOILED(*e.leaf, *e.leaf & ~2ull, expect(m, PERM_W, MODEL_IOVA, 0x5));
	SPOILED(*e.leaf, *e.leaf & ~1ull, expect(m, PERM_R, MODEL_IOVA, 0x6));
	SPOILED(*e.leaf, 0, expect(m, PERM_W, MODEL_IOVA, 0x5));
	SPOILED(*e.leaf, 0, expect(m, PERM_R, MODEL_IOVA, 0x6));
	SPOILED(ctx[0], nowhere | 1, expect(m, PERM_W, MODEL_IOVA, 0x7));
	SPOILED(((u64 *)e.pt.root)[0], nowhere | 3, expect(m, PERM_W, MODEL_IOVA, 0x7));
	SPOILED(root[0], nowhere | 1, expect(m, PERM_W, MODEL_IOVA, 0x9));
	SPOILED(root[0], root[0] | 0x10, expect(m, PERM_W, MODEL_IOVA, 0xa));
	SPOILED(root[1], 1, expect(m, PERM_W, MODEL_IOVA, 0xa));
	SPOILED(ctx[0], ctx[0] | 0x10, expect(m, PERM_W, MODEL_IOVA, 0xb));
	SPOILED(ctx[1], ctx[1] | 1ull << 40, expect(m, PERM_W, MODEL_IOVA, 0xb));
	SPOILED(((u64 *)e.pt.root)[0], ((u64 *)e.pt.root)[0] | 1ull << 7,
		expect(m, PERM_W, MODEL_IOVA, 0xc)); /* a leaf where none may be */
	expect(m, PERM_W, 0xfee00000, 0x25);
	expect(m, PERM_R, 0xfeefffff, 0x25);

	set64(m, VTD_RTADDR, nowhere);
	set32(m, VTD_GCMD, VTD_GCMD_TE | VTD_GCMD_QIE | VTD_GCMD_SRTP);
	expect(m, PERM_W, MODEL_IOVA, 0x8);
	set64(m, VTD_RTADDR, pool_oa(m, m->dir) | 1 << 10);
	set32(m, VTD_GCMD, VTD_GCMD_TE | VTD_GCMD_QIE | VTD_GCMD_SRTP);
	expect(m, PERM_W, MODEL_IOVA, 0x30);
	set32(m, VTD_GCMD, VTD_GCMD_QIE);
	expect(m, PERM_W, MODEL_IOVA, 0x0);
	pt_fini(&e.pt);
}

static void test_39_bits(void **state)
{
	struct model *m = *state;
	const struct pt_cfg cfg = {.va_bits = 39, .oa_bits = 48};
	struct pt pt;

	OK(pt_init(&pt, &pt_vtdss, &m->r.mem, &cfg));
	assert_int_equal(pt.top_level, 2);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 5);
	m->ops->start(m);
	memset(m->r.host, RIG_FILL, 4096);
	assert_int_equal(model_reach(m, MODEL_IOVA + 9), 9);
	expect(m, PERM_W, 1ull << 39 | MODEL_IOVA, 0x4);
	pt_fini(&pt);
}

static void test_pasid_in_legacy_mode(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;
	struct xlate_fault f;
	struct seen s;
	u8 *at;

	prepare(m, &e);
	FAILS(rig_xlate(&m->r, &m->port, PASID(1), MODEL_IOVA, PERM_R, &at, &f), EFAULT);
	assert_int_equal(f.code, 0x31);
	assert_int_equal(VTD_FRCD_HI_PASID(reg64(m, VTD_FRCD + 8)), 1);
	assert_true(reg64(m, VTD_FRCD + 8) & VTD_FRCD_HI_PP);
	assert_true(take_record(m, &s));
	pt_fini(&e.pt);
}

static void test_fault_processing_disabled(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;
	struct seen s;

	prepare(m, &e);
	m->table[2 * (MODEL_RID & 0xff)] |= VTD_CTX_FPD;
	assert_int_equal(model_reach(m, MODEL_IOVA + 4096), -1);
	assert_false(take_record(m, &s));
	assert_int_equal(m->nr_irqs, 0);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	pt_fini(&e.pt);
}

/* Eight records, then overflow; one interrupt until all is cleared. */
static void test_recording(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;
	struct seen s;

	prepare(m, &e);
	for (u64 i = 0; i < 8; i++)
		assert_int_equal(model_reach(m, (i + 1) << 12), -1);
	assert_int_equal(m->nr_irqs, 1);
	assert_int_equal(reg32(m, VTD_FSTS), VTD_FSTS_PPF);
	assert_int_equal(model_reach(m, 99 << 12), -1);
	assert_int_equal(reg32(m, VTD_FSTS), VTD_FSTS_PPF | VTD_FSTS_PFO);
	for (u64 i = 0; i < 8; i++) {
		assert_int_equal(VTD_FSTS_FRI(reg32(m, VTD_FSTS)), i);
		assert_true(take_record(m, &s));
		assert_int_equal(s.fi, (i + 1) << 12);
		/* lost as long as PFO stands, though there is room now */
		assert_int_equal(model_reach(m, 98 << 12), -1);
	}
	assert_false(take_record(m, &s));
	assert_int_equal(reg32(m, VTD_FSTS) & 0xff, VTD_FSTS_PFO);
	assert_int_equal(m->nr_irqs, 1);
	set32(m, VTD_FSTS, VTD_FSTS_PFO);
	assert_int_equal(model_reach(m, 97 << 12), -1);
	assert_int_equal(m->nr_irqs, 2);
	assert_true(take_record(m, &s));
	assert_int_equal(s.fi, 97 << 12);

	set32(m, VTD_FECTL, VTD_EVENT_IM);
	assert_int_equal(model_reach(m, 96 << 12), -1);
	assert_int_equal(m->nr_irqs, 2);
	assert_int_equal(reg32(m, VTD_FECTL), VTD_EVENT_IM | VTD_EVENT_IP);
	set32(m, VTD_FECTL, 0);
	assert_int_equal(m->nr_irqs, 3);
	assert_int_equal(reg32(m, VTD_FECTL), 0);
	/* masked, then emptied: nothing is left to deliver */
	assert_true(take_record(m, &s));
	set32(m, VTD_FECTL, VTD_EVENT_IM);
	assert_int_equal(model_reach(m, 95 << 12), -1);
	assert_true(take_record(m, &s));
	set32(m, VTD_FECTL, 0);
	assert_int_equal(m->nr_irqs, 3);
	pt_fini(&e.pt);
}

static void test_context_granularity(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;
	const u64 dev =
		VTD_DESC_CONTEXT | VTD_DESC_GRAN(VTD_GRAN_SELECTIVE) | VTD_DESC_SID(MODEL_RID);

	prepare(m, &e);
	m->ops->set_context(m, MODEL_RID2, &e.pt, 6);
	for (unsigned round = 0; round < 4; round++) {
		/* drops port 2's context: not, by mask of three function bits, by domain, globally
		 */
		const u64 lo[] = {dev, dev | 3ull << 48,
				  VTD_DESC_CONTEXT | VTD_DESC_GRAN(VTD_GRAN_DOMAIN) |
					  VTD_DESC_DID(6),
				  VTD_DESC_CONTEXT | VTD_DESC_GRAN(VTD_GRAN_GLOBAL)};

		m->ops->set_context(m, MODEL_RID2, &e.pt, 6);
		assert_int_equal(rig_reach(&m->r, &m->port2, MODEL_IOVA), 0);
		m->ops->set_context(m, MODEL_RID2, NULL, 0);
		assert_int_equal(rig_reach(&m->r, &m->port2, MODEL_IOVA), 0);
		vtd_command(m, lo[round], 0);
		assert_int_equal(rig_reach(&m->r, &m->port2, MODEL_IOVA), round ? -1 : 0);
		m->ops->drop_context(m, MODEL_RID2);
	}
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	pt_fini(&e.pt);
}

/* A descriptor that is refused stops the queue on it, until IQE is cleared. */
static void bad_desc(struct model *m, u64 lo, u64 hi, enum vtd_iqei why)
{
	u32 at = m->tail;
	unsigned irqs = m->nr_irqs;

	atomic_store(m->status, 0);
	vtd_push(m, lo, hi);
	vtd_push(m, VTD_DESC_WAIT | VTD_DESC_WAIT_SW | VTD_DESC_WAIT_DATA(1),
		 pool_oa(m, (void *)m->status));
	vtd_ring(m);
	assert_int_equal(atomic_load(m->status), 0);
	assert_int_equal(reg32(m, VTD_FSTS) & 0xff, VTD_FSTS_IQE);
	assert_int_equal(reg64(m, VTD_IQERCD), why);
	assert_int_equal(reg64(m, VTD_IQH), at << 4);
	assert_int_equal(m->nr_irqs, irqs + 1);
	set32(m, VTD_FSTS, VTD_FSTS_IQE); /* still bad */
	assert_int_equal(reg32(m, VTD_FSTS) & 0xff, VTD_FSTS_IQE);
	m->ring[at * 2] = VTD_DESC_WAIT; /* neither status nor interrupt */
	m->ring[at * 2 + 1] = 0;
	set32(m, VTD_FSTS, VTD_FSTS_IQE);
	assert_int_equal(reg32(m, VTD_FSTS) & 0xff, 0);
	assert_int_equal(atomic_load(m->status), 1);
}

static void test_bad_descriptors(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;
	const u64 iotlb = VTD_DESC_IOTLB, psi = iotlb | VTD_DESC_GRAN(VTD_GRAN_SELECTIVE);

	prepare(m, &e);
	bad_desc(m, 0, 0, VTD_IQEI_TYPE);
	bad_desc(m, 0xf, 0, VTD_IQEI_TYPE);
	bad_desc(m, VTD_DESC_DEV_TLB, 0, VTD_IQEI_TYPE);
	bad_desc(m, VTD_DESC_IEC, 0, VTD_IQEI_TYPE);
	bad_desc(m, VTD_DESC_WAIT | 1 << 9, 0, VTD_IQEI_TYPE);
	bad_desc(m, VTD_DESC_CONTEXT, 0, VTD_IQEI_RSVD); /* granularity 0 */
	bad_desc(m, VTD_DESC_CONTEXT | VTD_DESC_GRAN(1), 1, VTD_IQEI_RSVD);
	bad_desc(m, iotlb, 0, VTD_IQEI_RSVD);
	bad_desc(m, psi | 1ull << 40, 0, VTD_IQEI_RSVD);
	bad_desc(m, psi, 1 << 7, VTD_IQEI_RSVD);
	bad_desc(m, psi, 19, VTD_IQEI_RSVD); /* beyond MAMV */
	bad_desc(m, VTD_DESC_WAIT | 1 << 10, 0, VTD_IQEI_TYPE);
	bad_desc(m, VTD_DESC_WAIT | 1 << 16, 0, VTD_IQEI_RSVD);
	bad_desc(m, VTD_DESC_WAIT | VTD_DESC_WAIT_SW, 2, VTD_IQEI_RSVD);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	pt_fini(&e.pt);
}

static void test_bad_queues(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;

	prepare(m, &e);
	set64(m, VTD_IQT, RING_LEN << 4); /* behind the end */
	assert_int_equal(reg64(m, VTD_IQERCD), VTD_IQEI_TAIL);
	set64(m, VTD_IQT, 0);
	set32(m, VTD_FSTS, VTD_FSTS_IQE);
	assert_int_equal(reg32(m, VTD_FSTS), 0);
	set64(m, VTD_IQA, 1ull << 47);
	set64(m, VTD_IQT, 16);
	assert_int_equal(reg64(m, VTD_IQERCD), VTD_IQEI_FETCH);
	set64(m, VTD_IQT, 0);
	set64(m, VTD_IQA, pool_oa(m, m->ring) | VTD_IQA_DW);
	set32(m, VTD_FSTS, VTD_FSTS_IQE);
	set64(m, VTD_IQT, 16);
	assert_int_equal(reg64(m, VTD_IQERCD), VTD_IQEI_WIDTH);
	/* off and on again: it starts from the beginning */
	set64(m, VTD_IQT, 0);
	set32(m, VTD_FSTS, VTD_FSTS_IQE);
	set64(m, VTD_IQA, pool_oa(m, m->ring));
	set32(m, VTD_GCMD, VTD_GCMD_TE);
	assert_int_equal(reg64(m, VTD_IQH), 0);
	set32(m, VTD_GCMD, VTD_GCMD_TE | VTD_GCMD_QIE);
	m->tail = 0;
	m->ops->drop_all(m);
	pt_fini(&e.pt);
}

static void test_wait_descriptor(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;

	prepare(m, &e);
	/* a status address without memory: the store goes nowhere, the queue goes on */
	vtd_command(m, VTD_DESC_WAIT | VTD_DESC_WAIT_SW | VTD_DESC_WAIT_DATA(7), 1ull << 47);
	vtd_command(m, VTD_DESC_WAIT | VTD_DESC_WAIT_SW | VTD_DESC_WAIT_DATA(7),
		    UINT64_MAX & ~3ull);
	assert_int_equal(reg32(m, VTD_FSTS), 0);
	/* its interrupt */
	assert_int_equal(reg32(m, VTD_IECTL), VTD_EVENT_IM);
	vtd_command(m, VTD_DESC_WAIT | VTD_DESC_WAIT_IF, 0);
	assert_int_equal(m->nr_irqs, 0);
	assert_int_equal(reg32(m, VTD_ICS), VTD_ICS_IWC);
	set32(m, VTD_IECTL, 0);
	assert_int_equal(m->nr_irqs, 1);
	vtd_command(m, VTD_DESC_WAIT | VTD_DESC_WAIT_IF, 0); /* not answered yet: no second one */
	assert_int_equal(m->nr_irqs, 1);
	set32(m, VTD_ICS, VTD_ICS_IWC);
	vtd_command(m, VTD_DESC_WAIT | VTD_DESC_WAIT_IF, 0);
	assert_int_equal(m->nr_irqs, 2);
	pt_fini(&e.pt);
}

static void test_queue_wraps(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;

	prepare(m, &e);
	for (unsigned i = 0; i < 3 * RING_LEN; i++)
		m->ops->drop_all(m);
	/* a batch across the end */
	while (m->tail != RING_LEN - 2)
		vtd_push(m, VTD_DESC_WAIT, 0);
	for (unsigned i = 0; i < 5; i++)
		vtd_push(m, VTD_DESC_WAIT, 0);
	m->ops->drop_all(m);
	assert_int_equal(reg64(m, VTD_IQH), reg64(m, VTD_IQT));
	pt_fini(&e.pt);
}

/* Leaves may lie over the interrupt range; it is not translated, and nothing cached covers it. */
static void test_interrupt_range(void **state)
{
	struct model *m = *state;
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	struct xlate_res res;
	struct pt pt;

	model_pt(m, &pt, 0, 0);
	model_map(m, &pt, 3ull << 30, 0, 1ull << 30, PERM_RW); /* one leaf */
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	epoch_enter(slot, NULL);
	OK(hw_xlate(&m->port, NO_PASID, IOVA(3ull << 30), PERM_R, &res, NULL));
	assert_int_equal(res.last, 0xfedfffff);
	epoch_leave(slot);
	assert_int_equal(model_reach(m, 0xfee00000), -1);
	assert_int_equal(model_reach(m, 0xfeefffff), -1);
	assert_int_equal(model_reach(m, 0xfef00000), 0x3ef00000);
	assert_int_equal(model_reach(m, 0xfeefffff), -1);
	assert_int_equal(model_reach(m, 0xfedfffff), 0x3edfffff);
	assert_int_equal(model_reach(m, 0xfee00000), -1);
	pt_fini(&pt);
}

static void test_registers_by_halves(void **state)
{
	struct model *m = *state;
	struct env_of_fault e;

	prepare(m, &e);
	set32(m, VTD_RTADDR, 0x12345000);
	set32(m, VTD_RTADDR + 4, 0x7);
	assert_int_equal(reg64(m, VTD_RTADDR), 0x712345000);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0); /* not latched */
	assert_int_equal(reg32(m, VTD_CAP + 4), reg64(m, VTD_CAP) >> 32);
	set64(m, VTD_CAP, 0);
	assert_int_not_equal(reg64(m, VTD_CAP), 0);
	assert_int_equal(reg32(m, VTD_GSTS), VTD_GCMD_TE | VTD_GCMD_QIE | VTD_GCMD_SRTP);
	/* accesses that no register takes */
	m->hw->ops->reg_write(m->hw, VTD_GCMD, 0, 1);
	m->hw->ops->reg_write(m->hw, VTD_GCMD + 2, 0, 4);
	m->hw->ops->reg_write(m->hw, UINT32_MAX & ~7u, 0, 8);
	assert_int_equal(m->hw->ops->reg_read(m->hw, VTD_GCMD + 1, 4), 0);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	pt_fini(&e.pt);
}

static void test_widths(void **state)
{
	struct model *m = *state;
	struct hw_vtd_cfg cfg = {.aw_bits = 57};
	struct hw_iommu *hw;

	FAILS(hw_vtd_new(&m->r.env, &m->r.mem, &cfg, &hw), EINVAL);
	cfg.aw_bits = 39;
	OK(hw_vtd_new(&m->r.env, &m->r.mem, &cfg, &hw));
	assert_int_equal(VTD_CAP_GET_MGAW(hw->ops->reg_read(hw, VTD_CAP, 8)), 39);
	assert_int_equal(VTD_CAP_GET_SAGAW(hw->ops->reg_read(hw, VTD_CAP, 8)), 2);
	hw->ops->free(hw);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, model_setup_vtd, model_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fault_reasons),
		TEST(test_39_bits),
		TEST(test_pasid_in_legacy_mode),
		TEST(test_fault_processing_disabled),
		TEST(test_recording),
		TEST(test_context_granularity),
		TEST(test_bad_descriptors),
		TEST(test_bad_queues),
		TEST(test_wait_descriptor),
		TEST(test_queue_wraps),
		TEST(test_interrupt_range),
		TEST(test_registers_by_halves),
		TEST(test_widths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
