/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef IOASIS_DEBUG_LOCKS

static const char *const rank_names[] = {
	[RANK_SERVER] = "server", [RANK_MACHINE] = "machine", [RANK_VFIO] = "vfio",
	[RANK_DEVICE] = "device",
	[RANK_ACCESS_USER] = "access user", [RANK_ACCESS] = "access", [RANK_IOAS] = "ioas",
	[RANK_GROUP] = "group",	  [RANK_HWPTS] = "hwpts",
	[RANK_IOVA] = "iova",	  [RANK_PAGES] = "pages",     [RANK_DMABUF] = "dmabuf",
	[RANK_OBJS] = "objs",	  [RANK_MM] = "mm",	      [RANK_SEGS] = "segs",
	[RANK_TABLE] = "table",	  [RANK_IOMMU] = "iommu",     [RANK_HW] = "hw",
	[RANK_IOTLB] = "iotlb",	  [RANK_EVENT] = "event",     [RANK_POOL] = "pool",
};
static_assert(ARRAY_SIZE(rank_names) == RANK_NR, "a rank without a name");

/* What this thread holds, in the order taken: ranks rise strictly, so RANK_NR is enough. */
static _Thread_local struct {
	unsigned nr;
	struct {
		const void *lock;
		enum lock_rank rank;
	} held[RANK_NR];
} mine;

/* Before taking: a broken order is our own bug, and would be a deadlock one day. */
static void check_order(const void *lock, enum lock_rank rank)
{
	unsigned i;

	for (i = 0; i < mine.nr; i++) {
		if (mine.held[i].rank < rank)
			continue;
		fprintf(stderr, "lock order broken: \"%s\" (%p) taken while \"%s\" (%p) is held\n",
			rank_names[rank], lock, rank_names[mine.held[i].rank], mine.held[i].lock);
		abort();
	}
}

static void note_taken(const void *lock, enum lock_rank rank)
{
	mine.held[mine.nr].lock = lock;
	mine.held[mine.nr++].rank = rank;
}

static void note_dropped(const void *lock, enum lock_rank rank)
{
	unsigned i;

	for (i = mine.nr; i-- > 0;) {
		if (mine.held[i].lock != lock)
			continue;
		memmove(&mine.held[i], &mine.held[i + 1],
			(mine.nr - i - 1) * sizeof(mine.held[0]));
		mine.nr--;
		return;
	}
	fprintf(stderr, "lock \"%s\" (%p) dropped by a thread that does not hold it\n",
		rank_names[rank], lock);
	abort();
}

static bool is_held(const void *lock)
{
	unsigned i;

	for (i = 0; i < mine.nr; i++)
		if (mine.held[i].lock == lock)
			return true;
	return false;
}

#else

static bool is_held(const void *lock)
{
	return true;
}

static void check_order(const void *lock, enum lock_rank rank)
{
}

static void note_taken(const void *lock, enum lock_rank rank)
{
}

static void note_dropped(const void *lock, enum lock_rank rank)
{
}

#endif

/* pthread's answers here are never about the caller's input: any but 0 is a bug of ours. */
static void must(int err)
{
	if (unlikely(err)) {
		fprintf(stderr, "lock: %s\n", strerror(err));
		abort();
	}
}

void lock_init(struct lock *l, enum lock_rank rank)
{
	must(pthread_mutex_init(&l->m, NULL));
	l->rank = rank;
}

void lock_fini(struct lock *l)
{
	must(pthread_mutex_destroy(&l->m));
}

void lock_take(struct lock *l) TS_ATTR(no_thread_safety_analysis)
{
	check_order(l, l->rank);
	must(pthread_mutex_lock(&l->m));
	note_taken(l, l->rank);
}

bool lock_try(struct lock *l) TS_ATTR(no_thread_safety_analysis)
{
	check_order(l, l->rank);
	if (pthread_mutex_trylock(&l->m))
		return false;
	note_taken(l, l->rank);
	return true;
}

void lock_drop(struct lock *l) TS_ATTR(no_thread_safety_analysis)
{
	note_dropped(l, l->rank);
	must(pthread_mutex_unlock(&l->m));
}

void lock_assert_held(const struct lock *l) TS_ATTR(no_thread_safety_analysis)
{
	assert(is_held(l));
}

int lock_wait(struct lock *l, pthread_cond_t *cond, int timeout_ms)
{
	struct timespec until;
	int err;

	if (timeout_ms < 0) {
		must(pthread_cond_wait(cond, &l->m));
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000l;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000l;
	}
	err = pthread_cond_clockwait(cond, &l->m, CLOCK_MONOTONIC, &until);
	if (err == ETIMEDOUT)
		return -ETIMEDOUT;
	must(err);
	return 0;
}

/* Readers never nest (equal ranks are refused), so writers can go first and do not starve. */
void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	pthread_rwlockattr_t attr;

	must(pthread_rwlockattr_init(&attr));
	must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
	must(pthread_rwlock_init(&l->m, &attr));
	must(pthread_rwlockattr_destroy(&attr));
	l->rank = rank;
}

void rwlock_fini(struct rwlock *l)
{
	must(pthread_rwlock_destroy(&l->m));
}

void rwlock_read(struct rwlock *l) TS_ATTR(no_thread_safety_analysis)
{
	check_order(l, l->rank);
	must(pthread_rwlock_rdlock(&l->m));
	note_taken(l, l->rank);
}

void rwlock_read_drop(struct rwlock *l) TS_ATTR(no_thread_safety_analysis)
{
	note_dropped(l, l->rank);
	must(pthread_rwlock_unlock(&l->m));
}

void rwlock_write(struct rwlock *l) TS_ATTR(no_thread_safety_analysis)
{
	check_order(l, l->rank);
	must(pthread_rwlock_wrlock(&l->m));
	note_taken(l, l->rank);
}

void rwlock_write_drop(struct rwlock *l) TS_ATTR(no_thread_safety_analysis)
{
	note_dropped(l, l->rank);
	must(pthread_rwlock_unlock(&l->m));
}
