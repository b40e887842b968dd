/* SPDX-License-Identifier: MIT */
/*
 * dma-buf tokens: memory that its exporter can take away under every mapping of it.
 *
 * Each pages object made from a token joins its list. Revoking visits them one by one, without the
 * token's lock, since the order of locks is pages before token.
 */
#include "ioas/priv.h"

#include <sys/mman.h>

struct dmabuf {
	_Atomic u32 refs;
	struct env *env;
	struct mem *mem;
	struct lock revoking; /* RANK_IOAS: one revocation at a time, so that each returns when it is done */
	struct lock lock;     /* RANK_DMABUF */
	struct seg *seg;
	u8 *host;
	u64 len;
	bool revoked;	  /* GUARDED_BY(lock) */
	struct list users; /* GUARDED_BY(lock): struct pages.dmabuf_node */
};

int dmabuf_new(struct env *env, struct mem *mem, u64 len, struct dmabuf **out)
{
	struct dmabuf *d;
	int rc = -ENOMEM;

	if (!len || len % PAGE_SIZE)
		return -EINVAL;
	d = env_zalloc(env, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->host = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (d->host == MAP_FAILED)
		goto undo_alloc;
	rc = seg_add(mem, SEG_TOKEN, d->host, len, &d->seg);
	if (rc)
		goto undo_mmap;
	d->refs = 1;
	d->env = env;
	d->mem = mem;
	d->len = len;
	lock_init(&d->revoking, RANK_IOAS);
	lock_init(&d->lock, RANK_DMABUF);
	list_init(&d->users);
	*out = d;
	return 0;

undo_mmap:
	munmap(d->host, len);
undo_alloc:
	env_free(env, d);
	return rc;
}

struct dmabuf *dmabuf_get(struct dmabuf *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

void dmabuf_put(struct dmabuf *d)
{
	if (atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	assert(list_empty(&d->users));
	seg_put(d->mem, d->seg);
	munmap(d->host, d->len);
	lock_fini(&d->lock);
	lock_fini(&d->revoking);
	env_free(d->env, d);
}

u8 *dmabuf_host(struct dmabuf *d)
{
	return d->host;
}

u64 dmabuf_len(const struct dmabuf *d)
{
	return d->len;
}

struct seg *dmabuf_seg(struct dmabuf *d)
{
	return d->seg;
}

int dmabuf_join(struct dmabuf *d, struct pages *p)
{
	int rc = 0;

	lock_take(&d->lock);
	if (d->revoked)
		rc = -ENODEV;
	else
		list_push_back(&d->users, &p->dmabuf_node);
	lock_drop(&d->lock);
	return rc;
}

void dmabuf_leave(struct dmabuf *d, struct pages *p)
{
	lock_take(&d->lock);
	list_del(&p->dmabuf_node);
	lock_drop(&d->lock);
}

static void revoke_pages(struct pages *p)
{
	struct list *n;

	lock_take(&p->lock);
	p->revoked = true;
	list_for_each(n, &p->tracks) {
		struct dmabuf_track *t = list_entry(n, struct dmabuf_track, node);
		struct pt_gather g;

		pt_gather_init(&g);
		lock_take(&t->domain->lock);
		pt_unmap(&t->domain->pt,
			 (struct iova_range){t->area->node.start, t->area->node.last}, &g);
		lock_drop(&t->domain->lock);
		iommu_flush(t->domain, &g);
	}
	pages_quiesce(p, 0, p->nr_pages - 1);
	lock_drop(&p->lock);
}

/* One that may be on its way out already: its last reference is gone. */
static bool pages_try_get(struct pages *p)
{
	u32 refs = atomic_load(&p->refs);

	while (refs)
		if (atomic_compare_exchange_weak(&p->refs, &refs, refs + 1))
			return true;
	return false;
}

/* Take the first user off the list, with a reference. */
static struct pages *next_user(struct dmabuf *d)
{
	struct pages *p = NULL;
	struct list *n, *next;

	lock_take(&d->lock);
	list_for_each_safe(n, next, &d->users) {
		p = list_entry(n, struct pages, dmabuf_node);
		list_del(n);
		if (pages_try_get(p))
			break;
		p = NULL;
	}
	lock_drop(&d->lock);
	return p;
}

void dmabuf_revoke(struct dmabuf *d, bool revoked)
{
	struct pages *p;

	lock_take(&d->revoking);
	lock_take(&d->lock);
	d->revoked = revoked;
	lock_drop(&d->lock);
	while (revoked && (p = next_user(d))) {
		revoke_pages(p);
		pages_put(p);
	}
	lock_drop(&d->revoking);
}
