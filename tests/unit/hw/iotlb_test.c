/* SPDX-License-Identifier: MIT */
/* What is cached, for how long, and what drops it: the same for every model. */
#include "model.h"

static void test_blocked_out_of_reset(void **state)
{
	struct model *m = *state;
	struct pt pt;

	model_pt(m, &pt, 0, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	memset(m->r.host, RIG_FILL, 4096);
	FAILS(rig_write(&m->r, &m->port, MODEL_IOVA, 1), EFAULT);
	FAILS(rig_write(&m->r, &m->port, rig_oa(&m->r, 0).v, 1), EFAULT);
	assert_int_equal(m->r.host[0], RIG_FILL);
	m->ops->start(m);
	OK(rig_write(&m->r, &m->port, MODEL_IOVA, 1));
	assert_int_equal(m->r.host[0], 1);
	/* cached or not: a reset blocks at once */
	m->hw->ops->reset(m->hw);
	FAILS(rig_write(&m->r, &m->port, MODEL_IOVA, 2), EFAULT);
	assert_int_equal(m->r.host[0], 1);
	pt_fini(&pt);
}

static void test_off_blocks_what_is_cached(void **state)
{
	struct model *m = *state;
	struct pt pt;

	model_pt(m, &pt, 0, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	if (m->ops == &model_vtd)
		set32(m, VTD_GCMD, VTD_GCMD_QIE);
	else
		set64(m, MOCK_CTRL, 0);
	assert_int_equal(model_reach(m, MODEL_IOVA), -1);
	pt_fini(&pt);
}

/* Put @from's item at @level of the walk to MODEL_IOVA into @to's. */
static void graft(struct model *m, struct pt *to, struct pt *from, unsigned level)
{
	struct pt_step a[8], b[8];
	unsigned n = to->fmt->steps(&m->r.mem, table_oa(&m->r.mem, to->root), to->top_level,
				    MODEL_IOVA, a, 8);

	assert_int_equal(from->fmt->steps(&m->r.mem, table_oa(&m->r.mem, from->root),
					  from->top_level, MODEL_IOVA, b, 8),
			 n);
	for (unsigned i = 0; i < n; i++)
		if (a[i].level == level)
			*(u64 *)table_at(&m->r.mem, a[i].item, 8) = b[i].raw;
}

/*
 * An item changed behind everybody's back, at each level: what is cached stays until the command,
 * what is not goes where the item says now.
 */
static void change_behind_the_back(struct model *m, u64 page, unsigned level)
{
	struct pt a, b;
	u64 far = 64ull << 20;

	model_pt(m, &a, page, 0);
	model_pt(m, &b, page, 0);
	model_map(m, &a, MODEL_IOVA, 0, page, PERM_RW);
	model_map(m, &b, MODEL_IOVA, far, page, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &a, 7);
	m->ops->drop_context(m, MODEL_RID);
	m->ops->drop_all(m);
	assert_int_equal(model_reach(m, MODEL_IOVA + 8), 8);
	graft(m, &a, &b, level);
	assert_int_equal(model_reach(m, MODEL_IOVA + 8), 8);
	assert_int_equal(rig_reach(&m->r, &m->port2, MODEL_IOVA), -1);
	m->ops->set_context(m, MODEL_RID2, &a, 7); /* another device has nothing cached */
	assert_int_equal(rig_reach(&m->r, &m->port2, MODEL_IOVA + 8), far + 8);
	m->ops->drop_range(m, 7, MODEL_IOVA, m->ops == &model_vtd ? 12 : 11);
	assert_int_equal(model_reach(m, MODEL_IOVA + 8), far + 8);
	m->ops->set_context(m, MODEL_RID2, NULL, 0);
	m->ops->drop_context(m, MODEL_RID2);
	graft(m, &a, &a, level);
	/* b's tables are reachable from a now: free a's own top only, by hand */
	m->ops->set_context(m, MODEL_RID, NULL, 0);
	m->ops->drop_context(m, MODEL_RID);
}

static void test_changed_items(void **state)
{
	struct model *m = *state;
	unsigned top = m->ops->top_level;

	m->ops->start(m);
	for (unsigned level = 0; level <= top; level++)
		change_behind_the_back(m, 4096, level);
	for (unsigned level = 1; level <= top; level++)
		change_behind_the_back(m, m->ops == &model_vtd ? 2ull << 20 : 1ull << 20, level);
	/* The grafted trees share tables: the pool takes all of it back with the instance. */
}

static void test_range_leaves_others_cached(void **state)
{
	struct model *m = *state;
	struct pt pt;
	u64 walks;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 64ull << 20, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 3);
	m->ops->start(m);
	for (u64 i = 0; i < 16; i++)
		assert_int_equal(model_reach(m, MODEL_IOVA + (i << 22)), i << 22);
	walks = rig_walks(&m->port);
	assert_int_equal(walks, 16);
	m->ops->drop_range(m, 3, MODEL_IOVA + (5 << 22), 12);
	for (u64 i = 0; i < 16; i++)
		assert_int_equal(model_reach(m, MODEL_IOVA + (i << 22)), i << 22);
	assert_int_equal(rig_walks(&m->port), walks + 1);
	/* a range of 16 MiB holds four of them */
	m->ops->drop_range(m, 3, MODEL_IOVA + (16 << 20), 24);
	for (u64 i = 0; i < 16; i++)
		assert_int_equal(model_reach(m, MODEL_IOVA + (i << 22)), i << 22);
	assert_int_equal(rig_walks(&m->port), walks + 5);
	m->ops->drop_domain(m, 3);
	for (u64 i = 0; i < 16; i++)
		assert_int_equal(model_reach(m, MODEL_IOVA + (i << 22)), i << 22);
	assert_int_equal(rig_walks(&m->port), walks + 21);
	pt_fini(&pt);
}

static void test_wrong_domain_is_not_dropped(void **state)
{
	struct model *m = *state;
	struct pt pt;
	u64 walks;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 3);
	m->ops->start(m);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	walks = rig_walks(&m->port);
	*(u64 *)table_at(&m->r.mem, m->r.seg->base, 8) = 0; /* the memory itself is no matter */
	m->ops->drop_domain(m, 4);
	m->ops->drop_range(m, 4, MODEL_IOVA, 12);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	assert_int_equal(rig_walks(&m->port), walks);
	m->ops->drop_domain(m, 3);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	assert_int_equal(rig_walks(&m->port), walks + 1);
	pt_fini(&pt);
}

/* The context is a cache of its own. */
static void test_stale_context(void **state)
{
	struct model *m = *state;
	struct pt a, b;
	u64 far = 1 << 20;

	model_pt(m, &a, 4096, 0);
	model_pt(m, &b, 4096, 0);
	model_map(m, &a, MODEL_IOVA, 0, 8192, PERM_RW);
	model_map(m, &b, MODEL_IOVA, far, 8192, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &a, 3);
	m->ops->start(m);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);

	m->ops->set_context(m, MODEL_RID, &b, 3);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	assert_int_equal(model_reach(m, MODEL_IOVA + 4096),
			 4096);		     /* uncached, through the old root */
	m->ops->drop_context(m, MODEL_RID2); /* someone else's */
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	m->ops->drop_domain(m, 3);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0); /* walked again, through the old root */

	m->ops->drop_context(m, MODEL_RID);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0); /* the same domain id: still cached */
	assert_int_equal(model_reach(m, MODEL_IOVA + 4096), far + 4096);
	m->ops->drop_domain(m, 3);
	assert_int_equal(model_reach(m, MODEL_IOVA), far);

	m->ops->set_context(m, MODEL_RID, &a, 4); /* another domain id: what is cached is not its */
	m->ops->drop_context(m, MODEL_RID);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	m->ops->set_context(m, MODEL_RID, NULL, 0);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	m->ops->drop_context(m, MODEL_RID);
	assert_int_equal(model_reach(m, MODEL_IOVA), -1);
	pt_fini(&a);
	pt_fini(&b);
}

/* One walk serves a leaf of any size; 4 KiB dropped inside it drop it. */
static void large_leaf(struct model *m, unsigned lg2)
{
	u64 len = 1ull << lg2, walks;
	struct pt pt;
	u8 *at;

	model_pt(m, &pt, len, 0);
	model_map(m, &pt, MODEL_IOVA, 0, len, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, lg2);
	m->ops->drop_context(m, MODEL_RID);
	assert_int_equal(model_reach(m, MODEL_IOVA + 5), 5);
	walks = rig_walks(&m->port);
	for (u64 i = 0; i < 64; i++) {
		u64 off = (i * 0x9e3779b97f4a7c15ull) & (len - 1);

		OK(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA + off, PERM_RW, &at, NULL));
		assert_ptr_equal(at, m->r.host + off);
	}
	assert_int_equal(rig_walks(&m->port), walks);
	m->ops->drop_range(m, lg2, MODEL_IOVA + len - 4096, 12);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	assert_int_equal(rig_walks(&m->port), walks + 1);
	/* the neighbour's bucket */
	m->ops->drop_range(m, lg2, MODEL_IOVA + (lg2 <= 21 ? 2ull << 20 : 1ull << 30), 12);
	assert_int_equal(model_reach(m, MODEL_IOVA + len / 2), len / 2);
	assert_int_equal(rig_walks(&m->port), walks + 1);
	pt_fini(&pt);
}

static void test_large_leaves(void **state)
{
	struct model *m = *state;
	static const u8 of_vtd[] = {21, 30}, of_mock[] = {16, 20, 21, 25, 29, 30};
	bool vtd = m->ops == &model_vtd;

	m->ops->start(m);
	for (unsigned i = 0; i < (vtd ? ARRAY_SIZE(of_vtd) : ARRAY_SIZE(of_mock)); i++)
		large_leaf(m, vtd ? of_vtd[i] : of_mock[i]);
}

/* Leaves of several sizes live in the cache together. */
static void test_mixed_sizes(void **state)
{
	struct model *m = *state;
	u64 big = m->ops == &model_vtd ? 2ull << 20 : 1ull << 20, walks;
	struct pt pt;

	model_pt(m, &pt, big | 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, big, PERM_RW);
	model_map(m, &pt, MODEL_IOVA + (64 << 20), 64 << 20, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(model_reach(m, MODEL_IOVA + i * 4096), i * 4096);
		assert_int_equal(model_reach(m, MODEL_IOVA + (64 << 20) + i), (64 << 20) + i);
		walks = i ? walks : rig_walks(&m->port);
	}
	assert_int_equal(rig_walks(&m->port), walks);
	pt_fini(&pt);
}

/* What was cached for a read does not let a write through, and the other way round. */
static void test_permission_is_checked_on_hits(void **state)
{
	struct model *m = *state;
	struct xlate_fault f;
	struct pt pt;
	u8 *at;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_R);
	model_map(m, &pt, MODEL_IOVA + 4096, 4096, 4096, PERM_W);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	memset(m->r.host, RIG_FILL, 4096);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(model_reach(m, MODEL_IOVA), 0);
		FAILS(rig_write(&m->r, &m->port, MODEL_IOVA, 1), EFAULT);
		FAILS(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA, PERM_RW, &at, &f), EFAULT);
		assert_int_equal(f.reason, XLATE_PERM);
		OK(rig_write(&m->r, &m->port, MODEL_IOVA + 4096, 1));
		assert_int_equal(model_reach(m, MODEL_IOVA + 4096), -1);
	}
	assert_int_equal(m->r.host[0], RIG_FILL);
	pt_fini(&pt);
}

/* Memory that leaves the instance leaves the caches, without a command. */
static void test_segment_goes(void **state)
{
	struct model *m = *state;
	u8 *page = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct xlate_fault f;
	struct seg *seg;
	struct pt pt;
	u64 mapped;
	u8 *at;

	OK(seg_add(&m->r.mem, SEG_OWN, page, 2 << 20, &seg));
	model_pt(m, &pt, 4096, 0);
	OK(pt_map(&pt, IOVA(MODEL_IOVA), seg->base, 4096, PERM_RW, &mapped));
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	OK(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA, PERM_RW, &at, &f));
	assert_ptr_equal(at, page);
	seg_put(&m->r.mem, seg);
	FAILS(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA, PERM_RW, &at, &f), EFAULT);
	assert_int_equal(f.reason, XLATE_NO_MEMORY);
	munmap(page, 2 << 20);
	pt_fini(&pt);
}

struct xlate_lines {
	struct trace_sink sink;
	unsigned nr;
	char last[128];
};

static void keep_line(struct trace_sink *sink, const struct trace_line *line)
{
	struct xlate_lines *l = container_of(sink, struct xlate_lines, sink);

	if (strcmp(line->hop, "hw_xlate"))
		return;
	l->nr++;
	snprintf(l->last, sizeof(l->last), "%s", line->text);
}

/* A walk that succeeds is a line with what it found; a hit is none. */
static void test_walks_are_traced(void **state)
{
	struct model *m = *state;
	struct xlate_lines l = {.sink.emit = keep_line};
	char want[128];
	struct pt pt;
	u64 mapped;

	model_pt(m, &pt, 4096, 0);
	OK(pt_map(&pt, IOVA(MODEL_IOVA), rig_oa(&m->r, 0), 4096, PERM_RW, &mapped));
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	trace_listen(&m->r.env.trace, &l.sink);
	assert_int_equal(rig_reach(&m->r, &m->port, MODEL_IOVA + 8), 8);
	assert_int_equal(l.nr, 1);
	snprintf(want, sizeof(want), "rid 0x%x pasid %u iova 0x%llx: oa 0x%llx perm 3", MODEL_RID,
		 NO_PASID.v, MODEL_IOVA + 8, (unsigned long long)rig_oa(&m->r, 8).v);
	assert_string_equal(l.last, want);
	assert_int_equal(rig_reach(&m->r, &m->port, MODEL_IOVA + 16), 16);
	assert_int_equal(l.nr, 1);
	trace_unlisten(&m->r.env.trace, &l.sink);
	pt_fini(&pt);
}

/* Ranges end where the memory ends, and the pool of tables is no memory. */
static void test_bounds_of_memory(void **state)
{
	struct model *m = *state;
	struct xlate_res res;
	struct xlate_fault f;
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	struct pt pt;
	u64 mapped;
	u8 *at;

	model_pt(m, &pt, 2ull << 20 | 4096, 0);
	OK(pt_map(&pt, IOVA(MODEL_IOVA), OA(pool_oa(m, m->dir)), 4096, PERM_RW, &mapped));
	OK(pt_map(&pt, IOVA(MODEL_IOVA + (2 << 20)), rig_oa(&m->r, RIG_LEN - (1 << 20)), 4096,
		  PERM_RW, &mapped));
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	FAILS(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA, PERM_R, &at, &f), EFAULT);
	assert_int_equal(f.reason, XLATE_NO_MEMORY);
	epoch_enter(slot, NULL);
	OK(hw_xlate(&m->port, NO_PASID, IOVA(MODEL_IOVA + (2 << 20) + 16), PERM_R, &res, NULL));
	assert_int_equal(res.last, MODEL_IOVA + (2 << 20) + 4095);
	OK(hw_xlate(&m->port, NO_PASID, IOVA(MODEL_IOVA + (2 << 20) + 17), PERM_R, &res, NULL));
	assert_int_equal(res.last, MODEL_IOVA + (2 << 20) + 4095);
	assert_int_equal(res.oa.v, rig_oa(&m->r, RIG_LEN - (1 << 20) + 17).v);
	epoch_leave(slot);
	pt_fini(&pt);
}

/* A leaf that reaches beyond its segment, at both ends, as only a corrupt table has one. */
static void test_leaf_larger_than_memory(void **state)
{
	struct model *m = *state;
	const u64 gib = 1ull << 30, len = 1 << 20;
	u8 *page = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	struct xlate_res res;
	struct seg *before, *seg;
	struct pt pt;
	u64 mapped, first, last;

	OK(seg_add(&m->r.mem, SEG_OWN, page, len, &before));
	OK(seg_add(&m->r.mem, SEG_OWN, page + len, len, &seg));
	first = MODEL_IOVA + seg->base.v % gib;
	last = first + len - 1;
	assert_true(first > MODEL_IOVA);
	model_pt(m, &pt, gib, 0);
	OK(pt_map(&pt, IOVA(MODEL_IOVA), OA(align_down(seg->base.v, gib)), gib, PERM_RW, &mapped));
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	epoch_enter(slot, NULL);
	for (unsigned i = 0; i < 2; i++) {
		OK(hw_xlate(&m->port, NO_PASID, IOVA(first + 5), PERM_RW, &res, NULL));
		assert_ptr_equal(res.host, page + len + 5);
		assert_int_equal(res.last, last);
		FAILS(hw_xlate(&m->port, NO_PASID, IOVA(last + 1), PERM_RW, &res, NULL), EFAULT);
		FAILS(hw_xlate(&m->port, NO_PASID, IOVA(first - 1), PERM_RW, &res, NULL), EFAULT);
	}
	epoch_leave(slot);
	pt_fini(&pt);
	seg_put(&m->r.mem, before);
	seg_put(&m->r.mem, seg);
	munmap(page, 2 * len);
}

static void test_device_is_gone(void **state)
{
	struct model *m = *state;
	struct xlate_fault f;
	struct pt pt;
	u8 *at;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->set_context(m, MODEL_RID2, &pt, 1);
	m->ops->start(m);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	assert_int_equal(rig_reach(&m->r, &m->port2, MODEL_IOVA), 0);
	hw_port_remove(&m->port);
	FAILS(rig_xlate(&m->r, &m->port, NO_PASID, MODEL_IOVA, PERM_R, &at, &f), EFAULT);
	assert_int_equal(f.reason, XLATE_NO_DEVICE);
	assert_int_equal(rig_reach(&m->r, &m->port2, MODEL_IOVA), 0);
	pt_fini(&pt);
}

/* A PASID that no tag can hold must not look like one that it can. */
static void test_impossible_pasids(void **state)
{
	struct model *m = *state;
	struct pt pt;
	u8 *at;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	for (unsigned bit = 4; bit < 32; bit++)
		FAILS(rig_xlate(&m->r, &m->port, PASID(1u << bit), MODEL_IOVA, PERM_R, &at, NULL),
		      EFAULT);
	FAILS(rig_xlate(&m->r, &m->port, PASID(UINT32_MAX), MODEL_IOVA, PERM_R, &at, NULL), EFAULT);
	pt_fini(&pt);
}

/* After a long streak of walks the cache is still right, and still works when accesses come
 * together. */
static void test_scattered_then_close(void **state)
{
	struct model *m = *state;
	u64 len = 64ull << 20, s = 1, walks;
	struct pt pt;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, len, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 1);
	m->ops->start(m);
	for (unsigned i = 0; i < 40000; i++) {
		u64 off = rnd(&s) & (len - 1);

		assert_int_equal(model_reach(m, MODEL_IOVA + off), off);
	}
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(model_reach(m, MODEL_IOVA + i), i);
	walks = rig_walks(&m->port);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(model_reach(m, MODEL_IOVA + i), i);
	assert_int_equal(rig_walks(&m->port), walks);
	pt_fini(&pt);
}

/* A walk is refused as a DMA to that address is. */
static void test_explains_as_it_walks(void **state)
{
	static const u64 iovas[] = {MODEL_IOVA, MODEL_IOVA + 4096, 0xfee00000,
				    0xfeefffff, 1ull << 48,	   UINT64_MAX - 4095};
	struct model *m = *state;
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	struct xlate_fault f;
	struct pt pt;
	u8 *at;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 9);
	m->ops->start(m);
	for (unsigned i = 0; i < ARRAY_SIZE(iovas); i++) {
		json_t *w = json_object();
		int rc = rig_xlate(&m->r, &m->port, NO_PASID, iovas[i], PERM_R, &at, &f);

		epoch_enter(slot, NULL);
		m->hw->ops->explain(m->hw, RID(MODEL_RID), NO_PASID, IOVA(iovas[i]), w);
		epoch_leave(slot);
		assert_int_equal(json_is_string(json_object_get(w, "oa")), !rc);
		assert_int_equal(json_is_string(json_object_get(w, "refused")), !!rc);
		if (rc)
			assert_string_equal(json_string_value(json_object_get(w, "refused")),
					    xlate_reason_name(f.reason));
		json_decref(w);
	}
	pt_fini(&pt);
}

static void test_shows_itself(void **state)
{
	struct model *m = *state;
	struct epoch_slot *slot = epoch_slot(&m->r.env.epoch);
	json_t *j = json_object(), *w = json_object();
	struct pt pt;

	model_pt(m, &pt, 4096, 0);
	model_map(m, &pt, MODEL_IOVA, 0, 4096, PERM_RW);
	m->ops->set_context(m, MODEL_RID, &pt, 9);
	m->ops->start(m);
	assert_int_equal(model_reach(m, MODEL_IOVA), 0);
	m->hw->ops->describe(m->hw, j);
	assert_string_equal(json_string_value(json_object_get(j, "model")), m->ops->name);
	assert_int_equal(json_array_size(json_object_get(j, "ports")), 2);
	assert_int_equal(json_integer_value(json_object_get(
				 json_array_get(json_object_get(j, "ports"), 0), "iotlb_entries")),
			 1);
	epoch_enter(slot, NULL);
	m->hw->ops->explain(m->hw, RID(MODEL_RID), NO_PASID, IOVA(MODEL_IOVA + 0x123), w);
	epoch_leave(slot);
	assert_int_equal(json_integer_value(json_object_get(w, "domain_id")), 9);
	assert_int_equal(json_array_size(json_object_get(w, "levels")), m->ops->top_level + 1);
	assert_true(json_is_object(json_object_get(w, "cached")));
	assert_int_equal(strtoull(json_string_value(json_object_get(w, "oa")), NULL, 16),
			 rig_oa(&m->r, 0x123).v);
	json_object_clear(w);
	epoch_enter(slot, NULL);
	m->hw->ops->explain(m->hw, RID(0xfff7), NO_PASID, IOVA(0), w);
	epoch_leave(slot);
	assert_true(json_is_string(json_object_get(w, "refused")));
	assert_true(json_is_null(json_object_get(w, "cached")));
	json_decref(j);
	json_decref(w);
	pt_fini(&pt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_blocked_out_of_reset),
		BOTH(test_off_blocks_what_is_cached),
		BOTH(test_changed_items),
		BOTH(test_range_leaves_others_cached),
		BOTH(test_wrong_domain_is_not_dropped),
		BOTH(test_stale_context),
		BOTH(test_large_leaves),
		BOTH(test_mixed_sizes),
		BOTH(test_permission_is_checked_on_hits),
		BOTH(test_segment_goes),
		BOTH(test_bounds_of_memory),
		BOTH(test_leaf_larger_than_memory),
		BOTH(test_device_is_gone),
		BOTH(test_impossible_pasids),
		BOTH(test_scattered_then_close),
		BOTH(test_walks_are_traced),
		BOTH(test_explains_as_it_walks),
		BOTH(test_shows_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
