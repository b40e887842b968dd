/* SPDX-License-Identifier: MIT */
/*
 * The models driven by registers, tables in memory and commands only, without a driver; one way to
 * say the same things to each of them.
 */
#ifndef TESTS_UNIT_HW_MODEL_H
#define TESTS_UNIT_HW_MODEL_H

#include "rig.h"

#define MODEL_RID  0x0103u
#define MODEL_RID2 0x0104u
#define MODEL_IOVA (1ull << 30) /* inside every table's reach */
#define RING_LEN   256u

struct model {
	const struct model_ops *ops;
	struct rig r;
	struct hw_iommu *hw;
	struct hw_port port, port2;
	u64 *dir;   /* root table, device directory */
	u64 *table; /* bus 1's context table, device table (two pages) */
	u64 *ring;
	_Atomic u32 *status;
	u32 tail;
	unsigned nr_irqs;
};

struct model_ops {
	const char *name;
	const struct pt_fmt *fmt;
	unsigned top_level;
	int (*make)(struct env *env, struct mem *mem, struct hw_iommu **out);
	void (*start)(struct model *m);
	/* Write the entry of @rid: page table and domain id; @pt NULL: not present. */
	void (*set_context)(struct model *m, u32 rid, const struct pt *pt, u32 did);
	void (*command)(struct model *m, u64 w0, u64 w1); /* one, and wait */
	void (*drop_context)(struct model *m, u32 rid);
	void (*drop_all)(struct model *m);
	void (*drop_domain)(struct model *m, u32 did);
	void (*drop_range)(struct model *m, u32 did, u64 iova, unsigned lg2);
};

static inline u64 reg64(struct model *m, u32 off)
{
	return m->hw->ops->reg_read(m->hw, off, 8);
}

static inline u32 reg32(struct model *m, u32 off)
{
	return (u32)m->hw->ops->reg_read(m->hw, off, 4);
}

static inline void set64(struct model *m, u32 off, u64 v)
{
	m->hw->ops->reg_write(m->hw, off, v, 8);
}

static inline void set32(struct model *m, u32 off, u32 v)
{
	m->hw->ops->reg_write(m->hw, off, v, 4);
}

static inline u64 pool_oa(struct model *m, const void *p)
{
	return table_oa(&m->r.mem, p).v;
}

static inline void count_irq(void *arg)
{
	((struct model *)arg)->nr_irqs++;
}

/* ---- vtd ---- */

static inline void vtd_push(struct model *m, u64 lo, u64 hi)
{
	m->ring[m->tail * 2] = lo;
	m->ring[m->tail * 2 + 1] = hi;
	m->tail = (m->tail + 1) % RING_LEN;
}

static inline void vtd_ring(struct model *m)
{
	set64(m, VTD_IQT, (u64)m->tail << 4);
}

static inline void vtd_command(struct model *m, u64 lo, u64 hi)
{
	atomic_store(m->status, 0);
	vtd_push(m, lo, hi);
	vtd_push(m, VTD_DESC_WAIT | VTD_DESC_WAIT_SW | VTD_DESC_WAIT_DATA(0x600d),
		 pool_oa(m, (void *)m->status));
	vtd_ring(m);
	assert_int_equal(atomic_load(m->status), 0x600d);
}

static inline void vtd_set_context(struct model *m, u32 rid, const struct pt *pt, u32 did)
{
	u64 *e = m->table + (rid & 0xff) * 2;

	e[1] = pt ? (u64)did << 8 | (pt->top_level - 1) : 0;
	e[0] = pt ? pool_oa(m, pt->root) | VTD_CTX_P : 0;
}

static inline void vtd_start(struct model *m)
{
	m->dir[2 * (MODEL_RID >> 8)] = pool_oa(m, m->table) | VTD_ROOT_P;
	set64(m, VTD_IQA, pool_oa(m, m->ring));
	set32(m, VTD_GCMD, VTD_GCMD_QIE);
	set64(m, VTD_RTADDR, pool_oa(m, m->dir));
	set32(m, VTD_GCMD, VTD_GCMD_QIE | VTD_GCMD_SRTP);
	set32(m, VTD_GCMD, VTD_GCMD_QIE | VTD_GCMD_TE);
	set32(m, VTD_FECTL, 0);
}

static inline void vtd_drop_context(struct model *m, u32 rid)
{
	vtd_command(m, VTD_DESC_CONTEXT | VTD_DESC_GRAN(VTD_GRAN_SELECTIVE) | VTD_DESC_SID(rid), 0);
}

static inline void vtd_drop_all(struct model *m)
{
	vtd_command(m, VTD_DESC_IOTLB | VTD_DESC_GRAN(VTD_GRAN_GLOBAL), 0);
}

static inline void vtd_drop_domain(struct model *m, u32 did)
{
	vtd_command(m, VTD_DESC_IOTLB | VTD_DESC_GRAN(VTD_GRAN_DOMAIN) | VTD_DESC_DID(did), 0);
}

static inline void vtd_drop_range(struct model *m, u32 did, u64 iova, unsigned lg2)
{
	vtd_command(m, VTD_DESC_IOTLB | VTD_DESC_GRAN(VTD_GRAN_SELECTIVE) | VTD_DESC_DID(did),
		    iova | (lg2 - 12));
}

static inline int vtd_make(struct env *env, struct mem *mem, struct hw_iommu **out)
{
	const struct hw_vtd_cfg cfg = {.aw_bits = 48};

	return hw_vtd_new(env, mem, &cfg, out);
}

/* ---- mock ---- */

static inline void mock_command(struct model *m, u64 w0, u64 w1)
{
	const u64 sync[2] = {MOCK_CMD_MAKE(MOCK_CMD_SYNC, 0, 0x600d),
			     pool_oa(m, (void *)m->status)};

	atomic_store(m->status, 0);
	m->ring[m->tail * 2] = w0;
	m->ring[m->tail * 2 + 1] = w1;
	m->tail = (m->tail + 1) % RING_LEN;
	m->ring[m->tail * 2] = sync[0];
	m->ring[m->tail * 2 + 1] = sync[1];
	m->tail = (m->tail + 1) % RING_LEN;
	set64(m, MOCK_CQ_TAIL, m->tail);
	assert_int_equal(atomic_load(m->status), 0x600d);
}

static inline void mock_set_context(struct model *m, u32 rid, const struct pt *pt, u32 did)
{
	u64 *e = m->table + (rid & 0xff) * MOCK_DEV_WORDS;

	e[1] = did;
	e[0] = pt ? pool_oa(m, pt->root) | MOCK_ENT_TOP(pt->top_level) | MOCK_ENT_V : 0;
}

static inline void mock_start(struct model *m)
{
	m->dir[MODEL_RID >> 8] = pool_oa(m, m->table) | MOCK_DIR_P;
	set64(m, MOCK_DT_BASE, pool_oa(m, m->dir));
	set64(m, MOCK_CQ_BASE, pool_oa(m, m->ring) | 8);
	set64(m, MOCK_CTRL, MOCK_CTRL_ENABLE | MOCK_CTRL_IRQ);
}

static inline void mock_drop_context(struct model *m, u32 rid)
{
	mock_command(m, MOCK_CMD_MAKE(MOCK_CMD_DEV, 0, rid), 0);
}

static inline void mock_drop_all(struct model *m)
{
	mock_command(m, MOCK_CMD_TLB_ALL, 0);
}

static inline void mock_drop_domain(struct model *m, u32 did)
{
	mock_command(m, MOCK_CMD_MAKE(MOCK_CMD_TLB_DOMAIN, 0, did), 0);
}

static inline void mock_drop_range(struct model *m, u32 did, u64 iova, unsigned lg2)
{
	mock_command(m, MOCK_CMD_MAKE(MOCK_CMD_TLB_RANGE, lg2, did), iova);
}

static const struct model_ops model_vtd = {
	.name = "vtd",
	.fmt = &pt_vtdss,
	.top_level = 3,
	.make = vtd_make,
	.start = vtd_start,
	.set_context = vtd_set_context,
	.command = vtd_command,
	.drop_context = vtd_drop_context,
	.drop_all = vtd_drop_all,
	.drop_domain = vtd_drop_domain,
	.drop_range = vtd_drop_range,
};

static const struct model_ops model_mock = {
	.name = "mock",
	.fmt = &pt_amdv1_mock,
	.top_level = 2,
	.make = hw_mock_new,
	.start = mock_start,
	.set_context = mock_set_context,
	.command = mock_command,
	.drop_context = mock_drop_context,
	.drop_all = mock_drop_all,
	.drop_domain = mock_drop_domain,
	.drop_range = mock_drop_range,
};

/* ---- */

static inline void model_init(struct model *m, const struct model_ops *ops)
{
	*m = (struct model){.ops = ops};
	rig_init(&m->r);
	OK(ops->make(&m->r.env, &m->r.mem, &m->hw));
	hw_port_init(&m->port, m->hw, RID(MODEL_RID));
	hw_port_init(&m->port2, m->hw, RID(MODEL_RID2));
	m->hw->irq = count_irq;
	m->hw->irq_arg = m;
	m->dir = table_alloc(&m->r.mem);
	m->table = table_alloc_run(&m->r.mem, 2);
	m->ring = table_alloc(&m->r.mem);
	m->status = table_alloc(&m->r.mem);
	assert_true(m->dir && m->table && m->ring && m->status);
}

static inline void model_fini(struct model *m)
{
	hw_port_fini(&m->port);
	hw_port_fini(&m->port2);
	m->hw->ops->free(m->hw);
	table_free(&m->r.mem, m->dir);
	table_free(&m->r.mem, m->table);
	table_free(&m->r.mem, (u8 *)m->table + PAGE_SIZE);
	table_free(&m->r.mem, m->ring);
	table_free(&m->r.mem, (void *)m->status);
	rig_fini(&m->r);
}

static inline void model_pt(struct model *m, struct pt *pt, u64 pgsizes, unsigned features)
{
	const struct pt_cfg cfg = {
		.va_bits = m->ops->fmt == &pt_vtdss ? 48 : 56,
		.oa_bits = m->ops->fmt == &pt_vtdss ? 48 : 0,
		.top_level = m->ops->fmt == &pt_vtdss ? 0 : m->ops->top_level,
		.pgsize_bitmap = pgsizes,
		.features = features,
	};

	OK(pt_init(pt, m->ops->fmt, &m->r.mem, &cfg));
}

static inline void model_map(struct model *m, struct pt *pt, u64 iova, u64 off, u64 len, u8 perm)
{
	u64 mapped = 0;

	OK(pt_map(pt, IOVA(iova), rig_oa(&m->r, off), len, perm, &mapped));
	assert_int_equal(mapped, len);
}

static inline s64 model_reach(struct model *m, u64 iova)
{
	return rig_reach(&m->r, &m->port, iova);
}

static inline int model_setup_vtd(void **state)
{
	static struct model m;

	model_init(&m, &model_vtd);
	*state = &m;
	return 0;
}

static inline int model_setup_mock(void **state)
{
	static struct model m;

	model_init(&m, &model_mock);
	*state = &m;
	return 0;
}

static inline int model_teardown(void **state)
{
	model_fini(*state);
	return 0;
}

#define BOTH(name)                                                                                 \
	{#name " (vtd)", name, model_setup_vtd, model_teardown, NULL},                             \
	{                                                                                          \
#name " (mock)", name, model_setup_mock, model_teardown, NULL                      \
	}

#endif
