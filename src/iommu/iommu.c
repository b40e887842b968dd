/* SPDX-License-Identifier: MIT */
/*
 * Putting devices behind IOMMUs.
 */
#include "iommu/iommu.h"

#include <stdio.h>

int iommu_dev_init(struct iommu *iommu, struct iommu_dev *dev, rid_t rid, const char *name)
{
	dev->iommu = iommu;
	dev->rid = rid;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	return iommu->ops->dev_add(iommu, dev);
}

void iommu_dev_fini(struct iommu_dev *dev)
{
	struct iommu *iommu = dev->iommu;

	/* A thread of the device may still be translating: nothing of the port goes before it left.
	 */
	hw_port_remove(&dev->port);
	epoch_sync(&iommu->env->epoch, NULL);
	iommu->ops->dev_remove(iommu, dev);
	hw_port_fini(&dev->port);
}
