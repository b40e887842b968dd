/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake_bus.h"
#include "iommu/iommu.h"

struct fake_bus bus;

void fake_bus_reset(void)
{
	u8 *mem = bus.mem ? bus.mem : malloc(BUS_LEN);

	bus = (struct fake_bus){.mem = mem, .direct = true};
	memset(mem, 0, BUS_LEN);
	memset(bus.perm, PERM_RW, sizeof(bus.perm));
}

void fake_bus_copy(void *to, const void *from, size_t len)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	memmove(to, from, len);
	pthread_mutex_unlock(&lock);
}

static int check(u64 iova, size_t len, enum perm perm)
{
	if (iova >= bus.hold_at) {
		atomic_fetch_add(&bus.nr_waiting, 1);
		while (atomic_load(&bus.hold))
			sched_yield();
		atomic_fetch_sub(&bus.nr_waiting, 1);
	}
	if (iova >= BUS_LEN || len > BUS_LEN - iova)
		goto refused;
	for (u64 at = iova; at < iova + len; at = (at | (PAGE_SIZE - 1)) + 1)
		if ((bus.perm[at / PAGE_SIZE] & perm) != perm)
			goto refused;
	return 0;
refused:
	bus.nr_refused++;
	return -EFAULT;
}

int dma_read(const struct dma_req *req, void *to, size_t len, struct xlate_fault *fault)
{
	bus.nr_reads++;
	if (check(req->iova.v, len, PERM_R))
		return -EFAULT;
	fake_bus_copy(to, bus.mem + req->iova.v, len);
	return 0;
}

int dma_write(const struct dma_req *req, const void *from, size_t len, struct xlate_fault *fault)
{
	bus.nr_writes++;
	if (bus.on_write)
		bus.on_write(req->iova.v, from, len);
	if (check(req->iova.v, len, PERM_W))
		return -EFAULT;
	fake_bus_copy(bus.mem + req->iova.v, from, len);
	return 0;
}

int dma_span(const struct dma_req *req, size_t len, enum perm perm, struct ioasis_span *out)
{
	if (check(req->iova.v, 1, perm))
		return -EFAULT;
	if (!bus.direct)
		return -EOPNOTSUPP;
	*out = (struct ioasis_span){
		.host = bus.mem + req->iova.v,
		.len = min(len, PAGE_SIZE - req->iova.v % PAGE_SIZE),
	};
	return 0;
}

void dma_unspan(struct ioasis_span *span)
{
}

int iommu_dev_init(struct iommu *iommu, struct iommu_dev *dev, rid_t rid, const char *name)
{
	dev->iommu = iommu;
	dev->rid = rid;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	return 0;
}

void iommu_dev_fini(struct iommu_dev *dev)
{
}
