/* SPDX-License-Identifier: MIT */
/* An instance's memory, a piece of ordinary memory in it, and one access as a device model makes
 * it. */
#ifndef TESTS_UNIT_HW_RIG_H
#define TESTS_UNIT_HW_RIG_H

#include "unit.h"

#include <sys/mman.h>

#include "hw/hw.h"

#define OK(x)	    assert_int_equal((x), 0)
#define FAILS(x, e) assert_int_equal((x), -(e))

#define RIG_LEN	    (2ull << 30) /* reserved, not used: room for a leaf of 1 GiB */
#define RIG_FILL    0xa5	 /* what memory holds before a DMA that must not happen */

struct rig {
	struct env env;
	struct mem mem;
	u8 *map, *host; /* RIG_LEN bytes of the process's own memory, aligned to 1 GiB */
	struct seg *seg;
};

static inline void rig_init(struct rig *r)
{
	OK(env_init(&r->env));
	OK(mem_init(&r->mem, &r->env, 48, 256ull << 20));
	r->map = mmap(NULL, RIG_LEN + (1ull << 30), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(r->map, MAP_FAILED);
	r->host = (u8 *)align_up((uintptr_t)r->map, 1ull << 30);
	OK(seg_add(&r->mem, SEG_OWN, r->host, RIG_LEN, &r->seg));
}

static inline void rig_fini(struct rig *r)
{
	seg_put(&r->mem, r->seg);
	mem_fini(&r->mem);
	munmap(r->map, RIG_LEN + (1ull << 30));
	assert_int_equal(atomic_load(&r->env.nr_allocs), 0);
	env_fini(&r->env);
}

static inline oa_t rig_oa(const struct rig *r, u64 off)
{
	return OA(r->seg->base.v + off);
}

/* Translate inside an epoch. Return: as hw_xlate(); the host address in *at. */
static inline int rig_xlate(struct rig *r, struct hw_port *port, pasid_t pasid, u64 iova,
			    enum perm perm, u8 **at, struct xlate_fault *fault)
{
	struct epoch_slot *slot = epoch_slot(&r->env.epoch);
	struct xlate_res res;
	int rc;

	epoch_enter(slot, NULL);
	rc = hw_xlate(port, pasid, IOVA(iova), perm, &res, fault);
	if (!rc)
		*at = res.host;
	epoch_leave(slot);
	return rc;
}

/* One byte by DMA. Return: 0 or -EFAULT. */
static inline int rig_write(struct rig *r, struct hw_port *port, u64 iova, u8 value)
{
	struct epoch_slot *slot = epoch_slot(&r->env.epoch);
	struct xlate_res res;
	int rc;

	epoch_enter(slot, NULL);
	rc = hw_xlate(port, NO_PASID, IOVA(iova), PERM_W, &res, NULL);
	if (!rc)
		*res.host = value;
	epoch_leave(slot);
	return rc;
}

static inline u64 rig_walks(const struct hw_port *port)
{
	return atomic_load(&((struct hw_port *)port)->nr_walks);
}

/* The offset in the rig's memory that a read at @iova reaches; -1: refused. */
static inline s64 rig_reach(struct rig *r, struct hw_port *port, u64 iova)
{
	u8 *at;

	return rig_xlate(r, port, NO_PASID, iova, PERM_R, &at, NULL) ? -1 : at - r->host;
}

#endif
