/* SPDX-License-Identifier: MIT */
/*
 * HWPT objects: made for a device over an IOAS, filled with its areas, gone with it.
 *
 * Source: linux drivers/iommu/iommufd/hw_pagetable.c, io_pagetable.c (iopt_table_add_domain).
 */
#include "ioas/priv.h"

/* A HWPT joins its IOAS: nothing lies outside its reach, everything is mapped in it, or no change. */
static int add_to_ioas(struct ioasis_ioas *ioas, struct hwpt *hwpt)
{
	struct domain *d = hwpt->domain;
	u64 align = max(d->pgsize_bitmap & -d->pgsize_bitmap, ioas->align);
	int rc = 0;

	if (align > PAGE_SIZE)
		return -EINVAL;
	if (align != ioas->align)
		rc = iova_check_align(ioas, align);
	if (!rc && d->aperture.start)
		rc = iova_reserve(ioas, (struct iova_range){0, d->aperture.start - 1}, d);
	if (!rc && d->aperture.last != UINT64_MAX)
		rc = iova_reserve(ioas, (struct iova_range){d->aperture.last + 1, UINT64_MAX}, d);
	if (!rc)
		rc = ioas_fill_hwpt(ioas, hwpt);
	if (rc) {
		iova_unreserve(ioas, d);
		return rc;
	}
	ioas->align = align;
	hwpt->seq = ++ioas->next_hwpt_seq;
	list_push_back(&ioas->hwpts, &hwpt->ioas_node);
	ioas->nr_hwpts++;
	return 0;
}

static int ioas_add_hwpt(struct ioasis_ioas *ioas, struct hwpt *hwpt)
{
	int rc;

	rwlock_write(&ioas->hwpts_lock);
	rwlock_write(&ioas->iova_lock);
	rc = add_to_ioas(ioas, hwpt);
	rwlock_write_drop(&ioas->iova_lock);
	rwlock_write_drop(&ioas->hwpts_lock);
	return rc;
}

static void ioas_remove_hwpt(struct ioasis_ioas *ioas, struct hwpt *hwpt)
{
	int rc;

	rwlock_write(&ioas->hwpts_lock);
	rwlock_write(&ioas->iova_lock);
	if (!list_empty(&hwpt->ioas_node)) {
		list_del(&hwpt->ioas_node);
		ioas->nr_hwpts--;
		ioas_unfill_hwpt(ioas, hwpt);
		iova_unreserve(ioas, hwpt->domain);
		rc = iova_update_align(ioas); /* it only becomes finer */
		assert(!rc);
		(void)rc;
	}
	rwlock_write_drop(&ioas->iova_lock);
	rwlock_write_drop(&ioas->hwpts_lock);
}

static void hwpt_destroy(struct obj *obj)
{
	struct hwpt *hwpt = to_hwpt(obj);

	if (hwpt->domain) {
		ioas_remove_hwpt(hwpt->ioas, hwpt);
		hwpt->domain->iommu->ops->domain_free(hwpt->domain);
	}
	if (hwpt->ioas)
		obj_drop(&hwpt->ioas->obj);
}

static void hwpt_describe(struct obj *obj, json_t *out)
{
	struct hwpt *hwpt = to_hwpt(obj);
	struct domain *d = hwpt->domain;

	json_put(out, "ioas", json_integer(hwpt->ioas->obj.id));
	json_put(out, "iommu", json_string(d->iommu->name));
	json_put(out, "format", json_string(d->pt.fmt->name));
	json_put(out, "automatic", json_boolean(hwpt->auto_made));
	json_put(out, "aperture_start", json_hex(d->aperture.start));
	json_put(out, "aperture_last", json_hex(d->aperture.last));
	json_put(out, "page_sizes", json_hex(d->pgsize_bitmap));
	json_put(out, "tables", json_integer((json_int_t)atomic_load(&d->pt.nr_tables)));
	json_put(out, "attached", json_integer(atomic_load(&d->nr_attached)));
	json_put(out, "dirty_tracking", json_boolean(atomic_load(&d->dirty_on)));
}

const struct obj_ops hwpt_obj_ops = {
	.type = OBJ_HWPT_PAGING,
	.name = "hwpt",
	.destroy = hwpt_destroy,
	.describe = hwpt_describe,
};

static int check_flags(const struct bound_dev *dev, u32 flags)
{
	const struct iommu_ops *ops = dev->idev->iommu->ops;

	if (flags & ~(u32)(HWPT_ALLOC_NEST_PARENT | HWPT_ALLOC_DIRTY_TRACKING |
			   HWPT_FAULT_ID_VALID | HWPT_ALLOC_PASID))
		return -EOPNOTSUPP;
	if ((flags & HWPT_ALLOC_DIRTY_TRACKING) &&
	    !ops->capable(dev->idev, IOMMU_CAP_DIRTY_TRACKING))
		return -EOPNOTSUPP;
	if ((flags & HWPT_FAULT_ID_VALID) && (flags & HWPT_ALLOC_NEST_PARENT))
		return -EOPNOTSUPP;
	return 0;
}

int hwpt_new(struct bound_dev *dev, struct ioasis_ioas *ioas, const struct hwpt_args *args,
	     const pasid_t *attach, struct hwpt **out)
{
	const struct iommu_ops *ops = dev->idev->iommu->ops;
	struct hwpt *hwpt;
	struct obj *obj;
	int rc;

	rc = check_flags(dev, args->flags);
	if (rc)
		return rc;
	rc = obj_new(&ioas->ctx->objs, &hwpt_obj_ops, sizeof(*hwpt), &obj);
	if (rc)
		return rc;
	hwpt = to_hwpt(obj);
	list_init(&hwpt->ioas_node);
	hwpt->pasid_compat = args->flags & HWPT_ALLOC_PASID;
	hwpt->nest_parent = args->flags & HWPT_ALLOC_NEST_PARENT;
	obj_hold(&ioas->obj);
	hwpt->ioas = ioas;
	rc = ops->domain_alloc(dev->idev, args->flags & ~(u32)HWPT_FAULT_ID_VALID, args->data,
			       &hwpt->domain);
	if (rc)
		goto undo_obj;
	/* Before anything is mapped: some IOMMUs keep it in every leaf. It never changes again. */
	if (dev->enforce_coherency)
		hwpt->domain->cache_coherent = true;
	hwpt->enforce_coherency = hwpt->domain->cache_coherent;
	/*
	 * Once it is attached another thread may detach it again, and would be the last to drop it: the
	 * maker holds it until it is published.
	 */
	hwpt->auto_made = args->auto_made;
	if (hwpt->auto_made)
		obj_hold(obj);
	if (attach) {
		rc = hwpt_attach(hwpt, dev, *attach);
		if (rc)
			goto undo_hold;
	}
	rc = ioas_add_hwpt(ioas, hwpt);
	if (rc)
		goto undo_attach;
	TRACE(ioas->ctx->env, hwpt_new, "hwpt %u over ioas %u", obj->id, ioas->obj.id);
	*out = hwpt;
	return 0;

undo_attach:
	if (attach)
		dev_detach(dev, *attach);
undo_hold:
	if (hwpt->auto_made)
		obj_drop(obj);
undo_obj:
	obj_abort_filled(obj);
	return rc;
}

static int alloc_over_ioas(struct bound_dev *dev, struct ioasis_ioas *ioas,
			   const struct hwpt_args *args, struct obj **out)
{
	struct obj *fault;
	struct hwpt *hwpt;
	int rc;

	lock_take(&ioas->attach_lock);
	rc = hwpt_new(dev, ioas, args, NULL, &hwpt);
	lock_drop(&ioas->attach_lock);
	if (rc)
		return rc;
	if (args->flags & HWPT_FAULT_ID_VALID) {
		/* No fault queue can be made yet: look-up is all there is. */
		rc = obj_get(&dev->ctx->objs, args->fault_id, OBJ_FAULT, &fault);
		if (rc) {
			obj_abort_filled(&hwpt->obj);
			return rc;
		}
		obj_put(fault);
	}
	*out = &hwpt->obj;
	return 0;
}

int hwpt_alloc(struct bound_dev *dev, const struct hwpt_args *args, struct obj **out)
{
	struct env *env = dev->ctx->env;
	struct obj *pt;
	int rc;

	if (obj_get(&dev->ctx->objs, args->pt_id, OBJ_ANY, &pt))
		return REJECT(env, -EINVAL, hwpt_alloc, "no such pt_id");
	switch (pt->type) {
	case OBJ_IOAS:
		rc = alloc_over_ioas(dev, to_ioas(pt), args, out);
		break;
	case OBJ_HWPT_PAGING: /* no IOMMU nests yet */
		rc = -EOPNOTSUPP;
		break;
	default:
		rc = -EINVAL;
	}
	obj_put(pt);
	return rc ? REJECT(env, rc, hwpt_alloc, "flags, device or memory") : 0;
}

void hwpt_drop(struct hwpt *hwpt)
{
	if (hwpt->auto_made)
		obj_drop_auto(&hwpt->obj);
	else
		obj_drop(&hwpt->obj);
}

oa_t hwpt_iova_to_oa(struct hwpt *hwpt, iova_t iova)
{
	struct domain *d = hwpt->domain;
	oa_t oa;

	lock_take(&d->lock);
	oa = pt_iova_to_oa(&d->pt, iova);
	lock_drop(&d->lock);
	return oa;
}
