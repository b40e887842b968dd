/* SPDX-License-Identifier: MIT */
/* An IOMMU with its driver, two devices behind it and memory, as the tests of drivers want them. */
#ifndef TESTS_UNIT_IOMMU_MACHINE_H
#define TESTS_UNIT_IOMMU_MACHINE_H

#include "../hw/rig.h"

#include "iommu/iommu.h"

#define BASE (16ull << 20) /* in every driver's aperture */

struct machine {
	struct rig r;
	struct fault_log log;
	struct iommu *iommu;
	struct iommu_dev dev, other;
};

typedef int (*make_fn)(struct env *, struct mem *, struct fault_log *, const char *,
		       struct iommu **);

static inline void machine_init(struct machine *m, make_fn make)
{
	memset(m, 0, sizeof(*m));
	rig_init(&m->r);
	fault_log_init(&m->log, &m->r.env);
	OK(make(&m->r.env, &m->r.mem, &m->log, "iommu0", &m->iommu));
	m->dev.pasid_bits = m->other.pasid_bits = 20;
	OK(iommu_dev_init(m->iommu, &m->dev, RID(0x100), "0000:01:00.0"));
	OK(iommu_dev_init(m->iommu, &m->other, RID(0x208), "0000:02:01.0"));
}

static inline void machine_fini(struct machine *m)
{
	iommu_dev_fini(&m->dev);
	iommu_dev_fini(&m->other);
	m->iommu->ops->free(m->iommu);
	fault_log_fini(&m->log);
	rig_fini(&m->r);
}

static inline int setup_vtd(void **state)
{
	static struct machine m;

	machine_init(&m, iommu_vtd_new);
	*state = &m;
	return 0;
}

static inline int setup_mock(void **state)
{
	static struct machine m;

	machine_init(&m, iommu_mock_new);
	*state = &m;
	return 0;
}

static inline int teardown(void **state)
{
	machine_fini(*state);
	return 0;
}

static inline struct domain *new_domain(struct machine *m, u32 flags)
{
	struct domain *d;

	OK(m->iommu->ops->domain_alloc(&m->dev, flags, NULL, &d));
	return d;
}

static inline void map(struct machine *m, struct domain *d, u64 iova, u64 off, u64 len, u8 perm)
{
	u64 mapped = 0;

	lock_take(&d->lock);
	OK(pt_map(&d->pt, IOVA(iova), rig_oa(&m->r, off), len, perm, &mapped));
	lock_drop(&d->lock);
}

static inline void unmap(struct domain *d, u64 iova, u64 len)
{
	struct pt_gather g;

	pt_gather_init(&g);
	lock_take(&d->lock);
	assert_int_equal(pt_unmap(&d->pt, (struct iova_range){iova, iova + len - 1}, &g), len);
	lock_drop(&d->lock);
	iommu_flush(d, &g);
}

static inline int attach(struct machine *m, struct iommu_dev *dev, pasid_t pasid, struct domain *d,
			 struct domain *old)
{
	return m->iommu->ops->attach(dev, pasid, d, old);
}

static inline struct dma_fault last_fault(struct machine *m)
{
	struct dma_fault f = {0};
	u64 seq = 0;

	while (fault_log_read(&m->log, &seq, &f, 1))
		;
	return f;
}

#define BOTH(name)                                                                                 \
	{#name " (vtd)", name, setup_vtd, teardown, NULL},                                         \
	{                                                                                          \
#name " (mock)", name, setup_mock, teardown, NULL                                  \
	}

#endif
