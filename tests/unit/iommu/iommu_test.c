/* SPDX-License-Identifier: MIT */
/* What every driver does: the same tests over all of them. */
#include "machine.h"

static void test_blocked_until_attached(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, 0);

	memset(m->r.host, RIG_FILL, 8192);
	map(m, d, BASE, 0, 8192, PERM_RW);
	FAILS(rig_write(&m->r, &m->dev.port, BASE, 1), EFAULT);
	assert_int_equal(m->r.host[0], RIG_FILL);
	assert_int_equal(last_fault(m).f.reason, XLATE_BLOCKED);
	assert_int_equal(last_fault(m).f.rid.v, 0x100);

	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	OK(rig_write(&m->r, &m->dev.port, BASE + 5, 2));
	assert_int_equal(m->r.host[5], 2);
	FAILS(rig_write(&m->r, &m->other.port, BASE, 3), EFAULT);
	assert_int_equal(m->r.host[0], RIG_FILL);

	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	FAILS(rig_write(&m->r, &m->dev.port, BASE, 4), EFAULT);
	assert_int_equal(m->r.host[0], RIG_FILL);
	m->iommu->ops->domain_free(d);
}

static void test_faults_say_why(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, 0);

	memset(m->r.host, RIG_FILL, 8192);
	map(m, d, BASE, 0, 4096, PERM_R);
	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
	FAILS(rig_write(&m->r, &m->dev.port, BASE, 1), EFAULT);
	assert_int_equal(m->r.host[0], RIG_FILL);
	assert_int_equal(last_fault(m).f.reason, XLATE_PERM);
	assert_int_equal(last_fault(m).f.perm, PERM_W);
	assert_int_equal(last_fault(m).f.iova.v & ~0xfffull, BASE);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE + 4096), -1);
	assert_int_equal(last_fault(m).f.reason, XLATE_NOT_PRESENT);
	assert_int_equal(last_fault(m).f.perm, PERM_R);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, 1ull << 60), -1);
	assert_int_equal(last_fault(m).f.reason, XLATE_RANGE);
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

static void test_unmap_reaches_the_caches(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, 0);
	u64 walks;

	map(m, d, BASE, 0, 4 << 20, PERM_RW);
	map(m, d, BASE + (64 << 20), 8 << 20, 4096, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	OK(attach(m, &m->other, NO_PASID, d, NULL));
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
	assert_int_equal(rig_reach(&m->r, &m->other.port, BASE + 1), 1);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE + (64 << 20)), 8 << 20);
	walks = rig_walks(&m->dev.port);
	unmap(d, BASE, 4 << 20);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
	assert_int_equal(rig_reach(&m->r, &m->other.port, BASE + 1), -1);
	/* what was not unmapped stays cached */
	assert_int_equal(rig_walks(&m->dev.port), walks + 1);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE + (64 << 20)), 8 << 20);
	assert_int_equal(rig_walks(&m->dev.port), walks + 1);
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	OK(attach(m, &m->other, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

static void test_replace(void **state)
{
	struct machine *m = *state;
	struct domain *a = new_domain(m, 0), *b = new_domain(m, 0);

	map(m, a, BASE, 0, 4096, PERM_RW);
	map(m, b, BASE, 4096, 4096, PERM_RW);
	OK(attach(m, &m->dev, NO_PASID, a, NULL));
	OK(attach(m, &m->other, NO_PASID, a, NULL));
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
		OK(attach(m, &m->dev, NO_PASID, b, a));
		assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 4096);
		assert_int_equal(rig_reach(&m->r, &m->other.port, BASE), 0);
		OK(attach(m, &m->dev, NO_PASID, a, b));
	}
	assert_int_equal(atomic_load(&a->nr_attached), 2);
	assert_int_equal(atomic_load(&b->nr_attached), 0);
	OK(attach(m, &m->dev, NO_PASID, NULL, a));
	OK(attach(m, &m->other, NO_PASID, NULL, a));
	m->iommu->ops->domain_free(a);
	m->iommu->ops->domain_free(b);
}

/* A domain id comes back to life in another domain: nothing of the old one may. */
static void test_domain_ids_are_reused_clean(void **state)
{
	struct machine *m = *state;

	for (unsigned i = 0; i < 10; i++) {
		struct domain *d = new_domain(m, 0);

		map(m, d, BASE, i * 4096, 4096, PERM_RW);
		OK(attach(m, &m->dev, NO_PASID, d, NULL));
		assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), i * 4096);
		OK(attach(m, &m->dev, NO_PASID, NULL, d));
		assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
		m->iommu->ops->domain_free(d);
	}
}

static void test_rid_is_taken(void **state)
{
	struct machine *m = *state;
	struct iommu_dev dev = {0};

	FAILS(iommu_dev_init(m->iommu, &dev, RID(0x100), "again"), EEXIST);
	FAILS(iommu_dev_init(m->iommu, &dev, RID(0x10000), "too large"), EINVAL);
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
}

/* More commands than the ring has places, many times over. */
static void test_queue_wraps(void **state)
{
	struct machine *m = *state;
	struct domain *d = new_domain(m, 0);

	OK(attach(m, &m->dev, NO_PASID, d, NULL));
	for (unsigned i = 0; i < 700; i++) {
		map(m, d, BASE, (u64)i * 4096, 4096, PERM_RW);
		assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), i * 4096);
		unmap(d, BASE, 4096);
	}
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

/* Faults in a storm: each is logged, in order, until the log's ring is full. */
static void test_every_fault_is_logged(void **state)
{
	struct machine *m = *state;
	struct dma_fault f[FAULT_LOG_LEN];
	u64 seq = 0;

	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(rig_reach(&m->r, &m->dev.port, (u64)i << 12), -1);
	assert_int_equal(fault_log_read(&m->log, &seq, f, FAULT_LOG_LEN), 200);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(f[i].f.iova.v, (u64)i << 12);
}

static void test_alloc_failures_leave_nothing(void **state)
{
	struct machine *m = *state;
	struct domain *d;
	struct iommu_dev dev = {0};
	unsigned done = 0;

	for (s64 n = 1; done < 2 && n < 100; n++) {
		fault_arm(&m->r.env.fault, n);
		if (!m->iommu->ops->domain_alloc(&m->dev, 0, NULL, &d)) {
			done |= 1;
			m->iommu->ops->domain_free(d);
		}
		fault_arm(&m->r.env.fault, n);
		if (!iommu_dev_init(m->iommu, &dev, RID(0x3000 + n), "new")) {
			iommu_dev_fini(&dev);
			done |= 2;
		}
		fault_arm(&m->r.env.fault, 0);
	}
	assert_int_not_equal(done, 0);
	d = new_domain(m, 0);
	map(m, d, BASE, 0, 4096, PERM_RW);
	for (s64 n = 1; n < 100; n++) {
		int rc;

		fault_arm(&m->r.env.fault, n);
		rc = attach(m, &m->dev, NO_PASID, d, NULL);
		fault_arm(&m->r.env.fault, 0);
		if (!rc)
			break;
		FAILS(rc, ENOMEM);
		assert_int_equal(atomic_load(&d->nr_attached), 0);
		assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), -1);
	}
	assert_int_equal(rig_reach(&m->r, &m->dev.port, BASE), 0);
	OK(attach(m, &m->dev, NO_PASID, NULL, d));
	m->iommu->ops->domain_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_blocked_until_attached),
		BOTH(test_faults_say_why),
		BOTH(test_unmap_reaches_the_caches),
		BOTH(test_replace),
		BOTH(test_domain_ids_are_reused_clean),
		BOTH(test_rid_is_taken),
		BOTH(test_queue_wraps),
		BOTH(test_every_fault_is_logged),
		BOTH(test_alloc_failures_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
