/* SPDX-License-Identifier: MIT */
/*
 * Domains: what every driver's page table has in common.
 */
#include "hwpt/hwpt.h"

int domain_init(struct domain *domain, struct iommu *iommu, const struct pt_fmt *fmt,
		const struct pt_cfg *cfg)
{
	int rc;

	rc = pt_init(&domain->pt, fmt, iommu->mem, cfg);
	if (rc)
		return rc;
	domain->iommu = iommu;
	domain->aperture = (struct iova_range){0, domain->pt.last_iova};
	domain->pgsize_bitmap = pt_pgsizes(&domain->pt);
	lock_init(&domain->lock, RANK_TABLE);
	return 0;
}

void domain_fini(struct domain *domain)
{
	assert(!atomic_load(&domain->nr_attached));
	pt_fini(&domain->pt);
	lock_fini(&domain->lock);
}

/*
 * A table that no device uses has no walker and nothing cached: detaching saw to both. The count is
 * read by an atomic that writes, so that it cannot be read before the leaves were cleared: either
 * we see the device that is being attached, or its walker sees what we cleared.
 */
void iommu_flush(struct domain *domain, struct pt_gather *g)
{
	struct iommu *iommu = domain->iommu;

	if (pt_gather_empty(g))
		return;
	if (atomic_fetch_add(&domain->nr_attached, 0)) {
		TRACE(iommu->env, iommu_flush, "%s: iova [0x%llx, 0x%llx]%s", iommu->name,
		      (unsigned long long)g->start, (unsigned long long)g->last,
		      g->tables ? " and tables" : "");
		if (g->start <= g->last)
			iommu->ops->flush(domain, g);
		epoch_sync(&iommu->env->epoch, NULL);
	}
	pt_gather_free(iommu->mem, g);
}
