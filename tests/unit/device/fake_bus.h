/* SPDX-License-Identifier: MIT */
/*
 * A bus for testing device models alone: flat memory with a right per page, instead of an IOMMU.
 */
#ifndef IOASIS_TESTS_FAKE_BUS_H
#define IOASIS_TESTS_FAKE_BUS_H

#include "device/device.h"

#define BUS_PAGES 1024u
#define BUS_LEN	  (BUS_PAGES * PAGE_SIZE)

/* What the fakes of dma/ and iommu/ use: one per test program. */
struct fake_bus {
	u8 *mem;	    /* IOVA 0 … BUS_LEN - 1 */
	u8 perm[BUS_PAGES]; /* enum perm */
	bool direct;	    /* dma_span() works */
	_Atomic u64 nr_reads, nr_writes, nr_refused;
	_Atomic bool hold; /* accesses from hold_at on wait until it is false again */
	u64 hold_at;
	_Atomic u64 nr_waiting;
	void (*on_write)(u64 iova, const void *from, size_t len); /* before it lands */
};
extern struct fake_bus bus;

void fake_bus_reset(void);
/* A copy that does not tear: what a test polls while the device writes it. */
void fake_bus_copy(void *to, const void *from, size_t len);

#endif
