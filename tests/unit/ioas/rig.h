/* SPDX-License-Identifier: MIT */
/*
 * A machine for the tests of this room: one IOMMU, three devices, a context. rig_down() proves that
 * nothing is left of what a test did.
 */
#ifndef IOASIS_TESTS_IOAS_RIG_H
#define IOASIS_TESTS_IOAS_RIG_H

#include "unit.h"
#include "ioas/ioas.h"
#include "iommu/iommu.h"

#define RIG_DEVS  3u
#define RIG_PAGES 64u
#define RIG_HUGE  (32ull << 20)
#define AUTO	  UINT64_MAX /* rig_map(): let the IOAS choose */

struct rig {
	struct env env;
	struct mem mem;
	struct fault_log log;
	struct iommu *iommu;
	struct iommu_dev idev[RIG_DEVS];
	struct bound_dev *dev[RIG_DEVS];
	struct ioasis_ctx *ctx;
	u8 *buf; /* RIG_PAGES of this process, page i filled with byte i */
	u8 *huge; /* RIG_HUGE bytes of this process, aligned to 2 MiB, not touched yet */
	void *huge_map;
	u64 nr_allocs, nr_tables, pinned;
};

void rig_up(struct rig *r, const char *machine);
void rig_open(struct rig *r);  /* a context, with the devices bound */
void rig_close(struct rig *r); /* checks that nothing is left */
void rig_down(struct rig *r);

struct ioasis_ioas *rig_ioas(struct rig *r);
/* @iova in: where, or AUTO; out: where. */
int rig_map_perm(struct rig *r, struct ioasis_ioas *ioas, void *host, u64 len, u8 perm, u64 *iova);
int rig_map(struct rig *r, struct ioasis_ioas *ioas, void *host, u64 len, u64 iova);
int rig_map_fd(struct rig *r, struct ioasis_ioas *ioas, int fd, u64 offset, u64 len, u64 *iova,
	       enum account_mode account);
int rig_map_dmabuf(struct rig *r, struct ioasis_ioas *ioas, struct dmabuf *d, u64 offset, u64 len,
		   u64 *iova);
int rig_unmap(struct ioasis_ioas *ioas, u64 iova, u64 len);
int rig_copy(struct ioasis_ioas *dst, struct ioasis_ioas *src, u64 from, u64 len, u64 *iova);
int rig_attach(struct rig *r, unsigned dev, struct ioasis_ioas *ioas);
struct hwpt *rig_hwpt(struct rig *r, u32 id); /* published; stays without a reference */

/* What a device reaches: the host address behind an IOVA, NULL when it is refused. */
u8 *rig_dma(struct rig *r, unsigned dev, u64 iova, enum perm perm);
int rig_memfd(u64 len);
u64 rig_pinned(struct rig *r); /* pages charged since rig_open() */

/* Group set-up and tear-down for cmocka: *state is the rig. */
int rig_up_mock(void **state);
int rig_up_intel(void **state);
int rig_tear_down(void **state);
#define ON_MOCK(f)  cmocka_unit_test_setup_teardown(f, rig_up_mock, rig_tear_down)
#define ON_INTEL(f) cmocka_unit_test_setup_teardown(f, rig_up_intel, rig_tear_down)
#define ON_BOTH(f)  ON_MOCK(f), ON_INTEL(f)

#endif
