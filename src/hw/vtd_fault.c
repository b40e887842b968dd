/* SPDX-License-Identifier: MIT */
/*
 * VT-d: primary fault logging (specification 7.2).
 *
 * A fault goes into the next fault recording register, unless software has not emptied that one
 * yet: then it is lost and PFO says so. The interrupt is raised when the first status bit is set,
 * and not again before software has cleared them all.
 */
#include "hw/vtd.h"

u32 vtd_fsts(const struct hw_vtd *v)
{
	u32 fsts = v->fsts;

	for (unsigned i = 0; i < VTD_NR_FRCD; i++) {
		if (v->frcd[i][1] & VTD_FRCD_HI_F)
			fsts |= VTD_FSTS_PPF;
	}
	return fsts | v->fri << 8;
}

#define STATUS_BITS (VTD_FSTS_PFO | VTD_FSTS_PPF | VTD_FSTS_IQE)

void vtd_status_event(struct hw_vtd *v, u32 before)
{
	if (before & STATUS_BITS || !(vtd_fsts(v) & STATUS_BITS))
		return;
	if (v->fectl & VTD_EVENT_IM)
		v->fectl |= VTD_EVENT_IP;
	else
		v->raise = true;
}

static void record(struct hw_vtd *v, const struct xlate_fault *f) MUST_HOLD(v->hw.lock)
{
	u32 before = vtd_fsts(v);
	u64 *frcd = v->frcd[v->next];

	if (before & VTD_FSTS_PFO)
		return;
	if (frcd[1] & VTD_FRCD_HI_F) {
		v->fsts |= VTD_FSTS_PFO;
		vtd_status_event(v, before);
		return;
	}
	if (!(before & VTD_FSTS_PPF))
		v->fri = v->next;
	frcd[0] = VTD_FRCD_LO_FI(f->iova.v);
	frcd[1] = VTD_FRCD_HI_F | (u64)(f->code & 0xff) << 32 | (f->rid.v & 0xffff);
	if (!(f->perm & PERM_W))
		frcd[1] |= VTD_FRCD_HI_READ;
	if (f->pasid.v)
		frcd[1] |= VTD_FRCD_HI_PP | (u64)(f->pasid.v & 0xfffff) << 40;
	v->next = (v->next + 1) % VTD_NR_FRCD;
	vtd_status_event(v, before);
}

void vtd_record(struct hw_iommu *hw, const struct xlate_fault *fault)
{
	struct hw_vtd *v = to_vtd(hw);
	bool raise;

	lock_take(&v->hw.lock);
	record(v, fault);
	raise = v->raise;
	v->raise = false;
	lock_drop(&v->hw.lock);
	if (raise && hw->irq)
		hw->irq(hw->irq_arg);
}
