/* SPDX-License-Identifier: MIT */
/*
 * What people see of a running machine: `ioasis show` and `ioasis walk`.
 */
#include "machine/spec.h"

#define FAULTS_SHOWN 16u

static json_t *describe_iommu(struct iommu *iommu)
{
	json_t *out = json_object(), *hw = json_object();

	json_put(out, "name", json_string(iommu->name));
	json_put(out, "driver", json_string(iommu->ops->name));
	if (hw && iommu->hw->ops->describe)
		iommu->hw->ops->describe(iommu->hw, hw);
	json_put(out, "hw", hw);
	return out;
}

static json_t *describe_pci_dev(struct pci_dev *dev)
{
	json_t *out = json_object(), *state;

	json_put(out, "address", json_string(dev->idev.name));
	json_put(out, "model", json_string(dev->model->name));
	json_put(out, "iommu", json_string(dev->idev.iommu->name));
	json_put(out, "vfio", json_sprintf("vfio%u", dev->index));
	json_put(out, "claimed", json_boolean(dev->claimed));
	if (!dev->model->describe)
		return out;
	state = json_object();
	if (state)
		dev->model->describe(dev, state);
	json_put(out, "state", state);
	return out;
}

static json_t *describe_endpoint(struct ioasis_dev *dev)
{
	json_t *out = json_object();

	json_put(out, "address", json_string(dev->idev.name));
	json_put(out, "iommu", json_string(dev->idev.iommu->name));
	json_put(out, "bound", json_boolean(dev->bound != NULL));
	return out;
}

static void describe_obj(struct obj *obj, void *list)
{
	json_t *out = json_object();

	if (!out)
		return;
	json_put(out, "id", json_integer(obj->id));
	json_put(out, "type", json_string(obj->ops->name));
	/* Without the table's own. */
	json_put(out, "users", json_integer((json_int_t)atomic_load(&obj->users) - 1));
	if (obj->made_by)
		json_put(out, "made_by", json_string(obj->made_by));
	if (obj->ops->describe)
		obj->ops->describe(obj, out);
	json_array_append_new(list, out);
}

json_t *machine_ctx_describe(struct ioasis_ctx *ctx)
{
	json_t *out = json_object(), *objs = json_array();

	if (objs)
		obj_for_each(&ctx->objs, describe_obj, objs);
	json_put(out, "objects", objs);
	return out;
}

/* A reference, unless the last one is already going: then it is on its way off the list. */
static bool ctx_get_live(struct ioasis_ctx *ctx)
{
	u32 refs = atomic_load(&ctx->refs);

	do {
		if (!refs)
			return false;
	} while (!atomic_compare_exchange_weak(&ctx->refs, &refs, refs + 1));
	return true;
}

/*
 * The context at or after place @idx of the list, with a reference; @idx is the place after it. A
 * context that goes between two calls may hide another one from this look: it is only a look.
 */
static struct ioasis_ctx *ctx_at(struct ioasis *ioasis, unsigned *idx)
{
	struct ioasis_ctx *found = NULL;
	struct list *pos;
	unsigned i = 0;

	lock_take(&ioasis->lock);
	list_for_each(pos, &ioasis->ctxs) {
		struct ioasis_ctx *ctx = list_entry(pos, struct ioasis_ctx, node);

		if (i++ < *idx || !ctx_get_live(ctx))
			continue;
		found = ctx;
		break;
	}
	lock_drop(&ioasis->lock);
	*idx = i;
	return found;
}

static json_t *describe_ctxs(struct ioasis *ioasis)
{
	json_t *out = json_array();
	struct ioasis_ctx *ctx;
	unsigned idx = 0;

	while ((ctx = ctx_at(ioasis, &idx))) {
		json_array_append_new(out, machine_ctx_describe(ctx));
		ctx_put(ctx);
	}
	return out;
}

static json_t *describe_faults(struct ioasis *ioasis)
{
	struct dma_fault faults[FAULTS_SHOWN];
	json_t *out = json_array();
	unsigned i, nr;
	u64 seq;

	lock_take(&ioasis->log.lock);
	seq = ioasis->log.next_seq;
	lock_drop(&ioasis->log.lock);
	seq = seq > FAULTS_SHOWN ? seq - FAULTS_SHOWN : 1;
	nr = fault_log_read(&ioasis->log, &seq, faults, FAULTS_SHOWN);
	for (i = 0; i < nr; i++) {
		json_t *f = json_object();
		char text[160];

		dma_fault_text(&faults[i], text, sizeof(text));
		json_put(f, "seq", json_integer((json_int_t)faults[i].seq));
		json_put(f, "iommu", json_string(faults[i].iommu));
		json_put(f, "rid", json_hex(faults[i].f.rid.v));
		json_put(f, "pasid", json_integer(faults[i].f.pasid.v));
		json_put(f, "iova", json_hex(faults[i].f.iova.v));
		json_put(f, "reason", json_string(xlate_reason_name(faults[i].f.reason)));
		json_put(f, "text", json_string(text));
		json_array_append_new(out, f);
	}
	return out;
}

static json_t *describe_devs(struct ioasis *ioasis)
{
	json_t *out = json_array();
	struct list *pos;

	list_for_each(pos, &ioasis->pci_devs)
		json_array_append_new(out,
				      describe_pci_dev(list_entry(pos, struct pci_dev, node)));
	return out;
}

static json_t *describe_endpoints(struct ioasis *ioasis)
{
	json_t *out = json_array();
	struct list *pos;

	lock_take(&ioasis->lock);
	list_for_each(pos, &ioasis->endpoints)
		json_array_append_new(out,
				      describe_endpoint(list_entry(pos, struct ioasis_dev, node)));
	lock_drop(&ioasis->lock);
	return out;
}

json_t *machine_describe(struct ioasis *ioasis)
{
	json_t *out = json_object(), *iommus = json_array(), *mem = json_object();
	unsigned i;

	json_put(out, "machine", json_string(ioasis->machine));
	json_put(out, "test_ops", json_boolean(ioasis->test_ops));
	for (i = 0; i < ioasis->nr_iommus; i++)
		json_array_append_new(iommus, describe_iommu(ioasis->iommus[i]));
	json_put(out, "iommus", iommus);
	json_put(out, "devices", describe_devs(ioasis));
	json_put(out, "endpoints", describe_endpoints(ioasis));
	json_put(out, "contexts", describe_ctxs(ioasis));
	if (mem)
		mem_describe(&ioasis->mem, mem);
	json_put(out, "memory", mem);
	json_put(out, "faults", describe_faults(ioasis));
	return out;
}

static json_int_t nr_eventfds(struct pci_dev *dev)
{
	json_int_t nr;
	unsigned i;

	lock_take(&dev->lock);
	nr = (dev->err.eventfd >= 0) + (dev->req.eventfd >= 0);
	for (i = 0; i < PCI_MAX_VECTORS; i++)
		nr += dev->msix[i].eventfd >= 0;
	lock_drop(&dev->lock);
	return nr;
}

static void count_devs(struct ioasis *ioasis, json_t *out)
{
	json_int_t claimed = 0, eventfds = 0, endpoints = 0;
	struct list *pos;

	list_for_each(pos, &ioasis->pci_devs) {
		struct pci_dev *dev = list_entry(pos, struct pci_dev, node);

		claimed += dev->claimed;
		eventfds += nr_eventfds(dev);
	}
	lock_take(&ioasis->lock);
	list_for_each(pos, &ioasis->endpoints)
		endpoints++;
	lock_drop(&ioasis->lock);
	json_put(out, "devices_claimed", json_integer(claimed));
	json_put(out, "eventfds", json_integer(eventfds));
	json_put(out, "endpoints", json_integer(endpoints));
}

static void count_obj(struct obj *obj, void *nr)
{
	++*(json_int_t *)nr;
}

json_t *machine_ledger(struct ioasis *ioasis)
{
	json_int_t nr_ctxs = 0, nr_objs = 0;
	json_t *out = json_object();
	struct ioasis_ctx *ctx;
	unsigned idx = 0;

	if (!out)
		return NULL;
	while ((ctx = ctx_at(ioasis, &idx))) {
		nr_ctxs++;
		obj_for_each(&ctx->objs, count_obj, &nr_objs);
		ctx_put(ctx);
	}
	json_put(out, "contexts", json_integer(nr_ctxs));
	json_put(out, "objects", json_integer(nr_objs));
	count_devs(ioasis, out);
	mem_ledger(&ioasis->mem, out);
	json_put(out, "allocations", json_integer((json_int_t)atomic_load(&ioasis->env.nr_allocs)));
	return out;
}

/* Under the machine's lock: an endpoint may go. */
static struct iommu_dev *idev_find(struct ioasis *ioasis, rid_t rid)
{
	struct list *pos;

	list_for_each(pos, &ioasis->pci_devs) {
		struct pci_dev *dev = list_entry(pos, struct pci_dev, node);

		if (dev->idev.rid.v == rid.v)
			return &dev->idev;
	}
	list_for_each(pos, &ioasis->endpoints) {
		struct ioasis_dev *dev = list_entry(pos, struct ioasis_dev, node);

		if (dev->idev.rid.v == rid.v)
			return &dev->idev;
	}
	return NULL;
}

json_t *machine_walk(struct ioasis *ioasis, rid_t rid, pasid_t pasid, iova_t iova)
{
	json_t *out = json_object();
	struct iommu_dev *idev;
	char address[16];

	if (!out)
		return NULL;
	rid_text(rid, address, sizeof(address));
	json_put(out, "address", json_string(address));
	json_put(out, "rid", json_hex(rid.v));
	if (pasid.v != NO_PASID.v)
		json_put(out, "pasid", json_integer(pasid.v));
	json_put(out, "iova", json_hex(iova.v));
	lock_take(&ioasis->lock);
	idev = idev_find(ioasis, rid);
	if (idev) {
		json_put(out, "iommu", json_string(idev->iommu->name));
		idev->iommu->hw->ops->explain(idev->iommu->hw, rid, pasid, iova, out);
	} else {
		json_put(out, "error", json_string("no device has this requester id"));
	}
	lock_drop(&ioasis->lock);
	return out;
}
