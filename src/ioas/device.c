/* SPDX-License-Identifier: MIT */
/*
 * Bound devices: the relation between a device and the context whose objects it may use.
 *
 * Source: linux drivers/iommu/iommufd/device.c.
 */
#include "ioas/priv.h"

static void dev_destroy(struct obj *obj)
{
	struct bound_dev *dev = container_of(obj, struct bound_dev, obj);
	struct itree_node *n;

	while ((n = itree_first(&dev->attached, 0, UINT64_MAX)))
		dev_detach(dev, PASID((u32)n->start));
	atomic_store(&dev->idev->owner, NULL);
}

static void dev_describe(struct obj *obj, json_t *out)
{
	struct bound_dev *dev = container_of(obj, struct bound_dev, obj);
	json_t *list = json_array();
	struct itree_node *n;

	json_put(out, "name", json_string(dev->idev->name));
	lock_take(&dev->ctx->group_lock);
	itree_for_each(n, &dev->attached, 0, UINT64_MAX) {
		json_t *at = json_object();

		json_put(at, "pasid", json_integer((json_int_t)n->start));
		json_put(at, "hwpt",
			 json_integer(container_of(n, struct attachment, node)->hwpt->obj.id));
		json_array_append_new(list, at);
	}
	lock_drop(&dev->ctx->group_lock);
	json_put(out, "attached", list);
}

const struct obj_ops dev_obj_ops = {
	.type = OBJ_DEVICE,
	.name = "device",
	.destroy = dev_destroy,
	.describe = dev_describe,
};

static int bind(struct ioasis_ctx *ctx, struct iommu_dev *idev, bool weak, struct bound_dev **out)
{
	const struct iommu_ops *ops = idev->iommu->ops;
	struct ioasis_ctx *nobody = NULL;
	struct bound_dev *dev;
	struct obj *obj;
	int rc;

	/* Nobody can restore coherency by hand. */
	if (!ops->capable(idev, IOMMU_CAP_CACHE_COHERENCY))
		return REJECT(ctx->env, -EINVAL, dev_bind, "not coherent");
	if (!atomic_compare_exchange_strong(&idev->owner, &nobody, ctx))
		return REJECT(ctx->env, -EBUSY, dev_bind, "bound already");
	rc = obj_new(&ctx->objs, &dev_obj_ops, sizeof(*dev), &obj);
	if (rc) {
		atomic_store(&idev->owner, NULL);
		return rc;
	}
	dev = container_of(obj, struct bound_dev, obj);
	dev->ctx = ctx;
	dev->idev = idev;
	dev->weak = weak;
	dev->enforce_coherency = ops->capable(idev, IOMMU_CAP_ENFORCE_COHERENCY);
	itree_init(&dev->attached);
	if (!weak)
		ctx_get(ctx);
	obj_hold(obj); /* the driver's, until dev_unbind() */
	obj_publish(obj);
	TRACE(ctx->env, dev_bind, "device %u %s", obj->id, idev->name);
	*out = dev;
	return 0;
}

int dev_bind(struct ioasis_ctx *ctx, struct iommu_dev *idev, struct bound_dev **out)
{
	return bind(ctx, idev, false, out);
}

int dev_bind_weak(struct ioasis_ctx *ctx, struct iommu_dev *idev, struct bound_dev **out)
{
	return bind(ctx, idev, true, out);
}

static bool next_pasid(struct bound_dev *dev, pasid_t *out)
{
	struct itree_node *n;

	lock_take(&dev->ctx->group_lock);
	n = itree_first(&dev->attached, 0, UINT64_MAX);
	if (n)
		*out = PASID((u32)n->start);
	lock_drop(&dev->ctx->group_lock);
	return n;
}

void dev_unbind(struct bound_dev *dev)
{
	struct ioasis_ctx *ctx = dev->ctx;
	bool weak = dev->weak;
	pasid_t pasid;

	while (next_pasid(dev, &pasid))
		dev_detach(dev, pasid);
	TRACE(ctx->env, dev_unbind, "device %u", dev->obj.id);
	remove_owned(&dev->obj);
	if (!weak)
		ctx_put(ctx);
}

/* IOMMU_HW_CAP_*: linux/iommufd.h's numbers. */
enum {
	CAP_DIRTY_TRACKING = 1,
	CAP_PCI_ATS_NOT_SUPPORTED = 8,
};

int dev_hw_info(struct bound_dev *dev, u32 type, struct dev_hw_info *out)
{
	const struct iommu_ops *ops = dev->idev->iommu->ops;
	struct dev_hw_info info = {.type = type, .len = HW_INFO_MAX};
	int rc;

	if (ops->hw_info) {
		rc = ops->hw_info(dev->idev, &info.type, info.data, &info.len);
		if (rc)
			return rc;
	} else {
		info.type = 0;
		info.len = 0;
	}
	if (ops->capable(dev->idev, IOMMU_CAP_DIRTY_TRACKING))
		info.caps |= CAP_DIRTY_TRACKING;
	info.caps |= CAP_PCI_ATS_NOT_SUPPORTED; /* no device here has it */
	info.max_pasid_log2 = dev->idev->pasid_bits;
	*out = info;
	return 0;
}
