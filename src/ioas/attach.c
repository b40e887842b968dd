/* SPDX-License-Identifier: MIT */
/*
 * Attach, replace, detach: which table a device's DMA goes through.
 *
 * Attaching an IOAS finds a HWPT of it that was made this way before and that the device accepts
 * (anything but -EINVAL decides), or makes one, attached before it is filled.
 *
 * Every device is alone in its group on the machines there are, so a group's attachment is a device's.
 *
 * Source: linux drivers/iommu/iommufd/device.c.
 */
#include "ioas/priv.h"

#define MAX_RESV 8u

static struct attachment *find(const struct bound_dev *dev, pasid_t pasid)
{
	struct itree_node *n = itree_first(&dev->attached, pasid.v, pasid.v);

	return n ? container_of(n, struct attachment, node) : NULL;
}

static bool is_no_pasid(pasid_t pasid)
{
	return pasid.v == NO_PASID.v;
}

/* ---- ranges the device itself must not reach ---- */

static int reserve_for(struct ioasis_ioas *ioas, struct bound_dev *dev)
{
	const struct iommu_ops *ops = dev->idev->iommu->ops;
	struct resv_region resv[MAX_RESV];
	unsigned nr = 0;
	int rc = 0;

	if (fault_hit(&dev->ctx->env->fault))
		return -EINVAL;
	if (ops->resv_regions)
		nr = ops->resv_regions(dev->idev, resv, MAX_RESV);
	rwlock_write(&ioas->iova_lock);
	for (unsigned i = 0; !rc && i < nr; i++)
		if (!resv[i].relaxable)
			rc = iova_reserve(ioas, resv[i].range, dev);
	if (rc)
		iova_unreserve(ioas, dev);
	rwlock_write_drop(&ioas->iova_lock);
	return rc;
}

static void unreserve_for(struct ioasis_ioas *ioas, struct bound_dev *dev)
{
	rwlock_write(&ioas->iova_lock);
	iova_unreserve(ioas, dev);
	rwlock_write_drop(&ioas->iova_lock);
}

/* ---- may they meet? ---- */

/*
 * A HWPT not made for PASIDs and PASID attachments exclude each other on one device: hardware may
 * share the first-stage setting between them.
 */
static int check_pasid(const struct hwpt *hwpt, const struct bound_dev *dev, pasid_t pasid)
{
	const struct attachment *base;

	if (is_no_pasid(pasid))
		return !hwpt->pasid_compat && itree_first(&dev->attached, 1, UINT64_MAX) ?
			       -EINVAL :
			       0;
	if (!hwpt->pasid_compat)
		return -EINVAL;
	base = find(dev, NO_PASID);
	if (base && !base->hwpt->pasid_compat)
		return -EINVAL;
	if (!dev->idev->pasid_bits || pasid.v >> dev->idev->pasid_bits)
		return -EINVAL;
	return 0;
}

static int check_meet(const struct hwpt *hwpt, const struct bound_dev *dev, pasid_t pasid)
{
	int rc = check_pasid(hwpt, dev, pasid);

	if (rc)
		return rc;
	if (hwpt->domain->iommu != dev->idev->iommu)
		return -EINVAL;
	if (hwpt->enforce_coherency && !dev->enforce_coherency)
		return -EINVAL;
	return 0;
}

/* ---- attach ---- */

static int attach_locked(struct hwpt *hwpt, struct bound_dev *dev, struct attachment *at)
{
	pasid_t pasid = PASID((u32)at->node.start);
	int rc;

	if (find(dev, pasid))
		return -EBUSY;
	if (is_no_pasid(pasid)) {
		rc = reserve_for(hwpt->ioas, dev);
		if (rc)
			return rc;
	}
	rc = check_meet(hwpt, dev, pasid);
	if (!rc)
		rc = dev->idev->iommu->ops->attach(dev->idev, pasid, hwpt->domain, NULL);
	if (rc) {
		if (is_no_pasid(pasid))
			unreserve_for(hwpt->ioas, dev);
		return rc;
	}
	obj_hold(&hwpt->obj);
	obj_hold(&dev->obj);
	at->hwpt = hwpt;
	itree_insert(&dev->attached, &at->node);
	return 0;
}

int hwpt_attach(struct hwpt *hwpt, struct bound_dev *dev, pasid_t pasid)
{
	struct ioasis_ctx *ctx = dev->ctx;
	struct attachment *at;
	int rc;

	at = env_zalloc(ctx->env, sizeof(*at));
	if (!at)
		return -ENOMEM;
	at->node.start = at->node.last = pasid.v;
	lock_take(&ctx->group_lock);
	rc = attach_locked(hwpt, dev, at);
	lock_drop(&ctx->group_lock);
	if (rc) {
		env_free(ctx->env, at);
		return REJECT(ctx->env, rc, dev_attach, "this hwpt");
	}
	TRACE(ctx->env, dev_attach, "device %u pasid %u hwpt %u", dev->obj.id, pasid.v,
	      hwpt->obj.id);
	return 0;
}

/* ---- replace ---- */

static int replace_locked(struct hwpt *hwpt, struct bound_dev *dev, struct attachment *at,
			  struct hwpt **out_old)
{
	pasid_t pasid = PASID((u32)at->node.start);
	struct hwpt *old = at->hwpt;
	bool moves = is_no_pasid(pasid) && hwpt->ioas != old->ioas;
	int rc = 0;

	*out_old = NULL;
	if (hwpt == old)
		return 0;
	if (moves)
		rc = reserve_for(hwpt->ioas, dev);
	if (rc)
		return rc;
	rc = check_meet(hwpt, dev, pasid);
	if (!rc)
		rc = dev->idev->iommu->ops->attach(dev->idev, pasid, hwpt->domain, old->domain);
	if (rc) {
		if (moves)
			unreserve_for(hwpt->ioas, dev);
		return rc;
	}
	if (moves)
		unreserve_for(old->ioas, dev);
	obj_hold(&hwpt->obj);
	at->hwpt = hwpt;
	*out_old = old; /* with the hold it had */
	return 0;
}

static int hwpt_replace(struct hwpt *hwpt, struct bound_dev *dev, pasid_t pasid,
			struct hwpt **out_old)
{
	struct ioasis_ctx *ctx = dev->ctx;
	struct attachment *at;
	int rc = -EINVAL;

	lock_take(&ctx->group_lock);
	at = find(dev, pasid);
	if (at)
		rc = replace_locked(hwpt, dev, at, out_old);
	lock_drop(&ctx->group_lock);
	if (rc)
		return REJECT(ctx->env, rc, dev_replace, "this hwpt");
	TRACE(ctx->env, dev_replace, "device %u pasid %u hwpt %u", dev->obj.id, pasid.v,
	      hwpt->obj.id);
	return 0;
}

/* ---- detach ---- */

void dev_detach(struct bound_dev *dev, pasid_t pasid)
{
	struct ioasis_ctx *ctx = dev->ctx;
	struct attachment *at;

	lock_take(&ctx->group_lock);
	at = find(dev, pasid);
	if (at) {
		int rc = dev->idev->iommu->ops->attach(dev->idev, pasid, NULL, at->hwpt->domain);

		assert(!rc);
		(void)rc;
		itree_remove(&dev->attached, &at->node);
		if (is_no_pasid(pasid))
			unreserve_for(at->hwpt->ioas, dev);
	}
	lock_drop(&ctx->group_lock);
	if (!at)
		return;
	TRACE(ctx->env, dev_detach, "device %u pasid %u hwpt %u", dev->obj.id, pasid.v,
	      at->hwpt->obj.id);
	hwpt_drop(at->hwpt);
	obj_drop(&dev->obj);
	env_free(ctx->env, at);
}

u32 dev_attached_hwpt(struct bound_dev *dev, pasid_t pasid)
{
	struct attachment *at;
	u32 id;

	lock_take(&dev->ctx->group_lock);
	at = find(dev, pasid);
	id = at ? at->hwpt->obj.id : 0;
	lock_drop(&dev->ctx->group_lock);
	return id;
}

/* ---- by id: a HWPT, or an IOAS ---- */

/* What an attach and a replace share. */
struct change {
	struct bound_dev *dev;
	pasid_t pasid;
	bool replace;
	struct hwpt *old;  /* to be dropped after every lock */
	struct hwpt *made; /* likewise: its maker's hold */
};

static int change_to(struct change *c, struct hwpt *hwpt)
{
	return c->replace ? hwpt_replace(hwpt, c->dev, c->pasid, &c->old) :
			    hwpt_attach(hwpt, c->dev, c->pasid);
}

/* The id of the first automatic HWPT that joined after *inout_seq; 0: none. */
static u32 next_auto(struct ioasis_ioas *ioas, u64 *inout_seq)
{
	struct list *n;
	u32 id = 0;

	rwlock_read(&ioas->hwpts_lock);
	list_for_each(n, &ioas->hwpts) {
		struct hwpt *h = list_entry(n, struct hwpt, ioas_node);

		if (h->seq <= *inout_seq || !h->auto_made)
			continue;
		*inout_seq = h->seq;
		id = h->obj.id;
		break;
	}
	rwlock_read_drop(&ioas->hwpts_lock);
	return id;
}

/*
 * Automatic HWPTs are made under attach_lock alone, but may go at any time: look them up by id.
 * Return: 0; -EINVAL when none of the IOAS will do.
 */
static int try_existing(struct change *c, struct ioasis_ioas *ioas, u32 *out_id)
{
	struct obj *obj;
	u64 seq = 0;
	u32 id;
	int rc;

	while ((id = next_auto(ioas, &seq))) {
		if (obj_get(&ioas->ctx->objs, id, OBJ_HWPT_PAGING, &obj))
			continue;
		rc = -EINVAL;
		if (to_hwpt(obj)->ioas == ioas && to_hwpt(obj)->auto_made)
			rc = change_to(c, to_hwpt(obj));
		obj_put(obj);
		if (!rc)
			*out_id = id;
		if (rc != -EINVAL)
			return rc;
	}
	return -EINVAL;
}

static int make_one(struct change *c, struct ioasis_ioas *ioas, u32 *out_id)
{
	const struct hwpt_args args = {.auto_made = true};
	struct hwpt *hwpt;
	int rc;

	rc = hwpt_new(c->dev, ioas, &args, c->replace ? NULL : &c->pasid, &hwpt);
	if (rc)
		return rc;
	if (c->replace) {
		rc = change_to(c, hwpt);
		if (rc) {
			obj_drop(&hwpt->obj);
			obj_abort_filled(&hwpt->obj);
			return rc;
		}
	}
	*out_id = hwpt->obj.id;
	obj_publish(&hwpt->obj);
	c->made = hwpt;
	return 0;
}

static int change_to_ioas(struct change *c, struct ioasis_ioas *ioas, u32 *out_id)
{
	int rc;

	lock_take(&ioas->attach_lock);
	rc = try_existing(c, ioas, out_id);
	if (rc == -EINVAL)
		rc = make_one(c, ioas, out_id);
	lock_drop(&ioas->attach_lock);
	return rc;
}

static int change_pt(struct change *c, u32 *inout_pt_id)
{
	struct obj *pt;
	int rc;

	rc = obj_get(&c->dev->ctx->objs, *inout_pt_id, OBJ_ANY, &pt);
	if (rc)
		return rc;
	switch (pt->type) {
	case OBJ_HWPT_PAGING:
		rc = change_to(c, to_hwpt(pt));
		break;
	case OBJ_IOAS:
		rc = change_to_ioas(c, to_ioas(pt), inout_pt_id);
		break;
	default:
		rc = -EINVAL;
	}
	obj_put(pt);
	if (c->old)
		hwpt_drop(c->old);
	if (c->made)
		hwpt_drop(c->made);
	return rc;
}

int dev_attach(struct bound_dev *dev, pasid_t pasid, u32 *inout_pt_id)
{
	struct change c = {.dev = dev, .pasid = pasid};

	return change_pt(&c, inout_pt_id);
}

int dev_replace(struct bound_dev *dev, pasid_t pasid, u32 *inout_pt_id)
{
	struct change c = {.dev = dev, .pasid = pasid, .replace = true};

	return change_pt(&c, inout_pt_id);
}
