/* SPDX-License-Identifier: MIT */
/*
 * mock: an IOMMU of our own (mock_regs.h) over AMD-v1-like tables of 2 KiB pages, with PASIDs and
 * dirty bits, for trying the object model.
 */
#include "hw/mock.h"

static int refuse(struct xlate_fault *fault, enum xlate_reason reason)
{
	fault->reason = reason;
	fault->code = 0;
	return -EFAULT;
}

/* One word of a directory. Return: the table's OA in *out, or -EFAULT and why. */
static int read_dir(struct hw_mock *m, u64 oa, u64 *out, struct xlate_fault *fault)
{
	u64 word;

	if (hw_mem_read(m->hw.mem, OA(oa), &word, sizeof(word)))
		return refuse(fault, XLATE_BAD_TABLE);
	if (!(word & MOCK_DIR_P))
		return refuse(fault, XLATE_BLOCKED);
	if (word & MOCK_DIR_RSVD)
		return refuse(fault, XLATE_BAD_TABLE);
	*out = MOCK_DIR_OA(word);
	return 0;
}

/* Where the two words of (RID, PASID) are. */
static int find_entry(struct hw_mock *m, rid_t rid, pasid_t pasid, u64 *out_oa,
		      struct xlate_fault *fault)
{
	u64 oa, table;
	int rc;

	if (!(atomic_load(&m->ctrl) & MOCK_CTRL_ENABLE) || rid.v > 0xffff)
		return refuse(fault, XLATE_BLOCKED);
	rc = read_dir(m, MOCK_DIR_OA(atomic_load(&m->dt_base)) + (rid.v >> 8) * 8, &table, fault);
	if (rc)
		return rc;
	oa = table + (rid.v & 0xff) * MOCK_DEV_WORDS * 8;
	if (pasid.v) {
		if (pasid.v >> MOCK_PASID_BITS)
			return refuse(fault, XLATE_BLOCKED);
		rc = read_dir(m, oa + 16, &table, fault);
		if (rc)
			return rc;
		rc = read_dir(m, table + MOCK_PASID_HIGH(pasid.v) * 8, &table, fault);
		if (rc)
			return rc;
		rc = read_dir(m, table + MOCK_PASID_MID(pasid.v) * 8, &table, fault);
		if (rc)
			return rc;
		oa = table + MOCK_PASID_LOW(pasid.v) * 16;
	}
	*out_oa = oa;
	return 0;
}

/* An entry's words are one access on the bus: read until they belong together. */
static int read_entry(struct hw_mock *m, u64 oa, u64 e[2])
{
	u64 again[2];

	if (hw_mem_read(m->hw.mem, OA(oa), e, 16))
		return -EFAULT;
	for (unsigned i = 0; i < 100; i++) {
		if (hw_mem_read(m->hw.mem, OA(oa), again, 16))
			return -EFAULT;
		if (!memcmp(e, again, 16))
			break;
		memcpy(e, again, 16);
	}
	return 0;
}

static int mock_context(struct hw_iommu *hw, rid_t rid, pasid_t pasid, struct hw_context *out,
			struct xlate_fault *fault)
{
	struct hw_mock *m = to_mock(hw);
	u64 oa, e[2];
	int rc;

	rc = find_entry(m, rid, pasid, &oa, fault);
	if (rc)
		return rc;
	if (read_entry(m, oa, e))
		return refuse(fault, XLATE_BAD_TABLE);
	if (!(e[0] & MOCK_ENT_V))
		return refuse(fault, XLATE_BLOCKED);
	if (e[0] & MOCK_ENT_RSVD || e[1] >> 32 || MOCK_ENT_GET_TOP(e[0]) > 4)
		return refuse(fault, XLATE_BAD_TABLE);
	*out = (struct hw_context){
		.did = (u32)e[1],
		.top_level = (u8)MOCK_ENT_GET_TOP(e[0]),
		.flags = e[0] & MOCK_ENT_D ? HW_CONTEXT_DIRTY : 0,
		.root = OA(MOCK_ENT_OA(e[0])),
		.last = (1ull << (11 + 9 * (MOCK_ENT_GET_TOP(e[0]) + 1))) - 1,
	};
	return 0;
}

static int mock_walk(struct hw_iommu *hw, const struct hw_context *ctx, iova_t iova, enum perm perm,
		     struct pt_leaf *out, struct xlate_fault *fault)
{
	int rc;

	if (unlikely(iova.v > ctx->last))
		return refuse(fault, XLATE_RANGE);
	rc = amdv1_mock_walk(hw->mem, ctx->root, ctx->top_level, iova.v, out);
	if (unlikely(rc))
		return refuse(fault, rc == -ENOENT ? XLATE_NOT_PRESENT : XLATE_BAD_TABLE);
	if (unlikely((out->perm & perm) != perm))
		return refuse(fault, XLATE_PERM);
	if (!(ctx->flags & HW_CONTEXT_DIRTY) || out->dirty)
		return 0;
	/* A clean leaf is cached without W, so that its first write comes here. */
	if (perm & PERM_W)
		amdv1_mock_leaf_set_dirty(hw->mem, out);
	else
		out->perm &= (u8)~PERM_W;
	return 0;
}

static u64 *mock_reg(struct hw_mock *m, u32 off)
{
	switch (off) {
	case MOCK_CQ_BASE:
		return &m->cq_base;
	case MOCK_CQ_HEAD:
		return &m->cq_head;
	case MOCK_CQ_TAIL:
		return &m->cq_tail;
	case MOCK_FL_BASE:
		return &m->fl_base;
	case MOCK_FL_HEAD:
		return &m->fl_head;
	case MOCK_FL_TAIL:
		return &m->fl_tail;
	case MOCK_STATUS:
		return &m->status;
	default:
		return NULL;
	}
}

static u64 mock_reg_read(struct hw_iommu *hw, u32 off, unsigned len)
{
	struct hw_mock *m = to_mock(hw);
	const u64 *reg;
	u64 value;

	if (len != 8 || off % 8)
		return 0;
	lock_take(&hw->lock);
	reg = mock_reg(m, off);
	value = off == MOCK_ID	      ? MOCK_ID_VALUE
		: off == MOCK_CTRL    ? atomic_load(&m->ctrl)
		: off == MOCK_DT_BASE ? atomic_load(&m->dt_base)
		: reg		      ? *reg
				      : 0;
	lock_drop(&hw->lock);
	return value;
}

static void write_ctrl(struct hw_mock *m, u64 value) MUST_HOLD(m->hw.lock)
{
	u64 old = atomic_exchange(&m->ctrl, value & (MOCK_CTRL_ENABLE | MOCK_CTRL_IRQ));

	/* Off blocks at once: without a context nothing in the IOTLB matches. */
	if (old & ~value & MOCK_CTRL_ENABLE)
		context_drop_all(&m->hw);
	mock_queue_run(m);
}

static void write_reg(struct hw_mock *m, u32 off, u64 value) MUST_HOLD(m->hw.lock)
{
	u64 *reg = mock_reg(m, off);

	switch (off) {
	case MOCK_CTRL:
		write_ctrl(m, value);
		break;
	case MOCK_DT_BASE:
		atomic_store(&m->dt_base, value);
		break;
	case MOCK_CQ_BASE:
		m->cq_base = value;
		m->cq_head = m->cq_tail = 0;
		break;
	case MOCK_FL_BASE:
		m->fl_base = value;
		m->fl_head = m->fl_tail = 0;
		break;
	case MOCK_FL_HEAD:
		*reg = value;
		break;
	case MOCK_CQ_TAIL:
		*reg = value;
		mock_queue_run(m);
		break;
	case MOCK_STATUS: {
		u64 cleared = m->status & value;

		m->status &= ~value;
		if (cleared & MOCK_STATUS_BAD_CMD)
			mock_queue_skip(m);
		break;
	}
	default:
		break;
	}
}

static void mock_reg_write(struct hw_iommu *hw, u32 off, u64 value, unsigned len)
{
	struct hw_mock *m = to_mock(hw);
	bool raise;

	if (len != 8 || off % 8)
		return;
	lock_take(&m->hw.lock);
	write_reg(m, off, value);
	raise = m->raise;
	m->raise = false;
	lock_drop(&m->hw.lock);
	if (raise && hw->irq)
		hw->irq(hw->irq_arg);
}

static void mock_reset(struct hw_iommu *hw)
{
	struct hw_mock *m = to_mock(hw);

	lock_take(&hw->lock);
	atomic_store(&m->ctrl, 0);
	atomic_store(&m->dt_base, 0);
	m->cq_base = m->cq_head = m->cq_tail = 0;
	m->fl_base = m->fl_head = m->fl_tail = 0;
	m->status = 0;
	m->raise = false;
	context_drop_all(hw);
	iotlb_drop_all(hw);
	lock_drop(&hw->lock);
}

static void mock_free(struct hw_iommu *hw)
{
	struct env *env = hw->env;

	hw_fini(hw);
	env_free(env, to_mock(hw));
}

static void mock_explain(struct hw_iommu *hw, rid_t rid, pasid_t pasid, iova_t iova, json_t *out)
{
	struct hw_mock *m = to_mock(hw);
	struct xlate_fault fault = {.rid = rid, .pasid = pasid, .iova = iova};
	struct hw_context ctx;
	struct pt_leaf leaf;
	bool refused;
	u64 oa, e[2];

	json_put(out, "device_directory", json_hex(MOCK_DIR_OA(atomic_load(&m->dt_base))));
	if (!find_entry(m, rid, pasid, &oa, &fault) && !read_entry(m, oa, e)) {
		json_put(out, "entry", json_hex(oa));
		json_put(out, "entry_word0", json_hex(e[0]));
		json_put(out, "entry_word1", json_hex(e[1]));
	}
	refused = mock_context(hw, rid, pasid, &ctx, &fault);
	if (!refused) {
		json_put(out, "domain_id", json_integer(ctx.did));
		json_put(out, "dirty_tracking", json_boolean(ctx.flags & HW_CONTEXT_DIRTY));
		refused = mock_walk(hw, &ctx, iova, 0, &leaf, &fault);
		hw_explain_steps(hw, &pt_amdv1_mock, &ctx, iova, out);
	}
	if (refused)
		hw_explain_refused(&fault, out);
	hw_explain_cached(hw, rid, pasid, iova, out);
}

static void mock_describe(struct hw_iommu *hw, json_t *out)
{
	static const struct {
		const char *name;
		u32 off;
	} regs[] = {
		{"ctrl", MOCK_CTRL},	   {"dt_base", MOCK_DT_BASE}, {"cq_base", MOCK_CQ_BASE},
		{"cq_head", MOCK_CQ_HEAD}, {"cq_tail", MOCK_CQ_TAIL}, {"fl_base", MOCK_FL_BASE},
		{"fl_head", MOCK_FL_HEAD}, {"fl_tail", MOCK_FL_TAIL}, {"status", MOCK_STATUS},
	};
	json_t *r = json_object();

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		json_put(r, regs[i].name, json_hex(mock_reg_read(hw, regs[i].off, 8)));
	json_put(out, "model", json_string("mock"));
	json_put(out, "registers", r);
	hw_describe_ports(hw, out);
}

static const struct hw_ops mock_ops = {
	.name = "mock",
	.context = mock_context,
	.walk = mock_walk,
	.record = mock_record,
	.reg_read = mock_reg_read,
	.reg_write = mock_reg_write,
	.reset = mock_reset,
	.free = mock_free,
	.explain = mock_explain,
	.describe = mock_describe,
};

int hw_mock_new(struct env *env, struct mem *mem, struct hw_iommu **out)
{
	struct hw_mock *m = env_zalloc(env, sizeof(*m));

	if (!m)
		return -ENOMEM;
	hw_init(&m->hw, &mock_ops, env, mem);
	*out = &m->hw;
	return 0;
}
