/* SPDX-License-Identifier: MIT */
/*
 * Which IOVA may be used: allowed and reserved ranges, alignment, and finding room.
 *
 * Source: linux drivers/iommu/iommufd/io_pagetable.c (rules and errnos).
 */
#include "ioas/priv.h"

#define HUGE_LEN (1ull << 21) /* no alignment beyond it is looked for */

struct allowed {
	struct itree_node node;
};

/* The holes between the nodes of two trees (either may be NULL), ascending. */
struct holes {
	const struct itree *t[2];
	struct itree_node *n[2];
	u64 pos, last;
	bool done;
};

static void holes_init(struct holes *h, const struct itree *a, const struct itree *b,
		       struct iova_range within)
{
	*h = (struct holes){.t = {a, b}, .pos = within.start, .last = within.last};
	for (unsigned i = 0; i < 2; i++)
		if (h->t[i])
			h->n[i] = itree_first(h->t[i], within.start, within.last);
}

/* Step over everything that covers .pos. */
static void holes_skip(struct holes *h)
{
	for (unsigned i = 0; i < 2; i++) {
		struct itree_node *n = h->n[i];

		if (!n || n->start > h->pos)
			continue;
		h->n[i] = itree_next(n, h->pos, h->last);
		if (n->last >= h->last) {
			h->done = true;
			return;
		}
		if (n->last >= h->pos)
			h->pos = n->last + 1;
		i = UINT_MAX; /* start over: .pos moved */
	}
}

static bool holes_next(struct holes *h, struct iova_range *out)
{
	u64 last;

	if (!h->done)
		holes_skip(h);
	if (h->done)
		return false;
	last = h->last;
	for (unsigned i = 0; i < 2; i++)
		if (h->n[i] && h->n[i]->start <= last)
			last = h->n[i]->start - 1;
	*out = (struct iova_range){h->pos, last};
	if (last == h->last)
		h->done = true;
	else
		h->pos = last + 1;
	return true;
}

/* The first place in @r for @len bytes at @offset from a multiple of @align. */
static bool place(struct iova_range r, u64 len, u64 align, u64 offset, u64 *out)
{
	u64 start;

	if (__builtin_add_overflow(r.start, align - 1, &start))
		return false;
	start = (start & ~(align - 1)) | offset;
	if (start >= r.last || r.last - start < len - 1)
		return false;
	*out = start;
	return true;
}

static bool place_in(const struct ioasis_ioas *ioas, struct iova_range allowed, u64 len, u64 align,
		     u64 offset, u64 *out)
{
	struct iova_range hole;
	struct holes h;

	if (!place(allowed, len, align, offset, &allowed.start))
		return false;
	holes_init(&h, &ioas->reserved, &ioas->areas, allowed);
	while (holes_next(&h, &hole))
		if (place(hole, len, align, offset, out))
			return true;
	return false;
}

/* Never yields 0, nor the last page: programs take both for "none". */
static const struct iova_range usable = {PAGE_SIZE, UINT64_MAX - PAGE_SIZE};

static int search(const struct ioasis_ioas *ioas, u64 len, u64 align, u64 offset, u64 *out)
{
	struct itree_node *n = itree_first(&ioas->allowed, usable.start, usable.last);
	struct iova_range r = usable;

	if (!ioas->allowed.nr)
		return place_in(ioas, usable, len, align, offset, out) ? 0 : -ENOSPC;
	while (n) {
		r.start = max(n->start, usable.start);
		r.last = n->last;
		/* Ranges that touch are one. */
		while ((n = itree_next(n, usable.start, usable.last)) && n->start == r.last + 1)
			r.last = n->last;
		r.last = min(r.last, usable.last);
		if (place_in(ioas, r, len, align, offset, out))
			return 0;
	}
	return -ENOSPC;
}

/*
 * Find room for @len bytes, as aligned as @hint (where the memory lies) is, so that large leaves fit.
 * Caller holds iova_lock.
 */
int iova_alloc(struct ioasis_ioas *ioas, u64 hint, u64 len, u64 *out)
{
	u64 align;

	if (!len || len >= UINT64_MAX / 2)
		return -EOVERFLOW;
	align = 1ull << log2_ceil(len);
	if (hint)
		align = min(align, hint & -hint);
	align = min(align, HUGE_LEN);
	if (align < ioas->align)
		return -EINVAL;
	return search(ioas, len, align, hint % PAGE_SIZE, out);
}

int iova_check(struct ioasis_ioas *ioas, u64 iova, u64 len)
{
	u64 last;

	if (iova & (ioas->align - 1))
		return -EINVAL;
	if (__builtin_add_overflow(iova, len - 1, &last))
		return -EOVERFLOW;
	if (itree_first(&ioas->reserved, iova, last))
		return -EINVAL;
	if (itree_first(&ioas->areas, iova, last))
		return -EEXIST;
	return 0;
}

int iova_reserve(struct ioasis_ioas *ioas, struct iova_range r, const void *owner)
{
	struct reserved *res;

	if (itree_first(&ioas->areas, r.start, r.last) ||
	    itree_first(&ioas->allowed, r.start, r.last))
		return -EADDRINUSE;
	res = env_zalloc(ioas->ctx->env, sizeof(*res));
	if (!res)
		return -ENOMEM;
	res->node.start = r.start;
	res->node.last = r.last;
	res->owner = owner;
	itree_insert(&ioas->reserved, &res->node);
	return 0;
}

void iova_unreserve(struct ioasis_ioas *ioas, const void *owner)
{
	struct itree_node *n = itree_first(&ioas->reserved, 0, UINT64_MAX), *next;

	for (; n; n = next) {
		struct reserved *res = container_of(n, struct reserved, node);

		next = itree_next(n, 0, UINT64_MAX);
		if (res->owner != owner)
			continue;
		itree_remove(&ioas->reserved, n);
		env_free(ioas->ctx->env, res);
	}
}

/* Would every area do with a coarser alignment? */
int iova_check_align(struct ioasis_ioas *ioas, u64 align)
{
	u64 mask = align - 1;

	for (struct area *a = area_first(ioas, 0, UINT64_MAX); a; a = area_next(a, 0, UINT64_MAX))
		if ((a->node.start | area_len(a) | (a->start_byte % PAGE_SIZE)) & mask)
			return -EADDRINUSE;
	return 0;
}

/* After a HWPT, an access or the huge-page option changed. Caller holds both locks for writing. */
int iova_update_align(struct ioasis_ioas *ioas)
{
	u64 align = ioas->no_large_pages ? PAGE_SIZE : 1;
	struct list *p;
	int rc;

	list_for_each(p, &ioas->hwpts) {
		struct hwpt *hwpt = list_entry(p, struct hwpt, ioas_node);
		u64 bits = hwpt->domain->pgsize_bitmap;

		align = max(align, bits & -bits);
	}
	list_for_each(p, &ioas->accesses)
		align = max(align, list_entry(p, struct membership, node)->access->align);
	if (align > ioas->align) {
		rc = iova_check_align(ioas, align);
		if (rc)
			return rc;
	}
	ioas->align = align;
	return 0;
}

u32 ioas_iova_ranges(struct ioasis_ioas *ioas, struct iova_range *out, u32 nr_max, u64 *out_align)
{
	struct iova_range hole;
	struct holes h;
	u32 nr = 0;

	rwlock_read(&ioas->iova_lock);
	holes_init(&h, &ioas->reserved, NULL, (struct iova_range){0, UINT64_MAX});
	for (; holes_next(&h, &hole); nr++)
		if (nr < nr_max)
			out[nr] = hole;
	*out_align = ioas->align;
	rwlock_read_drop(&ioas->iova_lock);
	return nr;
}

void allowed_init(struct allowed_set *set, struct env *env)
{
	set->env = env;
	itree_init(&set->ranges);
}

void allowed_fini(struct allowed_set *set)
{
	struct itree_node *n;

	while ((n = itree_first(&set->ranges, 0, UINT64_MAX))) {
		itree_remove(&set->ranges, n);
		env_free(set->env, container_of(n, struct allowed, node));
	}
}

int allowed_add(struct allowed_set *set, struct iova_range r)
{
	struct allowed *a;

	if (r.start >= r.last || itree_first(&set->ranges, r.start, r.last))
		return -EINVAL;
	a = env_zalloc(set->env, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->node.start = r.start;
	a->node.last = r.last;
	itree_insert(&set->ranges, &a->node);
	return 0;
}

int ioas_allow_iovas(struct ioasis_ioas *ioas, struct allowed_set *set)
{
	struct itree_node *n;
	struct itree old;
	int rc = 0;

	rwlock_write(&ioas->iova_lock);
	itree_for_each(n, &set->ranges, 0, UINT64_MAX) {
		if (itree_first(&ioas->reserved, n->start, n->last)) {
			rc = -EADDRINUSE;
			goto out;
		}
	}
	old = ioas->allowed;
	ioas->allowed = set->ranges;
	set->ranges = old;
out:
	rwlock_write_drop(&ioas->iova_lock);
	return rc;
}

int ioas_add_reserved(struct ioasis_ioas *ioas, struct iova_range r)
{
	int rc;

	rwlock_write(&ioas->iova_lock);
	rc = iova_reserve(ioas, r, NULL);
	rwlock_write_drop(&ioas->iova_lock);
	return rc;
}

int ioas_set_huge_pages(struct ioasis_ioas *ioas, bool on)
{
	int rc = 0;

	rwlock_write(&ioas->hwpts_lock);
	rwlock_write(&ioas->iova_lock);
	if (on == !ioas->no_large_pages)
		goto out;
	/* What HWPTs hold now may be large. */
	if (!on && ioas->nr_hwpts && ioas->areas.nr) {
		rc = -EINVAL;
		goto out;
	}
	ioas->no_large_pages = !on;
	rc = iova_update_align(ioas);
	if (rc)
		ioas->no_large_pages = on;
out:
	rwlock_write_drop(&ioas->iova_lock);
	rwlock_write_drop(&ioas->hwpts_lock);
	return rc;
}

bool ioas_huge_pages(struct ioasis_ioas *ioas)
{
	bool on;

	rwlock_read(&ioas->iova_lock);
	on = !ioas->no_large_pages;
	rwlock_read_drop(&ioas->iova_lock);
	return on;
}

/* The IOAS goes: nothing is mapped, no HWPT and no access is left. */
void iova_fini(struct ioasis_ioas *ioas)
{
	struct allowed_set set = {.env = ioas->ctx->env, .ranges = ioas->allowed};

	iova_unreserve(ioas, NULL);
	allowed_fini(&set);
	assert(!ioas->areas.nr && !ioas->reserved.nr);
}
