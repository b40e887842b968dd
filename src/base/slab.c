/* SPDX-License-Identifier: MIT */
#include "base/slab.h"

#include <stdlib.h>
#include <sys/mman.h>

#define CHUNK (2ull << 20)

#if defined(__SANITIZE_ADDRESS__)
#define EACH_ITS_OWN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_ITS_OWN 1
#endif
#endif
#ifndef EACH_ITS_OWN
#define EACH_ITS_OWN 0
#endif

struct slab_free {
	struct slab_free *next;
};

/* Its own first line. */
struct slab_chunk {
	struct slab_chunk *next;
};

void slab_init(struct slab *s, struct env *env, size_t size)
{
	/* An odd number of lines: else the same field of every object would compete for few sets of
	 * the caches. */
	*s = (struct slab){.env = env, .size = align_up(size, CACHELINE) | CACHELINE};
	lock_init(&s->lock, RANK_POOL);
}

void slab_fini(struct slab *s)
{
	struct slab_chunk *c = s->chunks, *next;

	for (; c; c = next) {
		next = c->next;
		free(c);
	}
	lock_fini(&s->lock);
}

/* A huge page is only asked for: a machine that has none left gives small ones. */
static bool add_chunk(struct slab *s) MUST_HOLD(s->lock)
{
	struct slab_chunk *c = aligned_alloc(CHUNK, CHUNK);

	if (!c)
		return false;
	/* The first few objects are not worth one. */
	if (s->chunks)
		(void)madvise(c, CHUNK, MADV_HUGEPAGE);
	c->next = s->chunks;
	s->chunks = c;
	s->fresh = (u8 *)c + CACHELINE;
	s->end = (u8 *)c + CHUNK;
	return true;
}

static void *take(struct slab *s)
{
	void *p = NULL;

	lock_take(&s->lock);
	if (s->free) {
		p = s->free;
		s->free = s->free->next;
	} else if ((size_t)(s->end - s->fresh) >= s->size || add_chunk(s)) {
		p = s->fresh;
		s->fresh += s->size;
	}
	lock_drop(&s->lock);
	return p;
}

void *slab_zalloc(struct slab *s)
{
	void *p;

	if (EACH_ITS_OWN)
		return env_zalloc(s->env, s->size);
	if (fault_hit(&s->env->fault))
		return NULL;
	p = take(s);
	if (!p)
		return NULL;
	atomic_fetch_add_explicit(&s->env->nr_allocs, 1, memory_order_relaxed);
	return memset(p, 0, s->size);
}

void slab_free(struct slab *s, void *p)
{
	struct slab_free *f = p;

	if (EACH_ITS_OWN) {
		env_free(s->env, p);
		return;
	}
	lock_take(&s->lock);
	f->next = s->free;
	s->free = f;
	lock_drop(&s->lock);
	atomic_fetch_sub_explicit(&s->env->nr_allocs, 1, memory_order_relaxed);
}
