/* SPDX-License-Identifier: MIT */
/* The mock driver's manners, as Linux's self-test driver has them. */
#include "machine.h"

#include <ioasis/iommufd_test.h>

struct given {
	struct driver_data d;
	struct iommu_hwpt_selftest value;
};

static int copy(const struct driver_data *d, u32 type, void *to, size_t len, size_t min_len)
{
	const struct given *g = container_of(d, struct given, d);

	if (d->type != type || d->len < min_len)
		return -EINVAL;
	memcpy(to, &g->value, min(len, (size_t)d->len));
	return 0;
}

static int alloc(struct machine *m, u32 flags, u32 type, u32 table, struct domain **out)
{
	const struct given g = {
		.d = {.type = type, .len = sizeof(g.value), .copy = copy},
		.value = {.pagetable_type = table},
	};

	return m->iommu->ops->domain_alloc(&m->dev, flags, &g.d, out);
}

static void test_alloc(void **state)
{
	struct machine *m = *state;
	struct domain *d = NULL;

	FAILS(alloc(m, IOMMU_HWPT_FAULT_ID_VALID, IOMMU_HWPT_DATA_SELFTEST, 0, &d), EOPNOTSUPP);
	FAILS(alloc(m, 1 << 4, IOMMU_HWPT_DATA_SELFTEST, 0, &d), EOPNOTSUPP);
	FAILS(alloc(m, 0, IOMMU_HWPT_DATA_VTD_S1, 0, &d), EOPNOTSUPP);
	FAILS(alloc(m, 0, IOMMU_HWPT_DATA_NONE, 0, &d), EINVAL);
	FAILS(alloc(m, 0, IOMMU_HWPT_DATA_SELFTEST, 2, &d), EOPNOTSUPP);
	assert_null(d);
	OK(alloc(m,
		 IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID |
			 IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
		 IOMMU_HWPT_DATA_SELFTEST, MOCK_IOMMUPT_DEFAULT, &d));
	assert_int_equal(d->aperture.start, 1 << 24);
	assert_int_equal(d->aperture.last, (1ull << 31) - 1);
	assert_int_equal(d->pgsize_bitmap & 0xfff, MOCK_PAGE_SIZE);
	assert_true(d->can_dirty);
	m->iommu->ops->domain_free(d);
	OK(alloc(m, 0, IOMMU_HWPT_DATA_SELFTEST, MOCK_IOMMUPT_HUGE, &d));
	assert_int_equal(d->aperture.start, 0);
	assert_int_equal(d->pgsize_bitmap, 1 << 20 | 1 << 12);
	assert_false(d->can_dirty);
	m->iommu->ops->domain_free(d);
}

static void test_no_dirty_devices(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, IOMMU_HWPT_ALLOC_DIRTY_TRACKING),
		      *plain = new_domain(m, 0);

	m->other.quirks = MOCK_FLAGS_DEVICE_NO_DIRTY;
	FAILS(m->iommu->ops->domain_alloc(&m->other, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, NULL, &d),
	      EOPNOTSUPP);
	assert_false(m->iommu->ops->capable(&m->other, IOMMU_CAP_DIRTY_TRACKING));
	assert_true(m->iommu->ops->capable(&m->dev, IOMMU_CAP_DIRTY_TRACKING));
	assert_true(m->iommu->ops->capable(&m->other, IOMMU_CAP_CACHE_COHERENCY));
	assert_false(m->iommu->ops->capable(&m->other, IOMMU_CAP_ENFORCE_COHERENCY));
	map(m, plain, BASE, 0, 4096, PERM_RW);
	OK(attach(m, &m->other, NO_PASID, plain, NULL));
	FAILS(attach(m, &m->other, NO_PASID, d, plain), EINVAL);
	assert_int_equal(rig_reach(&m->r, &m->other.port, BASE), 0);
	OK(attach(m, &m->other, NO_PASID, NULL, plain));
	FAILS(m->iommu->ops->set_dirty_tracking(plain, true), EINVAL);
	OK(m->iommu->ops->set_dirty_tracking(plain, false));
	m->iommu->ops->domain_free(d);
	m->iommu->ops->domain_free(plain);
}

static void collect(void *arg, u64 iova, u64 len)
{
	u64 *seen = arg;

	seen[0] += len;
	seen[1] = iova;
}

static u64 dirty_bytes(struct domain *d, u64 *where)
{
	u64 seen[2] = {0};
	struct pt_gather g;

	pt_gather_init(&g);
	lock_take(&d->lock);
	pt_dirty(&d->pt, (struct iova_range){0, d->pt.last_iova}, 0, collect, seen, &g);
	lock_drop(&d->lock);
	iommu_flush(d, &g);
	*where = seen[1];
	return seen[0];
}

static void test_dirty_tracking(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	u64 where;

	map(m, d, BASE, 0, 64 << 10, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	OK(rig_write(&m->r, &m->dev.port, BASE, 1));
	assert_int_equal(dirty_bytes(d, &where), 0); /* off */
	OK(m->iommu->ops->set_dirty_tracking(d, true));
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
	assert_int_equal(dirty_bytes(d, &where), 0);
	for (unsigned i = 0; i < 3; i++) {
		OK(rig_write(&m->r, &m->dev.port, BASE + 5, 2));
		assert_int_not_equal(dirty_bytes(d, &where), 0);
		assert_int_equal(where, BASE);
		assert_int_equal(dirty_bytes(d, &where), 0);
	}
	/* a device that comes while it is on is tracked too */
	OK(attach(m, &m->other, NO_PASID, d, NULL));
	OK(rig_write(&m->r, &m->other.port, BASE + 5, 3));
	assert_int_not_equal(dirty_bytes(d, &where), 0);
	OK(m->iommu->ops->set_dirty_tracking(d, false));
	OK(rig_write(&m->r, &m->dev.port, BASE + 6, 4));
	assert_int_equal(dirty_bytes(d, &where), 0);
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	OK(attach(m, &m->other, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

static s64 reach_pasid(struct machine *m, u32 pasid, u64 iova)
{
	u8 *at;

	return rig_xlate(&m->r, &m->dev.port, PASID(pasid), iova, PERM_R, &at, NULL)
		       ? -1
		       : at - m->r.host;
}

static void test_pasids(void **state)
{
	struct machine *m = *state;
	struct domain *a = new_domain(m, 0), *b = new_domain(m, 0);
	static const u32 pasids[] = {1, 17, 33, 255, 256, 4096, 0x1ffff, 0x20000, 0xfffff};

	map(m, a, BASE, 0, 4096, PERM_RW);
	map(m, b, BASE, 4096, 4096, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, a, NULL));
	FAILS(attach(m, &m->dev, PASID(1 << 20), b, NULL), EINVAL);
	for (unsigned i = 0; i < ARRAY_SIZE(pasids); i++)
		OK(attach(m, &m->dev, PASID(pasids[i]), i & 1 ? a : b, NULL));
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < ARRAY_SIZE(pasids); i++)
			assert_int_equal(reach_pasid(m, pasids[i], BASE), i & 1 ? 0 : 4096);
	assert_int_equal(reach_pasid(m, 2, BASE), -1);
	assert_int_equal(last_fault(m).f.pasid.v, 2);
	assert_int_equal(last_fault(m).f.reason, XLATE_BLOCKED);
	OK(attach(m, &m->dev, PASID(17), b, a));
	assert_int_equal(reach_pasid(m, 17, BASE), 4096);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
	OK(attach(m, &m->dev, NO_PASID, NULL, a));
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
	assert_int_equal(reach_pasid(m, 17, BASE), 4096);
	OK(attach(m, &m->dev, PASID(17), NULL, b));
	for (unsigned i = 0; i < ARRAY_SIZE(pasids); i++) {
		if (pasids[i] != 17)
			OK(attach(m, &m->dev, PASID(pasids[i]), NULL, i & 1 ? a : b));
		assert_int_equal(reach_pasid(m, pasids[i], BASE), -1);
	}
	m->dev.pasid_bits = 0;
	FAILS(attach(m, &m->dev, PASID(1), b, NULL), EINVAL);
	m->iommu->ops->domain_free(a);
	m->iommu->ops->domain_free(b);
}

/* PASID 1024: the second attachment in a row fails and leaves the first; blocking starts over. */
static void test_pasid_that_fails(void **state)
{
	struct machine *m = *state;
	struct domain *a = new_domain(m, 0), *b = new_domain(m, 0);
	pasid_t p = PASID(IOMMU_TEST_PASID_RESERVED);

	map(m, a, BASE, 0, 4096, PERM_RW);
	map(m, b, BASE, 4096, 4096, PERM_RW);
	OK(attach(m, &m->dev, p, a, NULL));
	FAILS(attach(m, &m->dev, p, b, a), ENOMEM);
	assert_int_equal(reach_pasid(m, p.v, BASE), 0);
	OK(attach(m, &m->dev, p, b, a));
	assert_int_equal(reach_pasid(m, p.v, BASE), 4096);
	OK(attach(m, &m->dev, p, NULL, b));
	OK(attach(m, &m->dev, p, a, NULL));
	OK(attach(m, &m->dev, p, NULL, a));
	m->iommu->ops->domain_free(a);
	m->iommu->ops->domain_free(b);
}

static void test_hw_info(void **state)
{
	struct machine *m = *state;
	struct iommu_test_hw_info info;
	u32 type = IOMMU_HW_INFO_TYPE_DEFAULT, len = sizeof(info);

	OK(m->iommu->ops->hw_info(&m->dev, &type, &info, &len));
	assert_int_equal(type, 0xfeedbeef);
	assert_int_equal(len, 8);
	assert_int_equal(info.test_reg, 0xdeadbeef);
	OK(m->iommu->ops->hw_info(&m->dev, &type, &info, &len));
	type = IOMMU_HW_INFO_TYPE_INTEL_VTD;
	FAILS(m->iommu->ops->hw_info(&m->dev, &type, &info, &len), EOPNOTSUPP);
	assert_null(m->iommu->ops->resv_regions);
}

/* Somebody scribbled commands into the ring: the driver gets past them. */
static void test_gets_past_bad_commands(void **state)
{
	struct machine *m = *state;
	struct hw_iommu *hw = m->iommu->hw;
	struct domain *d = new_domain(m, 0);
	u64 *ring =
		table_at(&m->r.mem, OA(MOCK_RING_OA(hw->ops->reg_read(hw, MOCK_CQ_BASE, 8))), 4096);

	map(m, d, BASE, 0, 4096, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	for (unsigned i = 0; i < 512; i++)
		ring[i] = 0xff;
	hw->ops->reg_write(hw, MOCK_CQ_TAIL, (hw->ops->reg_read(hw, MOCK_CQ_TAIL, 8) + 3) % 256, 8);
	assert_int_equal(hw->ops->reg_read(hw, MOCK_STATUS, 8), MOCK_STATUS_BAD_CMD);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
	unmap(d, BASE, 4096);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_mock, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_alloc),
		TEST(test_no_dirty_devices),
		TEST(test_dirty_tracking),
		TEST(test_pasids),
		TEST(test_pasid_that_fails),
		TEST(test_hw_info),
		TEST(test_gets_past_bad_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
