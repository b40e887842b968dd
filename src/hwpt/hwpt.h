/* SPDX-License-Identifier: MIT */
/*
 * hwpt: one I/O page table as an object, and the devices attached to it. The room's one door.
 */
#ifndef IOASIS_SRC_HWPT_HWPT_H
#define IOASIS_SRC_HWPT_HWPT_H

#include "hwpt/iommu_ops.h"
#include "obj/obj.h"

struct ioasis_ioas;

/* HWPT_ALLOC's flags: linux/iommufd.h's numbers. */
enum hwpt_flags {
	HWPT_ALLOC_NEST_PARENT = 1,
	HWPT_ALLOC_DIRTY_TRACKING = 2,
	HWPT_FAULT_ID_VALID = 4,
	HWPT_ALLOC_PASID = 8,
};

struct hwpt {
	struct obj obj; /* OBJ_HWPT_PAGING */
	struct domain *domain;
	struct ioasis_ioas *ioas; /* held */
	struct list ioas_node;	  /* on ioas->hwpts (GUARDED_BY ioas->hwpts_lock), by .seq */
	u64 seq;		  /* order of joining the IOAS */
	bool auto_made;		  /* by attaching an IOAS: goes with its last device */
	bool nest_parent;
	bool pasid_compat;
	bool enforce_coherency;
};

/*
 * The flush of one call: invalidate, wait for the grace period, then free tables. After it returns
 * no device can reach what was gathered. @scope: see base/epoch.h; table walkers are "any".
 */
void iommu_flush(struct domain *domain, struct pt_gather *g);

#endif
