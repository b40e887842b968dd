/* SPDX-License-Identifier: MIT */
/*
 * The pool of table pages: one extent, reserved at once, made ready in steps of a huge page.
 *
 * What is reserved but not ready reads as zeros: an entry that names a table there finds nothing
 * present, so a corrupt entry is a fault and not a crash.
 */
#include "mem/mem_priv.h"

#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define POOL_DEFAULT (64ull << 30)
#define POOL_LEAST   (64ull << 20)
#define POOL_STEP    (2ull << 20)

static u8 *reserve(u64 len)
{
	u64 lead;
	u8 *p = mmap(NULL, len + POOL_STEP, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	lead = -(uintptr_t)p & (POOL_STEP - 1);
	if (lead)
		munmap(p, lead);
	munmap(p + lead + len, POOL_STEP - lead);
	/* Refused where the kernel has no huge pages: 4 KiB ones do. */
	(void)madvise(p + lead, len, MADV_HUGEPAGE);
	return p + lead;
}

/* Make the next step ready. Return: false when the reserve or the machine's memory is used up. */
static bool make_ready(struct table_pool *pool) MUST_HOLD(pool->lock)
{
	u64 len = min(POOL_STEP, pool->len - pool->ready);
	u8 *at = pool->host + pool->ready;

	if (!len || mprotect(at, len, PROT_READ | PROT_WRITE))
		return false;
	if (madvise(at, len, MADV_POPULATE_WRITE) && errno != EINVAL)
		return false;
	pool->ready += len;
	return true;
}

static void *pop_free(struct table_pool *pool) MUST_HOLD(pool->lock)
{
	u8 *page = pool->free;

	if (!page)
		return NULL;
	memcpy(&pool->free, page, sizeof(pool->free));
	memset(page, 0, PAGE_SIZE);
	return page;
}

/* Pages that were never given out are still zero. */
static void *carve(struct table_pool *pool, u64 len) MUST_HOLD(pool->lock)
{
	u8 *page;

	if (len > pool->len - pool->next)
		return NULL;
	while (pool->ready - pool->next < len)
		if (!make_ready(pool))
			return NULL;
	page = pool->host + pool->next;
	pool->next += len;
	return page;
}

void *table_alloc(struct mem *mem)
{
	struct table_pool *pool = &mem->tables;
	void *page;

	if (fault_hit(&mem->env->fault))
		return NULL;
	lock_take(&pool->lock);
	page = pop_free(pool);
	if (!page)
		page = carve(pool, PAGE_SIZE);
	lock_drop(&pool->lock);
	if (page)
		atomic_fetch_add_explicit(&pool->nr_used, 1, memory_order_relaxed);
	return page;
}

void *table_alloc_run(struct mem *mem, unsigned nr)
{
	struct table_pool *pool = &mem->tables;
	void *page;

	if (!nr || fault_hit(&mem->env->fault))
		return NULL;
	if (nr == 1)
		return table_alloc(mem);
	lock_take(&pool->lock);
	page = carve(pool, nr * PAGE_SIZE);
	lock_drop(&pool->lock);
	if (page)
		atomic_fetch_add_explicit(&pool->nr_used, nr, memory_order_relaxed);
	return page;
}

void table_free(struct mem *mem, void *page)
{
	struct table_pool *pool = &mem->tables;

	if (!page)
		return;
	lock_take(&pool->lock);
	memcpy(page, &pool->free, sizeof(pool->free));
	pool->free = page;
	lock_drop(&pool->lock);
	atomic_fetch_sub_explicit(&pool->nr_used, 1, memory_order_relaxed);
}

void table_free_chain(struct mem *mem, void *first, void *last, unsigned nr)
{
	struct table_pool *pool = &mem->tables;

	lock_take(&pool->lock);
	memcpy(last, &pool->free, sizeof(pool->free));
	pool->free = first;
	lock_drop(&pool->lock);
	atomic_fetch_sub_explicit(&pool->nr_used, nr, memory_order_relaxed);
}

void *table_at_slow(const struct mem *mem, oa_t oa, u64 len)
{
	const struct seg *seg = seg_find(mem, oa);

	if (!seg || !seg->host || atomic_load_explicit(&seg->dead, memory_order_acquire))
		return NULL;
	if (seg->len - (oa.v - seg->base.v) < len)
		return NULL;
	return seg->host + (oa.v - seg->base.v);
}

static int map_pool(struct table_pool *pool, u64 len)
{
	u64 floor = len ? len : POOL_LEAST;
	u64 notes;

	len = len ? len : POOL_DEFAULT;
	while (!(pool->host = reserve(len)) && len > floor)
		len /= 2; /* a limit on address space: less will do */
	if (!pool->host)
		return -ENOMEM;
	notes = (len >> PAGE_LG2) * sizeof(*pool->note);
	pool->note = mmap(NULL, notes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->note == MAP_FAILED) {
		munmap(pool->host, len);
		return -ENOMEM;
	}
	pool->len = len;
	return 0;
}

int table_pool_init(struct mem *mem, u64 len)
{
	struct seg_want want = {.kind = SEG_TABLES};
	struct table_pool *pool = &mem->tables;
	struct seg *seg;
	int rc;

	rc = map_pool(pool, align_up(len, PAGE_SIZE));
	if (rc)
		return rc;
	want.len = pool->len;
	rc = seg_make(mem, &want, &seg);
	if (rc) {
		munmap(pool->note, (pool->len >> PAGE_LG2) * sizeof(*pool->note));
		munmap(pool->host, pool->len);
		return rc;
	}
	lock_init(&pool->lock, RANK_POOL);
	pool->base = seg->base.v;
	lock_take(&mem->segs_lock);
	lock_assert_held(&seg->mem->segs_lock);
	seg_publish_locked(seg);
	lock_drop(&mem->segs_lock);
	return 0;
}

void table_pool_fini(struct mem *mem)
{
	struct table_pool *pool = &mem->tables;

	seg_put(mem, seg_find(mem, OA(pool->base)));
	munmap(pool->note, (pool->len >> PAGE_LG2) * sizeof(*pool->note));
	munmap(pool->host, pool->len);
	lock_fini(&pool->lock);
}
