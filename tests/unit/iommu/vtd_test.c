/* SPDX-License-Identifier: MIT */
/* What the VT-d driver offers, as Linux's does in legacy mode; and what it writes for the hardware.
 */
#include "machine.h"

#include <linux/iommufd.h>

static void test_alloc_flags(void **state)
{
	struct machine *m = *state;
	const struct driver_data data = {.type = IOMMU_HWPT_DATA_VTD_S1, .len = 16};
	struct domain *d = NULL;

	for (u32 flags = 1; flags < 64; flags++) {
		if (flags == IOMMU_HWPT_ALLOC_PASID)
			continue;
		FAILS(m->iommu->ops->domain_alloc(&m->dev, flags, NULL, &d), EOPNOTSUPP);
	}
	FAILS(m->iommu->ops->domain_alloc(&m->dev, 0, &data, &d), EOPNOTSUPP);
	assert_null(d);
	OK(m->iommu->ops->domain_alloc(&m->dev, IOMMU_HWPT_ALLOC_PASID, NULL, &d));
	assert_int_equal(d->aperture.start, 0);
	assert_int_equal(d->aperture.last, (1ull << 48) - 1);
	assert_int_equal(d->pgsize_bitmap, 1 << 12 | 1 << 21 | 1 << 30);
	assert_true(d->cache_coherent);
	FAILS(attach(m, &m->dev, PASID(1), d, NULL), EOPNOTSUPP);
	OK(attach(m, &m->dev, PASID(1), NULL, NULL)); /* blocking cannot fail */
	m->iommu->ops->domain_free(d);
}

static void test_offers(void **state)
{
	struct machine *m = *state;
	const struct iommu_ops *ops = m->iommu->ops;
	struct iommu_hw_info_vtd info;
	struct resv_region r;
	u32 type = 0, len = sizeof(info);

	OK(ops->hw_info(&m->dev, &type, &info, &len));
	assert_int_equal(type, IOMMU_HW_INFO_TYPE_INTEL_VTD);
	assert_int_equal(len, 24);
	assert_int_equal(info.flags, IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17);
	assert_int_equal(info.cap_reg, m->iommu->hw->ops->reg_read(m->iommu->hw, VTD_CAP, 8));
	assert_int_equal(info.ecap_reg, m->iommu->hw->ops->reg_read(m->iommu->hw, VTD_ECAP, 8));
	memset(&info, RIG_FILL, sizeof(info));
	len = 4;
	OK(ops->hw_info(&m->dev, &type, &info, &len));
	assert_int_equal(len, 24);
	assert_int_equal(info.__reserved, 0xa5a5a5a5); /* no more than there is room for */
	type = IOMMU_HW_INFO_TYPE_AMD;
	FAILS(ops->hw_info(&m->dev, &type, &info, &len), EOPNOTSUPP);

	assert_int_equal(ops->resv_regions(&m->dev, &r, 1), 1);
	assert_int_equal(r.range.start, 0xfee00000);
	assert_int_equal(r.range.last, 0xfeefffff);
	assert_true(r.msi);
	assert_int_equal(ops->resv_regions(&m->dev, &r, 0), 0);

	assert_true(ops->capable(&m->dev, IOMMU_CAP_CACHE_COHERENCY));
	assert_true(ops->capable(&m->dev, IOMMU_CAP_ENFORCE_COHERENCY));
	assert_false(ops->capable(&m->dev, IOMMU_CAP_DIRTY_TRACKING));
	assert_null(ops->set_dirty_tracking);
}

/* The last descriptor before the wait descriptor that ends at the tail. */
static u64 last_desc(struct machine *m, u64 *hi)
{
	struct hw_iommu *hw = m->iommu->hw;
	u64 iqa = hw->ops->reg_read(hw, VTD_IQA, 8), tail = hw->ops->reg_read(hw, VTD_IQT, 8);
	u64 *desc = table_at(&m->r.mem, OA(VTD_IQA_BASE(iqa) + (tail - 32) % 4096), 16);

	*hi = desc[1];
	return desc[0];
}

static void flush(struct domain *d, u64 start, u64 last, bool tables)
{
	struct pt_gather g;

	pt_gather_init(&g);
	g.start = start;
	g.last = last;
	g.tables = tables;
	iommu_flush(d, &g);
}

/* The policy: one descriptor that spans the range, or the domain. */
static void test_flush_descriptors(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, 0);
	u64 hi;

	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	flush(d, BASE, BASE + 4095, false);
	assert_int_equal(last_desc(m, &hi) & 0x3f,
			 VTD_DESC_IOTLB | VTD_DESC_GRAN(VTD_GRAN_SELECTIVE));
	assert_int_equal(hi, BASE | VTD_DESC_HI_IH);
	flush(d, BASE, BASE + 4095, true);
	last_desc(m, &hi);
	assert_int_equal(hi, BASE);
	flush(d, BASE + 0x1000, BASE + 0x2fff, false); /* crosses a boundary: four pages */
	last_desc(m, &hi);
	assert_int_equal(hi, BASE | VTD_DESC_HI_IH | 2);
	flush(d, 0, (1ull << 30) - 1, true);
	last_desc(m, &hi);
	assert_int_equal(hi, 18);
	flush(d, 0, 1ull << 30, true);
	assert_int_equal(last_desc(m, &hi) & 0x3f, VTD_DESC_IOTLB | VTD_DESC_GRAN(VTD_GRAN_DOMAIN));
	assert_int_equal(hi, 0);
	flush(d, 0, UINT64_MAX, true);
	assert_int_equal(last_desc(m, &hi) & 0x3f, VTD_DESC_IOTLB | VTD_DESC_GRAN(VTD_GRAN_DOMAIN));
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

/* A table that nobody uses costs no command. */
static void test_no_flush_without_devices(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, 0);
	struct hw_iommu *hw = m->iommu->hw;
	u64 tail = hw->ops->reg_read(hw, VTD_IQT, 8);

	map(m, d, BASE, 0, 2 << 20, PERM_RW);
	unmap(d, BASE, 2 << 20);
	assert_int_equal(hw->ops->reg_read(hw, VTD_IQT, 8), tail);
	m->iommu->ops->domain_free(d);
}

/* The context entries and the domain ids in them. */
static void test_context_entries(void **state)
{
	struct machine *m = *state;
	struct hw_iommu *hw = m->iommu->hw;
	struct domain *a = new_domain(m, 0), *b = new_domain(m, 0);
	u64 *root = table_at(&m->r.mem, OA(hw->ops->reg_read(hw, VTD_RTADDR, 8)), 4096);
	u64 *one = (u64 *)table_at(&m->r.mem, OA(VTD_ROOT_CTP(root[2])), 4096);
	u64 *two = (u64 *)table_at(&m->r.mem, OA(VTD_ROOT_CTP(root[4])), 4096) + 2 * 8;

	assert_int_equal(root[2] & 0xfff, VTD_ROOT_P);
	assert_int_equal(one[0], 0);
	OK(attach(m, &m->dev, NO_PASID, a, NULL));
	OK(attach(m, &m->other, NO_PASID, b, NULL));
	assert_int_equal(one[0], table_oa(&m->r.mem, a->pt.root).v | VTD_CTX_P);
	assert_int_equal(one[1], 1 << 8 | 2);
	assert_int_equal(two[1], 2 << 8 | 2);
	OK(attach(m, &m->dev, NO_PASID, b, a));
	assert_int_equal(one[1], 2 << 8 | 2);
	OK(attach(m, &m->dev, NO_PASID, NULL, b));
	OK(attach(m, &m->other, NO_PASID, a, b));
	assert_int_equal(one[0], 0);
	assert_int_equal(one[1], 0);
	OK(attach(m, &m->other, NO_PASID, NULL, a));
	assert_int_equal(two[0], 0);
	m->iommu->ops->domain_free(a);
	m->iommu->ops->domain_free(b);
}

/* Somebody scribbled a descriptor into the queue: the driver gets past it. */
static void test_gets_past_a_bad_descriptor(void **state)
{
	struct machine *m = *state;
	struct hw_iommu *hw = m->iommu->hw;
	struct domain *d = new_domain(m, 0);
	u64 *ring = table_at(&m->r.mem, OA(hw->ops->reg_read(hw, VTD_IQA, 8)), 4096);

	map(m, d, BASE, 0, 4096, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	/* the hardware's tail runs ahead of the driver's onto rubbish */
	for (unsigned i = 0; i < 512; i++)
		ring[i] = 0xff;
	hw->ops->reg_write(hw, VTD_IQT, (hw->ops->reg_read(hw, VTD_IQT, 8) + 48) % 4096, 8);
	assert_true(hw->ops->reg_read(hw, VTD_FSTS, 4) & VTD_FSTS_IQE);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
	unmap(d, BASE, 4096);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_vtd, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_alloc_flags),	      TEST(test_offers),
		TEST(test_flush_descriptors), TEST(test_no_flush_without_devices),
		TEST(test_context_entries),   TEST(test_gets_past_a_bad_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
