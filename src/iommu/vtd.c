/* SPDX-License-Identifier: MIT */
/*
 * vtd: the driver of hw/vtd, legacy mode.
 *
 * It does what a kernel's driver does: a root table and a context table per bus in memory, domain
 * ids, an invalidation queue with a wait descriptor behind every batch, and an interrupt handler
 * that empties the fault recording registers. Every device starts, and ends, with a context entry
 * that is not present.
 *
 * Replacing blocks for a moment: the entry is cleared and forgotten before the new one is written,
 * as Linux does in legacy mode.
 *
 * Source: linux drivers/iommu/intel/{iommu,dmar,cache}.c for behaviour and errors.
 */
#include "iommu/iommu.h"

#include <linux/iommufd.h>
#include <stdio.h>

#define NR_DESCS  256u /* IQA.QS 0: one page */
#define WAIT_DONE 2u

struct vtd {
	struct iommu iommu;
	u64 cap, ecap;
	struct lock lock; /* RANK_IOMMU: protects from here to tail */
	struct idtab dids;
	u64 *root;
	u64 *contexts[256]; /* by bus; NULL: no device there yet; once set it stays */
	u64 *queue;
	_Atomic u32 *status; /* where wait descriptors report */
	u32 tail;
	_Atomic u32 faults_pending; /* interrupts that the handler has not answered */
};

struct vtd_domain {
	struct domain d;
	u32 did;	/* GUARDED_BY(vtd.lock); 0: attached to nothing */
	u32 nr_entries; /* GUARDED_BY(vtd.lock): context entries that name it */
};

struct desc {
	u64 lo, hi;
};

static struct vtd *to_vtd(struct iommu *iommu)
{
	return container_of(iommu, struct vtd, iommu);
}

static struct vtd_domain *to_vtd_domain(struct domain *d)
{
	return d ? container_of(d, struct vtd_domain, d) : NULL;
}

static u64 reg_read(struct vtd *v, u32 off, unsigned len)
{
	return v->iommu.hw->ops->reg_read(v->iommu.hw, off, len);
}

static void reg_write(struct vtd *v, u32 off, u64 value, unsigned len)
{
	v->iommu.hw->ops->reg_write(v->iommu.hw, off, value, len);
}

/* ---- the queue ---- */

static u64 *slot(struct vtd *v, u32 idx)
{
	return v->queue + idx % NR_DESCS * 2;
}

static void put_desc(struct vtd *v, struct desc d) MUST_HOLD(v->lock)
{
	u64 *at = slot(v, v->tail);

	__atomic_store_n(&at[0], d.lo, __ATOMIC_RELAXED);
	__atomic_store_n(&at[1], d.hi, __ATOMIC_RELAXED);
	v->tail = (v->tail + 1) % NR_DESCS;
}

/*
 * A descriptor that the hardware refused stops everything behind it: put a harmless one in its
 * place and go on, as Linux does.
 */
static void unstick(struct vtd *v, struct desc wait) MUST_HOLD(v->lock)
{
	u32 head = (u32)(reg_read(v, VTD_IQH, 8) >> VTD_DESC_LG2);
	u64 *at = slot(v, head);

	TRACE(v->iommu.env, unstick, "descriptor 0x%llx 0x%llx refused: %llu",
	      (unsigned long long)at[0], (unsigned long long)at[1],
	      (unsigned long long)reg_read(v, VTD_IQERCD, 8));
	__atomic_store_n(&at[0], wait.lo, __ATOMIC_RELAXED);
	__atomic_store_n(&at[1], wait.hi, __ATOMIC_RELAXED);
	reg_write(v, VTD_FSTS, VTD_FSTS_IQE, 4);
}

/* Return: false when the queue was stuck meanwhile, so that some of @descs may not have been done.
 */
static bool submit_once(struct vtd *v, const struct desc *descs, unsigned nr) MUST_HOLD(v->lock)
{
	const struct desc wait = {
		VTD_DESC_WAIT | VTD_DESC_WAIT_SW | VTD_DESC_WAIT_DATA(WAIT_DONE),
		table_oa(v->iommu.mem, (void *)v->status).v,
	};
	bool clean = true;

	atomic_store(v->status, 0);
	for (unsigned i = 0; i < nr; i++)
		put_desc(v, descs[i]);
	put_desc(v, wait);
	reg_write(v, VTD_IQT, (u64)v->tail << VTD_DESC_LG2, 8);
	while (atomic_load(v->status) != WAIT_DONE) {
		if (!(reg_read(v, VTD_FSTS, 4) & VTD_FSTS_IQE))
			break; /* the queue is off: so is translation, and nothing can be used */
		unstick(v, wait);
		clean = false;
	}
	return clean;
}

/*
 * Hand descriptors to the hardware; returns when it has done them. If the queue was stuck, one of
 * ours may have been replaced: say it all again.
 */
static void submit(struct vtd *v, const struct desc *descs, unsigned nr) MUST_HOLD(v->lock)
{
	if (submit_once(v, descs, nr) || submit_once(v, descs, nr))
		return;
	TRACE(v->iommu.env, submit, "the queue does not recover");
}

static struct desc desc_context_dev(u32 did, rid_t rid)
{
	return (struct desc){VTD_DESC_CONTEXT | VTD_DESC_GRAN(VTD_GRAN_SELECTIVE) |
				     VTD_DESC_DID(did) | VTD_DESC_SID(rid.v & 0xffff),
			     0};
}

static struct desc desc_iotlb(enum vtd_gran gran, u32 did, u64 hi)
{
	return (struct desc){VTD_DESC_IOTLB | VTD_DESC_GRAN(gran) | VTD_DESC_DW | VTD_DESC_DR |
				     VTD_DESC_DID(did),
			     hi};
}

/*
 * The policy, in one place: one page-selective descriptor for the smallest power of two that spans
 * the range; the whole domain when that is more than the hardware's address mask reaches.
 */
static struct desc desc_flush(const struct vtd *v, u32 did, const struct pt_gather *g)
{
	u64 differ = (g->start ^ g->last) | (PAGE_SIZE - 1);
	unsigned am = log2_floor(differ) + 1 - PAGE_LG2;

	if (am > VTD_CAP_GET_MAMV(v->cap))
		return desc_iotlb(VTD_GRAN_DOMAIN, did, 0);
	return desc_iotlb(VTD_GRAN_SELECTIVE, did,
			  align_down(g->start, 1ull << (am + PAGE_LG2)) |
				  (g->tables ? 0 : VTD_DESC_HI_IH) | am);
}

static void vtd_flush(struct domain *domain, const struct pt_gather *g)
{
	struct vtd *v = to_vtd(domain->iommu);
	struct vtd_domain *vd = to_vtd_domain(domain);
	struct desc d;

	lock_take(&v->lock);
	if (vd->did) {
		d = desc_flush(v, vd->did, g);
		submit(v, &d, 1);
	}
	lock_drop(&v->lock);
}

/* ---- faults ---- */

/*
 * The hardware's reason does not say whether there was no leaf or one without the right; our tables
 * do, as long as nobody changed them since.
 */
static enum xlate_reason permission_reason(struct vtd *v, const struct xlate_fault *f)
{
	struct epoch_slot *slot = epoch_slot(&v->iommu.env->epoch);
	u64 *entries = v->contexts[f->rid.v >> 8], lo, hi;
	enum xlate_reason reason = XLATE_NOT_PRESENT;
	struct pt_leaf leaf;

	if (!slot || !entries)
		return XLATE_PERM;
	epoch_enter(slot, NULL);
	lo = __atomic_load_n(&entries[(f->rid.v & 0xff) * 2], __ATOMIC_ACQUIRE);
	hi = __atomic_load_n(&entries[(f->rid.v & 0xff) * 2 + 1], __ATOMIC_RELAXED);
	if (lo & VTD_CTX_P && !vtdss_walk(v->iommu.mem, OA(VTD_CTX_SLPTPTR(lo)),
					  VTD_CTX_HI_AW(hi) + 1, f->iova.v, &leaf))
		reason = XLATE_PERM;
	epoch_leave(slot);
	return reason;
}

static enum xlate_reason reason_of(struct vtd *v, const struct xlate_fault *f)
{
	switch (f->code) {
	case VTD_FR_ROOT_P:
	case VTD_FR_CONTEXT_P:
	case VTD_FR_INTR:
	case VTD_FR_TTM_PASID:
		return XLATE_BLOCKED;
	case VTD_FR_BEYOND_AGAW:
		return XLATE_RANGE;
	case VTD_FR_WRITE:
	case VTD_FR_READ:
		return permission_reason(v, f);
	case VTD_FR_NONE:
		return XLATE_NO_MEMORY;
	default:
		return XLATE_BAD_TABLE;
	}
}

static void read_records(struct vtd *v)
{
	u32 at = VTD_FSTS_FRI((u32)reg_read(v, VTD_FSTS, 4));
	u32 base = VTD_CAP_GET_FRO(v->cap), nr = VTD_CAP_GET_NFR(v->cap);

	for (;; at = (at + 1) % nr) {
		u64 hi = reg_read(v, base + at * 16 + 8, 8);
		struct xlate_fault f;

		if (!(hi & VTD_FRCD_HI_F))
			return;
		f = (struct xlate_fault){
			.rid = RID(VTD_FRCD_HI_SID(hi)),
			.pasid = PASID(hi & VTD_FRCD_HI_PP ? VTD_FRCD_HI_PASID(hi) : 0),
			.iova = IOVA(VTD_FRCD_LO_FI(reg_read(v, base + at * 16, 8))),
			.perm = hi & VTD_FRCD_HI_READ ? PERM_R : PERM_W,
			.code = VTD_FRCD_HI_FR(hi),
		};
		reg_write(v, base + at * 16 + 12, 1u << 31, 4);
		f.reason = reason_of(v, &f);
		fault_log_add(v->iommu.log, v->iommu.name, &f);
	}
}

/*
 * The interrupt handler. It may be called by several threads at once: the first one works, the
 * others leave their interrupt with it. No lock, because the model may raise it from a register
 * write that is made under the queue's.
 */
static void vtd_irq(void *arg)
{
	struct vtd *v = arg;
	u32 taken = 1;

	if (atomic_fetch_add(&v->faults_pending, 1))
		return;
	do {
		read_records(v);
		if (reg_read(v, VTD_FSTS, 4) & VTD_FSTS_PFO)
			reg_write(v, VTD_FSTS, VTD_FSTS_PFO, 4);
		taken = atomic_fetch_sub(&v->faults_pending, taken) - taken;
	} while (taken);
}

/* ---- devices ---- */

static u64 *context_entry(struct vtd *v, rid_t rid)
{
	return v->contexts[rid.v >> 8] + (rid.v & 0xff) * 2;
}

static int vtd_dev_add(struct iommu *iommu, struct iommu_dev *dev)
{
	struct vtd *v = to_vtd(iommu);
	u32 bus = dev->rid.v >> 8;
	int rc = 0;

	if (dev->rid.v > 0xffff)
		return -EINVAL;
	lock_take(&v->lock);
	if (hw_has_port(iommu->hw, dev->rid))
		rc = -EEXIST;
	else if (!v->contexts[bus]) {
		v->contexts[bus] = table_alloc(iommu->mem);
		if (v->contexts[bus])
			__atomic_store_n(&v->root[bus * 2],
					 table_oa(iommu->mem, v->contexts[bus]).v | VTD_ROOT_P,
					 __ATOMIC_RELEASE);
		else
			rc = -ENOMEM;
	}
	if (!rc)
		hw_port_init(&dev->port, iommu->hw, dev->rid);
	lock_drop(&v->lock);
	return rc;
}

static void vtd_dev_remove(struct iommu *iommu, struct iommu_dev *dev)
{
	struct vtd *v = to_vtd(iommu);

	/* Its entry was cleared when it was detached; the bus's table stays for the next device. */
	assert(!(context_entry(v, dev->rid)[0] & VTD_CTX_P));
	(void)v;
}

static bool vtd_capable(const struct iommu_dev *dev, enum iommu_cap cap)
{
	const struct vtd *v = to_vtd(dev->iommu);

	switch (cap) {
	case IOMMU_CAP_CACHE_COHERENCY:
		return true;
	case IOMMU_CAP_ENFORCE_COHERENCY:
		return v->ecap & VTD_ECAP_SC;
	case IOMMU_CAP_DIRTY_TRACKING:
		return v->ecap & VTD_ECAP_SMTS && v->ecap & VTD_ECAP_SLADS;
	}
	return false;
}

static unsigned vtd_resv_regions(const struct iommu_dev *dev, struct resv_region *out, unsigned max)
{
	if (max)
		out[0] =
			(struct resv_region){.range = {VTD_INTR_START, VTD_INTR_LAST}, .msi = true};
	return max ? 1 : 0;
}

static int vtd_hw_info(const struct iommu_dev *dev, u32 *type, void *out, u32 *len)
{
	const struct vtd *v = to_vtd(dev->iommu);
	const struct iommu_hw_info_vtd info = {
		.flags = IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17, /* as Linux says of every unit */
		.cap_reg = v->cap,
		.ecap_reg = v->ecap,
	};

	if (*type != IOMMU_HW_INFO_TYPE_DEFAULT && *type != IOMMU_HW_INFO_TYPE_INTEL_VTD)
		return -EOPNOTSUPP;
	memcpy(out, &info, min((size_t)*len, sizeof(info)));
	*type = IOMMU_HW_INFO_TYPE_INTEL_VTD;
	*len = sizeof(info);
	return 0;
}

/* ---- domains ---- */

/*
 * The PASID flag is accepted though legacy mode has none, as on Linux: it only says what the table
 * may be attached to. Nesting and dirty tracking are of scalable mode.
 */
static int vtd_domain_alloc(struct iommu_dev *dev, u32 flags, const struct driver_data *data,
			    struct domain **out)
{
	struct vtd *v = to_vtd(dev->iommu);
	const struct pt_cfg cfg = {
		.va_bits = VTD_CAP_GET_MGAW(v->cap),
		.oa_bits = v->iommu.mem->oa_bits,
		.pgsize_bitmap = 1ull << 12 | 1ull << 21 | 1ull << 30,
	};
	struct vtd_domain *vd;
	int rc;

	if (data)
		return -EOPNOTSUPP;
	if (flags & ~(u32)(IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
			   IOMMU_HWPT_ALLOC_PASID))
		return -EOPNOTSUPP;
	if (flags & IOMMU_HWPT_ALLOC_NEST_PARENT &&
	    !(v->ecap & VTD_ECAP_SMTS && v->ecap & VTD_ECAP_NEST))
		return -EOPNOTSUPP;
	if (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING && !vtd_capable(dev, IOMMU_CAP_DIRTY_TRACKING))
		return -EOPNOTSUPP;
	vd = env_zalloc(v->iommu.env, sizeof(*vd));
	if (!vd)
		return -ENOMEM;
	rc = domain_init(&vd->d, &v->iommu, &pt_vtdss, &cfg);
	if (rc) {
		env_free(v->iommu.env, vd);
		return rc;
	}
	vd->d.cache_coherent = v->ecap & VTD_ECAP_SC;
	*out = &vd->d;
	return 0;
}

static void vtd_domain_free(struct domain *domain)
{
	struct env *env = domain->iommu->env;

	domain_fini(domain);
	env_free(env, to_vtd_domain(domain));
}

static int get_did(struct vtd *v, struct vtd_domain *vd) MUST_HOLD(v->lock)
{
	u32 did;
	int rc;

	if (vd->nr_entries)
		return 0;
	rc = idtab_reserve(&v->dids, &did);
	if (rc)
		return rc == -EBUSY ? -ENOSPC : rc;
	if (did >= VTD_CAP_GET_NDOMS(v->cap)) {
		idtab_release(&v->dids, did);
		return -ENOSPC;
	}
	vd->did = did;
	return 0;
}

static void set_entry(struct vtd *v, rid_t rid, struct vtd_domain *vd) MUST_HOLD(v->lock)
{
	u64 *e = context_entry(v, rid);
	u64 root = table_oa(v->iommu.mem, vd->d.pt.root).v;

	/* High word first: the entry is present once both are there. */
	__atomic_store_n(&e[1], (u64)vd->did << 8 | (vd->d.pt.top_level - 1u), __ATOMIC_RELAXED);
	__atomic_store_n(&e[0], root | VTD_CTX_P, __ATOMIC_RELEASE);
	vd->nr_entries++;
	atomic_fetch_add(&vd->d.nr_attached, 1);
}

/* Not present, and forgotten: first the context, then what was translated through it. */
static void clear_entry(struct vtd *v, rid_t rid, struct vtd_domain *vd) MUST_HOLD(v->lock)
{
	u64 *e = context_entry(v, rid);
	const struct desc descs[] = {
		desc_context_dev(vd->did, rid),
		desc_iotlb(VTD_GRAN_DOMAIN, vd->did, 0),
	};

	__atomic_store_n(&e[0], 0, __ATOMIC_RELEASE);
	submit(v, descs, ARRAY_SIZE(descs));
	__atomic_store_n(&e[1], 0, __ATOMIC_RELAXED);
	if (--vd->nr_entries)
		return;
	idtab_release(&v->dids, vd->did);
	vd->did = 0;
}

static int vtd_attach(struct iommu_dev *dev, pasid_t pasid, struct domain *domain,
		      struct domain *old)
{
	struct vtd *v = to_vtd(dev->iommu);
	int rc = 0;

	if (pasid.v)
		return domain ? -EOPNOTSUPP : 0;
	if (domain && domain->iommu != dev->iommu)
		return -EINVAL;
	if (domain == old)
		return 0;
	lock_take(&v->lock);
	if (domain)
		rc = get_did(v, to_vtd_domain(domain));
	if (!rc && old)
		clear_entry(v, dev->rid, to_vtd_domain(old));
	if (!rc && domain)
		set_entry(v, dev->rid, to_vtd_domain(domain));
	lock_drop(&v->lock);
	if (rc || !old)
		return rc;
	epoch_sync(&dev->iommu->env->epoch, NULL);
	atomic_fetch_sub(&old->nr_attached, 1);
	return 0;
}

/* ---- making one ---- */

static void vtd_free(struct iommu *iommu)
{
	struct vtd *v = to_vtd(iommu);
	struct env *env = iommu->env;

	if (iommu->hw) {
		reg_write(v, VTD_GCMD, 0, 4);
		iommu->hw->ops->free(iommu->hw);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(v->contexts); i++)
		if (v->contexts[i])
			table_free(iommu->mem, v->contexts[i]);
	if (v->root)
		table_free(iommu->mem, v->root);
	if (v->queue)
		table_free(iommu->mem, v->queue);
	if (v->status)
		table_free(iommu->mem, (void *)v->status);
	idtab_fini(&v->dids);
	lock_fini(&v->lock);
	env_free(env, v);
}

/* The order in which a kernel brings a unit up: queue, root table, caches empty, faults,
 * translation. */
static void start(struct vtd *v)
{
	struct hw_iommu *hw = v->iommu.hw;
	const struct desc all[] = {
		{VTD_DESC_CONTEXT | VTD_DESC_GRAN(VTD_GRAN_GLOBAL), 0},
		{VTD_DESC_IOTLB | VTD_DESC_GRAN(VTD_GRAN_GLOBAL) | VTD_DESC_DR | VTD_DESC_DW, 0},
	};

	v->cap = reg_read(v, VTD_CAP, 8);
	v->ecap = reg_read(v, VTD_ECAP, 8);
	reg_write(v, VTD_IQT, 0, 8);
	reg_write(v, VTD_IQA, table_oa(v->iommu.mem, v->queue).v, 8);
	reg_write(v, VTD_GCMD, VTD_GCMD_QIE, 4);
	reg_write(v, VTD_RTADDR, table_oa(v->iommu.mem, v->root).v, 8);
	reg_write(v, VTD_GCMD, VTD_GCMD_QIE | VTD_GCMD_SRTP, 4);
	lock_take(&v->lock);
	submit(v, all, ARRAY_SIZE(all));
	lock_drop(&v->lock);
	hw->irq = vtd_irq;
	hw->irq_arg = v;
	reg_write(v, VTD_FEADDR, VTD_INTR_START, 4);
	reg_write(v, VTD_FECTL, 0, 4);
	reg_write(v, VTD_GCMD, VTD_GCMD_QIE | VTD_GCMD_TE, 4);
}

static const struct iommu_ops vtd_ops = {
	.name = "vtd",
	.free = vtd_free,
	.dev_add = vtd_dev_add,
	.dev_remove = vtd_dev_remove,
	.capable = vtd_capable,
	.resv_regions = vtd_resv_regions,
	.hw_info = vtd_hw_info,
	.domain_alloc = vtd_domain_alloc,
	.domain_free = vtd_domain_free,
	.attach = vtd_attach,
	.flush = vtd_flush,
};

int iommu_vtd_new(struct env *env, struct mem *mem, struct fault_log *log, const char *name,
		  struct iommu **out)
{
	const struct hw_vtd_cfg cfg = {.aw_bits = 48};
	struct vtd *v = env_zalloc(env, sizeof(*v));
	int rc = -ENOMEM;

	if (!v)
		return -ENOMEM;
	v->iommu = (struct iommu){.ops = &vtd_ops, .env = env, .mem = mem, .log = log};
	snprintf(v->iommu.name, sizeof(v->iommu.name), "%s", name);
	lock_init(&v->lock, RANK_IOMMU);
	idtab_init(&v->dids, env);
	v->root = table_alloc(mem);
	v->queue = table_alloc(mem);
	v->status = table_alloc(mem);
	if (v->root && v->queue && v->status)
		rc = hw_vtd_new(env, mem, &cfg, &v->iommu.hw);
	if (rc) {
		vtd_free(&v->iommu);
		return rc;
	}
	start(v);
	*out = &v->iommu;
	return 0;
}
