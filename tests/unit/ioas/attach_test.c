/* SPDX-License-Identifier: MIT */
/* Attach, replace, detach, HWPTs made by hand and by themselves. */
#include "rig.h"

#define BASE 0x10000000ull

static u32 attach_id(struct rig *r, unsigned dev, u32 id)
{
	assert_int_equal(dev_attach(r->dev[dev], NO_PASID, &id), 0);
	return id;
}

static int alloc(struct rig *r, unsigned dev, u32 pt_id, u32 flags, u32 *out_id)
{
	const struct hwpt_args args = {.pt_id = pt_id, .flags = flags, .fault_id = 4242};
	struct obj *obj;
	int rc = hwpt_alloc(r->dev[dev], &args, &obj);

	if (rc)
		return rc;
	obj_publish(obj);
	*out_id = obj->id;
	return 0;
}

static void automatic_hwpts_are_shared(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	u32 first = attach_id(r, 0, ioas->obj.id), second = attach_id(r, 1, ioas->obj.id);
	struct obj *obj;

	assert_int_equal(first, second);
	assert_int_equal(dev_attached_hwpt(r->dev[0], NO_PASID), first);
	assert_int_equal(rig_attach(r, 0, ioas), -EBUSY);
	assert_int_equal(obj_destroy(&r->ctx->objs, first), -EBUSY);
	assert_int_equal(obj_destroy(&r->ctx->objs, ioas->obj.id), -EBUSY);
	assert_int_equal(obj_destroy(&r->ctx->objs, r->dev[0]->obj.id), -EBUSY);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, BASE), 0);
	dev_detach(r->dev[0], NO_PASID);
	dev_detach(r->dev[0], NO_PASID);
	assert_null(rig_dma(r, 0, BASE, PERM_R));
	assert_non_null(rig_dma(r, 1, BASE, PERM_R));
	dev_detach(r->dev[1], NO_PASID);
	assert_int_equal(rig_pinned(r), 0);
	assert_int_equal(obj_get(&r->ctx->objs, first, OBJ_ANY, &obj), -ENOENT);
	assert_int_equal(obj_destroy(&r->ctx->objs, ioas->obj.id), 0);
}

static void attach_by_kind(void **state)
{
	struct rig *r = *state;
	u32 none = 999, dev = r->dev[1]->obj.id;

	assert_int_equal(dev_attach(r->dev[0], NO_PASID, &none), -ENOENT);
	assert_int_equal(dev_attach(r->dev[0], NO_PASID, &dev), -EINVAL);
	assert_int_equal(dev_attached_hwpt(r->dev[0], NO_PASID), 0);
}

static void a_hwpt_by_hand(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	u32 manual = 0, automatic;

	assert_int_equal(rig_map(r, ioas, r->buf, 4 * PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_pinned(r), 0);
	assert_int_equal(alloc(r, 0, ioas->obj.id, 0, &manual), 0);
	assert_int_equal(rig_pinned(r), 4);
	automatic = attach_id(r, 1, ioas->obj.id);
	assert_int_not_equal(automatic, manual);
	assert_int_equal(attach_id(r, 0, manual), manual);
	assert_int_equal(rig_pinned(r), 4);
	assert_ptr_equal(rig_dma(r, 0, BASE, PERM_R), r->buf);
	dev_detach(r->dev[1], NO_PASID);
	dev_detach(r->dev[0], NO_PASID);
	/* It stays, full, until it is destroyed. */
	assert_int_equal(rig_pinned(r), 4);
	assert_ptr_equal(
		rig_hwpt(r, manual)->domain->iommu, r->iommu);
	assert_int_equal(hwpt_iova_to_oa(rig_hwpt(r, manual), IOVA(BASE + 7)).v % PAGE_SIZE, 7);
	assert_int_equal(hwpt_iova_to_oa(rig_hwpt(r, manual), IOVA(2 * BASE)).v, OA_NONE.v);
	assert_int_equal(obj_destroy(&r->ctx->objs, manual), 0);
	assert_int_equal(rig_pinned(r), 0);
	assert_int_equal(ioas->align, 1);
}

static void errnos_of_hwpt_alloc(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	bool dirty = r->iommu->ops->capable(&r->idev[0], IOMMU_CAP_DIRTY_TRACKING);
	u32 id, hwpt = 0;

	assert_int_equal(alloc(r, 0, 999, 0, &id), -EINVAL);
	assert_int_equal(alloc(r, 0, r->dev[1]->obj.id, 0, &id), -EINVAL);
	assert_int_equal(alloc(r, 0, ioas->obj.id, 1u << 31, &id), -EOPNOTSUPP);
	assert_int_equal(alloc(r, 0, ioas->obj.id, HWPT_FAULT_ID_VALID | HWPT_ALLOC_NEST_PARENT, &id),
			 -EOPNOTSUPP);
	assert_int_equal(alloc(r, 0, ioas->obj.id, HWPT_FAULT_ID_VALID, &id), -ENOENT);
	assert_int_equal(alloc(r, 0, ioas->obj.id, HWPT_ALLOC_DIRTY_TRACKING, &id),
			 dirty ? 0 : -EOPNOTSUPP);
	assert_int_equal(alloc(r, 0, ioas->obj.id, 0, &hwpt), 0);
	assert_int_equal(alloc(r, 0, hwpt, 0, &id), -EOPNOTSUPP);
	/* Nothing of the failed ones stayed in the IOAS. */
	assert_int_equal(ioas->nr_hwpts, dirty ? 2 : 1);
}

static void out_of_reach(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	bool mock = !r->iommu->ops->resv_regions;
	u64 at = mock ? 0x1000 : 0xfee00000;
	struct allowed_set set;
	u64 align;

	/* Below the mock's aperture; where MSIs go on the other. */
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, at), 0);
	assert_int_equal(rig_attach(r, 0, ioas), -EADDRINUSE);
	assert_int_equal(dev_attached_hwpt(r->dev[0], NO_PASID), 0);
	assert_int_equal(ioas_iova_ranges(ioas, NULL, 0, &align), 1);
	assert_int_equal(align, 1);
	assert_int_equal(rig_unmap(ioas, at, PAGE_SIZE), 0);
	allowed_init(&set, &r->env);
	assert_int_equal(allowed_add(&set, (struct iova_range){at, at + PAGE_SIZE - 1}), 0);
	assert_int_equal(ioas_allow_iovas(ioas, &set), 0);
	assert_int_equal(rig_attach(r, 0, ioas), -EADDRINUSE);
	allowed_fini(&set);
	allowed_init(&set, &r->env);
	assert_int_equal(ioas_allow_iovas(ioas, &set), 0);
	allowed_fini(&set);
	assert_int_equal(rig_attach(r, 0, ioas), 0);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, at), -EINVAL);
	dev_detach(r->dev[0], NO_PASID);
	assert_int_equal(rig_map(r, ioas, r->buf, PAGE_SIZE, at), 0);
}

static void memory_that_is_not_there(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);

	assert_int_equal(rig_map(r, ioas, r->buf, 4 * PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map(r, ioas, (void *)(UINT64_MAX - 16 * PAGE_SIZE + 1), PAGE_SIZE,
				 2 * BASE),
			 0);
	assert_int_equal(rig_attach(r, 0, ioas), -EFAULT);
	assert_int_equal(rig_pinned(r), 0);
	assert_null(rig_dma(r, 0, BASE, PERM_R));
	assert_int_equal(rig_unmap(ioas, 2 * BASE, PAGE_SIZE), 0);
	assert_int_equal(rig_attach(r, 0, ioas), 0);
	assert_non_null(rig_dma(r, 0, BASE, PERM_R));
}

static void replace(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *a = rig_ioas(r), *b = rig_ioas(r), *bad = rig_ioas(r);
	u32 id = a->obj.id, first, manual = 0;
	struct obj *obj;

	assert_int_equal(dev_replace(r->dev[0], NO_PASID, &id), -EINVAL);
	assert_int_equal(rig_map(r, a, r->buf, PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map(r, b, r->buf + PAGE_SIZE, PAGE_SIZE, BASE), 0);
	assert_int_equal(rig_map(r, bad, (void *)(UINT64_MAX - 16 * PAGE_SIZE + 1), PAGE_SIZE,
				 BASE),
			 0);
	first = attach_id(r, 0, a->obj.id);
	assert_ptr_equal(rig_dma(r, 0, BASE, PERM_R), r->buf);
	id = bad->obj.id;
	assert_int_equal(dev_replace(r->dev[0], NO_PASID, &id), -EFAULT);
	assert_int_equal(dev_attached_hwpt(r->dev[0], NO_PASID), first);
	assert_ptr_equal(rig_dma(r, 0, BASE, PERM_R), r->buf);
	id = a->obj.id;
	assert_int_equal(dev_replace(r->dev[0], NO_PASID, &id), 0);
	assert_int_equal(id, first);
	id = b->obj.id;
	assert_int_equal(dev_replace(r->dev[0], NO_PASID, &id), 0);
	assert_ptr_equal(rig_dma(r, 0, BASE, PERM_R), r->buf + PAGE_SIZE);
	if (id != first)
		assert_int_equal(obj_get(&r->ctx->objs, first, OBJ_ANY, &obj), -ENOENT);
	assert_int_equal(a->nr_hwpts, 0);
	assert_int_equal(obj_destroy(&r->ctx->objs, a->obj.id), 0);
	assert_int_equal(alloc(r, 0, b->obj.id, 0, &manual), 0);
	id = manual;
	assert_int_equal(dev_replace(r->dev[0], NO_PASID, &id), 0);
	assert_int_equal(b->nr_hwpts, 1);
	dev_detach(r->dev[0], NO_PASID);
	assert_int_equal(b->nr_hwpts, 1);
}

static void pasids(void **state)
{
	struct rig *r = *state;
	struct ioasis_ioas *ioas = rig_ioas(r);
	struct bound_dev *dev = r->dev[0];
	u32 plain = 0, with = 0, id;

	assert_int_equal(alloc(r, 0, ioas->obj.id, 0, &plain), 0);
	assert_int_equal(alloc(r, 0, ioas->obj.id, HWPT_ALLOC_PASID, &with), 0);
	id = plain;
	assert_int_equal(dev_attach(dev, PASID(5), &id), -EINVAL);
	id = ioas->obj.id; /* makes one by itself, which is not for PASIDs */
	assert_int_equal(dev_attach(dev, PASID(5), &id), -EINVAL);
	id = with;
	assert_int_equal(dev_attach(dev, PASID(1u << 20), &id), -EINVAL);
	assert_int_equal(dev_attach(dev, PASID((1u << 20) - 1), &id), 0);
	assert_int_equal(dev_attach(dev, PASID(5), &id), 0);
	assert_int_equal(dev_attach(dev, PASID(5), &id), -EBUSY);
	assert_int_equal(dev_attached_hwpt(dev, PASID(5)), with);
	/* A device that has no PASIDs. */
	r->idev[1].pasid_bits = 0;
	assert_int_equal(dev_attach(r->dev[1], PASID(5), &id), -EINVAL);
	/* A plain HWPT and PASIDs exclude each other, both ways. */
	id = plain;
	assert_int_equal(dev_attach(dev, NO_PASID, &id), -EINVAL);
	id = with;
	assert_int_equal(dev_attach(dev, NO_PASID, &id), 0);
	id = plain;
	assert_int_equal(dev_replace(dev, NO_PASID, &id), -EINVAL);
	dev_detach(dev, PASID(5));
	assert_int_equal(dev_attached_hwpt(dev, PASID(5)), 0);
	dev_detach(dev, PASID((1u << 20) - 1));
	assert_int_equal(dev_replace(dev, NO_PASID, &id), 0);
	id = with;
	assert_int_equal(dev_attach(dev, PASID(5), &id), -EINVAL);
	/* rig_close() detaches what is left. The driver keeps a device's PASID tables until it leaves. */
	r->nr_tables = 0;
}

static void bind_once(void **state)
{
	struct rig *r = *state;
	struct bound_dev *again;
	struct ioasis_ctx *ctx;

	assert_int_equal(dev_bind(r->ctx, &r->idev[0], &again), -EBUSY);
	assert_int_equal(ctx_new(&r->env, &r->mem, NULL, &ctx), 0);
	assert_int_equal(dev_bind(ctx, &r->idev[0], &again), -EBUSY);
	dev_unbind(r->dev[0]);
	r->dev[0] = NULL;
	assert_int_equal(dev_bind_weak(ctx, &r->idev[0], &again), 0);
	assert_int_equal(atomic_load(&ctx->refs), 1);
	dev_unbind(again);
	ctx_put(ctx);
}

static void hw_info(void **state)
{
	struct rig *r = *state;
	bool mock = !r->iommu->ops->resv_regions;
	struct dev_hw_info info;

	assert_int_equal(dev_hw_info(r->dev[0], 0, &info), 0);
	assert_int_not_equal(info.type, 0);
	assert_true(info.len && info.len <= HW_INFO_MAX);
	assert_int_equal(info.caps & 1, mock);
	assert_int_equal(info.max_pasid_log2, mock ? 20 : 0);
	assert_int_equal(dev_hw_info(r->dev[0], 0x77, &info), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(automatic_hwpts_are_shared),
		ON_BOTH(attach_by_kind),
		ON_BOTH(a_hwpt_by_hand),
		ON_BOTH(errnos_of_hwpt_alloc),
		ON_BOTH(out_of_reach),
		ON_BOTH(memory_that_is_not_there),
		ON_BOTH(replace),
		ON_MOCK(pasids),
		ON_BOTH(bind_once),
		ON_BOTH(hw_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
