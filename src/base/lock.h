/* SPDX-License-Identifier: MIT */
/*
 * Locks with a rank. A thread may take a lock only while every lock it holds has a smaller rank;
 * debug builds check that on every take and name both locks when it is broken.
 *
 * No user memory is touched and no callback into foreign code is made under any of them.
 */
#ifndef IOASIS_SRC_BASE_LOCK_H
#define IOASIS_SRC_BASE_LOCK_H

#include <pthread.h>

#include "base/types.h"

#if defined(__clang__)
#define TS_ATTR(x) __attribute__((x))
#else
#define TS_ATTR(x)
#endif
#define MUST_HOLD(...)	    TS_ATTR(requires_capability(__VA_ARGS__))
#define MUST_HOLD_READ(...) TS_ATTR(requires_shared_capability(__VA_ARGS__))
#define GUARDED_BY(x) /* clang 14 cannot bind it to the object: a comment that greps */

/* The order in which locks are taken, outermost first. One name per kind of lock. */
enum lock_rank {
	RANK_DRAIN,    /* server: serving hang-ups, down to the release of a file */
	RANK_SERVER,   /* server: clients, tokens, channels */
	RANK_MACHINE,  /* machine: device list, contexts */
	RANK_VFIO,     /* uapi: a VFIO device file: what it is attached to, its interrupts */
	RANK_DEVICE,   /* a PCI function: configuration, interrupt lines, the model's registers */
	RANK_ACCESS_USER, /* what an access object's user holds around its calls: test access items */
	RANK_ACCESS,   /* access object's IOAS pointer */
	RANK_IOAS,     /* ioas: finding or making the HWPT of an attach (Linux: ioas->mutex) */
	RANK_GROUP,    /* iommu group: who is attached to what */
	RANK_HWPTS,    /* ioas: list of HWPTs it fills (Linux: domains_rwsem) */
	RANK_IOVA,     /* ioas: areas, reserved, allowed */
	RANK_PAGES,    /* one pages object */
	RANK_DMABUF,   /* a dma-buf's revocation state */
	RANK_OBJS,     /* object table: ids */
	RANK_MM,       /* mem: clients, accounts */
	RANK_SEGS,     /* mem: segment table changes */
	RANK_TABLE,    /* page table writers */
	RANK_IOMMU,    /* driver: its queues, domain ids */
	RANK_HW,       /* hw: register file, queue consumption */
	RANK_IOTLB,    /* hw: software TLB fills */
	RANK_EVENT,    /* fault logs and queues */
	RANK_POOL,     /* pools, epochs, trace sinks: leaf locks of base */
	RANK_NR,
};

struct TS_ATTR(capability("mutex")) lock {
	pthread_mutex_t m;
	enum lock_rank rank;
};

struct TS_ATTR(capability("rwlock")) rwlock {
	pthread_rwlock_t m;
	enum lock_rank rank;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_fini(struct lock *l);
void lock_take(struct lock *l) TS_ATTR(acquire_capability(*l));
/* Take it if nobody has it. Return: whether it was taken. */
bool lock_try(struct lock *l) TS_ATTR(try_acquire_capability(true, *l));
void lock_drop(struct lock *l) TS_ATTR(release_capability(*l));

/*
 * "This thread holds it": checked at run time in debug builds, and believed by the compiler, which
 * cannot see that seg->mem is the mem whose lock the caller took.
 */
void lock_assert_held(const struct lock *l) TS_ATTR(assert_capability(*l));

/* Wait on @cond with @l held; @timeout_ms < 0 waits for ever. Return: 0 or -ETIMEDOUT. */
int lock_wait(struct lock *l, pthread_cond_t *cond, int timeout_ms) MUST_HOLD(*l);

void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_fini(struct rwlock *l);
void rwlock_read(struct rwlock *l) TS_ATTR(acquire_shared_capability(*l));
void rwlock_read_drop(struct rwlock *l) TS_ATTR(release_shared_capability(*l));
void rwlock_write(struct rwlock *l) TS_ATTR(acquire_capability(*l));
void rwlock_write_drop(struct rwlock *l) TS_ATTR(release_capability(*l));

#endif
