/* SPDX-License-Identifier: MIT */
/*
 * Every allocation and every look-up of every operation fails once: the operation then has changed
 * nothing and leaked nothing, and what was there before works as before.
 */
#include "rig.h"

#include <unistd.h>

#define BASE 0x10000000ull
/* Pages before and behind the end of what one leaf table holds, of every format. */
#define ACROSS (2 * BASE + (2ull << 20) - 4 * PAGE_SIZE)

struct sweep {
	struct rig *r;
	struct ioasis_ioas *a, *b; /* a: two HWPTs, device 0 and 1 attached; b: none */
	u32 manual;
	int fd;
	struct dmabuf *dmabuf;
	struct access *access; /* attached to b */
	struct pinned_page pages[16];
	u64 iova;
	u32 id;
	struct obj *obj;
	struct access *new_access;
};

static void ignore_unmap(void *data, u64 iova, u64 len)
{
}

static const struct access_ops ops = {.needs_pin_pages = true, .unmap = ignore_unmap};

static void set_up(struct sweep *s)
{
	struct rig *r = s->r;
	const struct hwpt_args args = {.pt_id = 0};
	struct hwpt_args manual = args;
	u64 copy = 4 * BASE;

	s->a = rig_ioas(r);
	s->b = rig_ioas(r);
	assert_int_equal(rig_attach(r, 0, s->a), 0);
	manual.pt_id = s->a->obj.id;
	assert_int_equal(hwpt_alloc(r->dev[1], &manual, &s->obj), 0);
	obj_publish(s->obj);
	s->manual = s->id = s->obj->id;
	assert_int_equal(dev_attach(r->dev[1], NO_PASID, &s->id), 0);
	assert_int_equal(rig_map(r, s->a, r->buf, 16 * PAGE_SIZE, BASE), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig_map(r, s->b, r->buf + (7 - i) * PAGE_SIZE, PAGE_SIZE,
					 BASE + i * PAGE_SIZE),
				 0);
	assert_int_equal(rig_copy(s->b, s->a, BASE, 16 * PAGE_SIZE, &copy), 0);
	s->fd = rig_memfd(64 * PAGE_SIZE);
	assert_int_equal(dmabuf_new(&r->env, &r->mem, 4 * PAGE_SIZE, &s->dmabuf), 0);
	assert_int_equal(access_new(r->ctx, &ops, s, &s->access), 0);
	assert_int_equal(access_attach(s->access, s->b->obj.id), 0);
	s->iova = AUTO;
	assert_int_equal(rig_map_fd(r, s->a, s->fd, 0, 8 * PAGE_SIZE, &s->iova, ACCOUNT_USER), 0);
}

static void tear_down(struct sweep *s)
{
	access_destroy(s->access);
	ioas_unmap_all(s->a, NULL);
	ioas_unmap_all(s->b, NULL);
	dmabuf_put(s->dmabuf);
	close(s->fd);
}

/* ---- operations, and how to take each back ---- */

static int do_ioas(struct sweep *s)
{
	return ioas_new(s->r->ctx, &s->obj);
}

static void undo_obj(struct sweep *s)
{
	obj_abort_filled(s->obj);
}

static int do_map(struct sweep *s)
{
	return rig_map(s->r, s->a, s->r->buf + 3 * PAGE_SIZE, 8 * PAGE_SIZE, 2 * BASE);
}

/* The second leaf table may fail when the first has leaves already: they must go. */
static int do_map_across(struct sweep *s)
{
	return rig_map(s->r, s->a, s->r->buf + 3 * PAGE_SIZE, 8 * PAGE_SIZE, ACROSS);
}

static int do_map_file(struct sweep *s)
{
	s->iova = 2 * BASE;
	return rig_map_fd(s->r, s->a, s->fd, 8 * PAGE_SIZE, 8 * PAGE_SIZE, &s->iova, ACCOUNT_USER);
}

static int do_map_dmabuf(struct sweep *s)
{
	s->iova = 2 * BASE;
	return rig_map_dmabuf(s->r, s->a, s->dmabuf, 0, 8192, &s->iova);
}

static void undo_map(struct sweep *s)
{
	assert_int_equal(rig_unmap(s->a, 2 * BASE, BASE), 0);
}

static int do_copy(struct sweep *s)
{
	s->iova = 2 * BASE;
	return rig_copy(s->a, s->b, BASE, 4 * PAGE_SIZE, &s->iova);
}

static int do_hwpt(struct sweep *s)
{
	const struct hwpt_args args = {.pt_id = s->b->obj.id};

	return hwpt_alloc(s->r->dev[2], &args, &s->obj);
}

static int do_attach(struct sweep *s)
{
	s->id = s->b->obj.id;
	return dev_attach(s->r->dev[2], NO_PASID, &s->id);
}

static int do_attach_existing(struct sweep *s)
{
	s->id = s->a->obj.id;
	return dev_attach(s->r->dev[2], NO_PASID, &s->id);
}

static void undo_attach(struct sweep *s)
{
	dev_detach(s->r->dev[2], NO_PASID);
}

static int do_replace(struct sweep *s)
{
	s->id = s->b->obj.id;
	return dev_replace(s->r->dev[1], NO_PASID, &s->id);
}

static void undo_replace(struct sweep *s)
{
	s->id = s->manual;
	assert_int_equal(dev_replace(s->r->dev[1], NO_PASID, &s->id), 0);
}

static int do_access(struct sweep *s)
{
	return access_new(s->r->ctx, &ops, s, &s->new_access);
}

static void undo_access(struct sweep *s)
{
	access_destroy(s->new_access);
}

static int do_access_replace(struct sweep *s)
{
	return access_replace(s->access, s->a->obj.id);
}

static void undo_access_replace(struct sweep *s)
{
	assert_int_equal(access_replace(s->access, s->b->obj.id), 0);
}

static int do_pin(struct sweep *s)
{
	return access_pin_pages(s->access, BASE, 4 * PAGE_SIZE, s->pages, ACCESS_WRITE);
}

static void undo_pin(struct sweep *s)
{
	access_unpin_pages(s->access, BASE, 4 * PAGE_SIZE);
}

static int do_rw(struct sweep *s)
{
	u8 buf[2 * PAGE_SIZE];

	return access_rw(s->access, BASE + 100, buf, sizeof(buf), ACCESS_SLOW);
}

static int do_reserve(struct sweep *s)
{
	return ioas_add_reserved(s->b, (struct iova_range){8 * BASE, 9 * BASE});
}

static int do_allow(struct sweep *s)
{
	struct allowed_set set;
	int rc;

	allowed_init(&set, &s->r->env);
	rc = allowed_add(&set, (struct iova_range){0x1000, 0x2000});
	if (!rc)
		rc = allowed_add(&set, (struct iova_range){0x3000, 0x4000});
	if (!rc)
		rc = ioas_allow_iovas(s->b, &set);
	allowed_fini(&set);
	return rc;
}

static void undo_allow(struct sweep *s)
{
	struct allowed_set set;

	allowed_init(&set, &s->r->env);
	assert_int_equal(ioas_allow_iovas(s->b, &set), 0);
	allowed_fini(&set);
}

static int do_dmabuf(struct sweep *s)
{
	struct dmabuf *d;
	int rc = dmabuf_new(&s->r->env, &s->r->mem, PAGE_SIZE, &d);

	if (!rc)
		dmabuf_put(d);
	return rc;
}

static int do_bind(struct sweep *s)
{
	struct rig *r = s->r;

	dev_unbind(r->dev[2]);
	r->dev[2] = NULL;
	return dev_bind(r->ctx, &r->idev[2], &r->dev[2]);
}

static void undo_nothing(struct sweep *s)
{
}

static const struct op {
	const char *name;
	int (*run)(struct sweep *s);
	void (*undo)(struct sweep *s);
	unsigned at_least; /* fault points it must have */
} all_ops[] = {
	{"ioas", do_ioas, undo_obj, 1},
	{"map", do_map, undo_map, 3},
	{"map across two tables", do_map_across, undo_map, 5},
	{"map file", do_map_file, undo_map, 3},
	{"map dma-buf", do_map_dmabuf, undo_map, 3},
	{"copy", do_copy, undo_map, 6},
	{"hwpt", do_hwpt, undo_obj, 4},
	{"attach", do_attach, undo_attach, 5},
	{"attach to what is there", do_attach_existing, undo_attach, 3},
	{"replace", do_replace, undo_replace, 4},
	{"access", do_access, undo_access, 1},
	{"access replace", do_access_replace, undo_access_replace, 2},
	{"pin", do_pin, undo_pin, 4},
	{"rw", do_rw, undo_nothing, 0},
	{"allow", do_allow, undo_allow, 2},
	{"dma-buf", do_dmabuf, undo_nothing, 2},
};

struct ledger {
	u64 allocs, tables, pinned;
	u64 objs, hwpts_a, hwpts_b; /* all u64: compared as bytes */
	u64 areas_a, areas_b, align_a, align_b, reserved_a, reserved_b;
};

static struct ledger ledger(struct sweep *s)
{
	struct rig *r = s->r;

	return (struct ledger){
		.allocs = atomic_load(&r->env.nr_allocs),
		.tables = atomic_load(&r->mem.tables.nr_used),
		.pinned = rig_pinned(r),
		.objs = r->ctx->objs.nr_objs,
		.hwpts_a = s->a->nr_hwpts,
		.hwpts_b = s->b->nr_hwpts,
		.areas_a = s->a->areas.nr,
		.areas_b = s->b->areas.nr,
		.align_a = s->a->align,
		.align_b = s->b->align,
		.reserved_a = s->a->reserved.nr,
		.reserved_b = s->b->reserved.nr,
	};
}

static void works_as_before(struct sweep *s, const struct op *op, const struct ledger *was, s64 nth)
{
	struct rig *r = s->r;
	struct ledger is = ledger(s);

	if (memcmp(&is, was, sizeof(is)))
		fail_msg("%s: fault %lld left something behind: allocs %+lld tables %+lld "
			 "pinned %+lld objs %+d hwpts %+d %+d reserved %+d %+d",
			 op->name, (long long)nth, (long long)(is.allocs - was->allocs),
			 (long long)(is.tables - was->tables), (long long)(is.pinned - was->pinned),
			 (int)(is.objs - was->objs), (int)(is.hwpts_a - was->hwpts_a),
			 (int)(is.hwpts_b - was->hwpts_b), (int)(is.reserved_a - was->reserved_a),
			 (int)(is.reserved_b - was->reserved_b));
	assert_ptr_equal(rig_dma(r, 0, BASE + 5, PERM_W), r->buf + 5);
	assert_ptr_equal(rig_dma(r, 1, BASE + PAGE_SIZE, PERM_R), r->buf + PAGE_SIZE);
	assert_null(rig_dma(r, 0, 2 * BASE, PERM_R));
	assert_null(rig_dma(r, 0, ACROSS, PERM_R));
	assert_null(rig_dma(r, 2, BASE, PERM_R));
}

static void sweep_op(struct sweep *s, const struct op *op)
{
	struct fault *f = &s->r->env.fault;
	struct ledger was;
	s64 nth;

	/* Once without faults: what is made at first use and kept is there then. */
	assert_int_equal(op->run(s), 0);
	op->undo(s);
	was = ledger(s);
	for (nth = 1;; nth++) {
		u64 fired = atomic_load(&f->fired);
		int rc;

		assert_true(nth < 500);
		fault_arm(f, nth);
		rc = op->run(s);
		fault_arm(f, 0);
		if (!rc)
			op->undo(s);
		works_as_before(s, op, &was, nth);
		if (atomic_load(&f->fired) == fired) {
			assert_int_equal(rc, 0);
			break;
		}
	}
	if (nth <= op->at_least)
		fail_msg("%s has %lld fault points, expected %u", op->name, (long long)nth - 1,
			 op->at_least);
}

static void sweep(void **state)
{
	struct sweep s = {.r = *state};

	set_up(&s);
	for (size_t i = 0; i < ARRAY_SIZE(all_ops); i++)
		sweep_op(&s, &all_ops[i]);
	tear_down(&s);
}

/* These two change what a failure cannot take back, so they get a sweep of their own. */
static void sweep_once(void **state)
{
	struct sweep s = {.r = *state};
	struct rig *r = s.r;
	s64 nth;

	set_up(&s);
	for (nth = 1;; nth++) {
		int rc;

		fault_arm(&r->env.fault, nth);
		rc = do_reserve(&s);
		fault_arm(&r->env.fault, 0);
		if (!rc)
			break;
		assert_int_equal(rc, -ENOMEM);
	}
	assert_int_equal(nth, 2);
	for (nth = 1;; nth++) {
		int rc;

		fault_arm(&r->env.fault, nth);
		rc = do_bind(&s);
		fault_arm(&r->env.fault, 0);
		if (!rc)
			break;
		assert_null(r->dev[2]);
		assert_int_equal(dev_bind(r->ctx, &r->idev[2], &r->dev[2]), 0);
	}
	assert_true(nth > 1);
	tear_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {ON_BOTH(sweep), ON_BOTH(sweep_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
