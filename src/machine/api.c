/* SPDX-License-Identifier: MIT */
/*
 * The public functions that take an instance or a device of it: thin, the work is in the rooms below.
 */
#include "machine/spec.h"

int ioasis_new(const struct ioasis_args *args, struct ioasis **out)
{
	if (args->size < offsetofend(struct ioasis_args, machine) || !args->machine)
		return -EINVAL;
	return machine_new(args->machine, args->flags, NULL, 0, out);
}

int ioasis_ctx_new(struct ioasis *ioasis, struct ioasis_ctx **out)
{
	return machine_ctx_new(ioasis, out);
}

/* Under the machine's lock. */
static bool rid_is_taken(struct ioasis *ioasis, rid_t rid)
{
	struct list *pos;

	list_for_each(pos, &ioasis->pci_devs)
		if (list_entry(pos, struct pci_dev, node)->idev.rid.v == rid.v)
			return true;
	list_for_each(pos, &ioasis->endpoints)
		if (list_entry(pos, struct ioasis_dev, node)->idev.rid.v == rid.v)
			return true;
	return false;
}

int ioasis_dev_new(struct ioasis *ioasis, uint16_t rid, struct ioasis_dev **out)
{
	struct ioasis_dev *dev;
	char name[16];
	int rc;

	dev = env_zalloc(&ioasis->env, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->ioasis = ioasis;
	rid_text(RID(rid), name, sizeof(name));
	lock_take(&ioasis->lock);
	rc = rid_is_taken(ioasis, RID(rid)) ? -EEXIST : 0;
	if (!rc)
		rc = iommu_dev_init(ioasis->iommus[0], &dev->idev, RID(rid), name);
	if (!rc)
		list_push_back(&ioasis->endpoints, &dev->node);
	lock_drop(&ioasis->lock);
	if (rc) {
		env_free(&ioasis->env, dev);
		return rc;
	}
	*out = dev;
	return 0;
}

void ioasis_dev_free(struct ioasis_dev *dev)
{
	if (!dev)
		return;
	assert(!dev->bound);
	lock_take(&dev->ioasis->lock);
	list_del(&dev->node);
	iommu_dev_fini(&dev->idev);
	lock_drop(&dev->ioasis->lock);
	env_free(&dev->ioasis->env, dev);
}

static struct bound_dev *set_bound(struct ioasis_dev *dev, struct bound_dev *bound)
{
	struct bound_dev *old;

	lock_take(&dev->ioasis->lock);
	old = dev->bound;
	dev->bound = bound;
	lock_drop(&dev->ioasis->lock);
	return old;
}

int ioasis_dev_bind(struct ioasis_ctx *ctx, struct ioasis_dev *dev)
{
	struct bound_dev *bound;
	int rc = dev_bind(ctx, &dev->idev, &bound);

	if (!rc)
		set_bound(dev, bound);
	return rc;
}

void ioasis_dev_unbind(struct ioasis_dev *dev)
{
	struct bound_dev *bound = set_bound(dev, NULL);

	if (bound)
		dev_unbind(bound);
}

int ioasis_dev_attach(struct ioasis_dev *dev, struct ioasis_ioas *ioas)
{
	u32 pt_id = ioas->obj.id;
	int rc;

	if (!dev->bound || dev->bound->ctx != ioas->ctx)
		return -EINVAL;
	if (dev_attached_hwpt(dev->bound, NO_PASID))
		rc = dev_replace(dev->bound, NO_PASID, &pt_id);
	else
		rc = dev_attach(dev->bound, NO_PASID, &pt_id);
	return rc;
}

void ioasis_dev_detach(struct ioasis_dev *dev)
{
	if (dev->bound)
		dev_detach(dev->bound, NO_PASID);
}

/* The next endpoint bound to @ctx. Its owner may not unbind it at the same time: no other call runs. */
static struct ioasis_dev *next_bound(struct ioasis_ctx *ctx)
{
	struct ioasis *ioasis = ctx->ioasis;
	struct ioasis_dev *found = NULL;
	struct list *pos;

	lock_take(&ioasis->lock);
	list_for_each(pos, &ioasis->endpoints) {
		struct ioasis_dev *dev = list_entry(pos, struct ioasis_dev, node);

		if (dev->bound && dev->bound->ctx == ctx)
			found = dev;
	}
	lock_drop(&ioasis->lock);
	return found;
}

void ioasis_ctx_free(struct ioasis_ctx *ctx)
{
	struct ioasis_dev *dev;

	if (!ctx)
		return;
	while ((dev = next_bound(ctx)))
		ioasis_dev_unbind(dev);
	ctx_put(ctx);
}

static struct dma_req req_of(struct ioasis_dev *dev, u64 iova)
{
	return (struct dma_req){.port = &dev->idev.port, .pasid = NO_PASID, .iova = IOVA(iova)};
}

int ioasis_dma_read(struct ioasis_dev *dev, uint64_t iova, void *to, size_t len)
{
	struct dma_req req = req_of(dev, iova);

	return dma_read(&req, to, len, NULL);
}

int ioasis_dma_write(struct ioasis_dev *dev, uint64_t iova, const void *from, size_t len)
{
	struct dma_req req = req_of(dev, iova);

	return dma_write(&req, from, len, NULL);
}

int ioasis_dma_cmpxchg(struct ioasis_dev *dev, uint64_t iova, uint64_t *inout_expected,
		       uint64_t desired, size_t len)
{
	struct dma_req req = req_of(dev, iova);

	if ((len != 4 && len != 8) || iova % len)
		return -EINVAL;
	return dma_cmpxchg(&req, inout_expected, desired, (unsigned)len);
}

int ioasis_dma_span(struct ioasis_dev *dev, uint64_t iova, size_t len, unsigned perm,
		    struct ioasis_span *out)
{
	struct dma_req req = req_of(dev, iova);

	if (!len || !perm || perm & ~(unsigned)PERM_RW)
		return -EINVAL;
	return dma_span(&req, len, (enum perm)perm, out);
}

void ioasis_dma_unspan(struct ioasis_dev *dev, struct ioasis_span *span)
{
	dma_unspan(span);
}

size_t ioasis_dma_xlate(struct ioasis_dev *dev, unsigned perm, struct ioasis_seg *segs, size_t nr)
{
	return dma_xlate(&dev->idev.port, NO_PASID, (enum perm)(perm & PERM_RW), segs, nr);
}
