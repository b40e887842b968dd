/* SPDX-License-Identifier: MIT */
/*
 * iommu: drivers. Each programs one hardware model (src/hw) behind struct iommu_ops, as a kernel's
 * driver does: tables in memory, registers, commands. The room's one door.
 */
#ifndef IOASIS_SRC_IOMMU_IOMMU_H
#define IOASIS_SRC_IOMMU_IOMMU_H

#include "hwpt/hwpt.h"

/* Make the model and its driver. @name: "dmar0". The result is freed with ops->free. */
int iommu_vtd_new(struct env *env, struct mem *mem, struct fault_log *log, const char *name,
		  struct iommu **out) MUST_CHECK;
int iommu_mock_new(struct env *env, struct mem *mem, struct fault_log *log, const char *name,
		   struct iommu **out) MUST_CHECK;

/* Put a device behind an IOMMU, its DMA blocked; take it away. */
int iommu_dev_init(struct iommu *iommu, struct iommu_dev *dev, rid_t rid,
		   const char *name) MUST_CHECK;
void iommu_dev_fini(struct iommu_dev *dev);

#endif
