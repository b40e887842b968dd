/* SPDX-License-Identifier: MIT */
/*
 * One request with its n-th allocation or look-up failing, for n = 1 until none fails any more. A request
 * that failed has changed nothing: allocations, objects, charges, table pages and descriptors are what they
 * were, and the same request then works.
 */
#ifndef IOASIS_TESTS_INJECT_SWEEP_H
#define IOASIS_TESTS_INJECT_SWEEP_H

#include "fake_caller.h"

#define APERTURE 0x1000000ull
#define FIXED IOMMU_IOAS_MAP_FIXED_IOVA

/* What requests work on, made once per case. */
struct scene {
	struct bench *b;
	u32 ioas, other;      /* with a device each / */
	u32 stdev, hwpt, idev; /* the first's, able to do PASIDs */
	u32 dirty_hwpt, pasid_hwpt;
	u32 access;	      /* its descriptor: pins pages of .ioas */
	u32 item;
	int memfd, dmabuf;
	void *room;	      /* in the arena */
	u32 made;	      /* by the request: an id or descriptor to undo */
	u64 iova;
	struct file *vfio;    /* vfio_requests_test.c's */
	int eventfd;
};

struct request {
	const char *name;
	void (*prepare)(struct scene *s); /* may be NULL; once */
	long (*go)(struct scene *s);
	void (*undo)(struct scene *s); /* what go() did; may be NULL */
	bool cannot_fail;	       /* passes no fault point */
	long want;		       /* what go() returns without a fault */
};

/* Which requests the sweeps made: by ioctl number's low byte, and by test operation. */
struct swept {
	bool ioctls[256], test_ops[256];
};

/* @swept: what go() asks for is marked there. */
void sweep(const struct request *r, struct scene *s, struct swept *swept);
static inline void ok(long rc)
{
	assert_int_equal(rc, 0);
}

#endif
