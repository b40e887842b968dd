/* SPDX-License-Identifier: MIT */
/*
 * The VT-d model's own state, for its files only.
 *
 * vtd.c: making, resetting, showing. vtd_reg.c: the register file. vtd_queue.c: invalidation
 * descriptors. vtd_walk.c: root, context and second-stage tables. vtd_fault.c: recording.
 */
#ifndef IOASIS_SRC_HW_VTD_H
#define IOASIS_SRC_HW_VTD_H

#include "hw/hw.h"

#define VTD_NR_FRCD 8u
#define VTD_MAMV    18u /* page-selective invalidation reaches 1 GiB */

struct hw_vtd {
	struct hw_iommu hw;
	u64 cap, ecap;
	unsigned aw_bits;
	/* Read by translations without the lock. */
	_Atomic u32 gsts;
	_Atomic u64 root; /* RTADDR as latched by SRTP */
	/* GUARDED_BY(hw.lock) from here */
	u64 rtaddr, iqa, iqt, iqh, iqercd;
	u32 fsts; /* PFO and IQE; PPF and FRI are made from the records */
	u32 fectl, fedata, feaddr, feuaddr;
	u32 ics, iectl, iedata, ieaddr, ieuaddr;
	u64 frcd[VTD_NR_FRCD][2];
	unsigned fri; /* the next record to write, and the first pending one */
	unsigned next;
	bool raise; /* an interrupt leaves when the lock is dropped */
};

static inline struct hw_vtd *to_vtd(struct hw_iommu *hw)
{
	return container_of(hw, struct hw_vtd, hw);
}

int vtd_context(struct hw_iommu *hw, rid_t rid, pasid_t pasid, struct hw_context *out,
		struct xlate_fault *fault);
int vtd_walk(struct hw_iommu *hw, const struct hw_context *ctx, iova_t iova, enum perm perm,
	     struct pt_leaf *out, struct xlate_fault *fault);
void vtd_record(struct hw_iommu *hw, const struct xlate_fault *fault);
u64 vtd_reg_read(struct hw_iommu *hw, u32 off, unsigned len);
void vtd_reg_write(struct hw_iommu *hw, u32 off, u64 value, unsigned len);
void vtd_explain(struct hw_iommu *hw, rid_t rid, pasid_t pasid, iova_t iova, json_t *out);

u32 vtd_fsts(const struct hw_vtd *v) MUST_HOLD(v->hw.lock);
/* Set a status bit and its interrupt; @record makes PPF. */
void vtd_status_event(struct hw_vtd *v, u32 before) MUST_HOLD(v->hw.lock);
void vtd_queue_run(struct hw_vtd *v) MUST_HOLD(v->hw.lock);

#endif
