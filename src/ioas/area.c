/* SPDX-License-Identifier: MIT */
/*
 * Areas: map, copy, unmap.
 *
 * A new area first takes its IOVA with pages NULL, then is filled into every HWPT, and only then gets
 * its pages: whoever meets it in between leaves it alone. Unmap goes the same way back.
 *
 * Source: linux drivers/iommu/iommufd/io_pagetable.c (order of checks, errnos, what unmap reports).
 */
#include "ioas/priv.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UNMAP_TRIES 100u /* times an access is asked to let go */

/* Memory of this process is found without a system call: small areas are filled in one go, under iova_lock. */
#define DIRECT_LEN (1ull << 21)

/* ---- areas in a row ---- */

struct area *contig_first(struct contig *it, const struct ioasis_ioas *ioas, u64 iova, u64 last)
{
	it->cur = iova;
	it->last = last;
	it->area = area_first(ioas, iova, iova);
	if (it->area && !it->area->pages)
		it->area = NULL;
	return it->area;
}

struct area *contig_next(struct contig *it)
{
	u64 last;

	if (!it->area)
		return NULL;
	last = it->area->node.last;
	if (it->last <= last)
		return NULL;
	it->cur = last + 1;
	it->area = area_next(it->area, it->cur, it->last);
	if (it->area && (it->area->node.start != it->cur || !it->area->pages))
		it->area = NULL;
	return it->area;
}

/* ---- copies that go on without locks ---- */

#define AWAITED (1u << 31) /* in .inside: somebody sleeps until the rest is zero */

void area_leave(struct area *area)
{
	/* The area may be freed as soon as the count is zero; waking a stale address harms nobody. */
	_Atomic u32 *inside = &area->inside;

	if (atomic_fetch_sub(inside, 1) == (AWAITED | 1))
		syscall(SYS_futex, inside, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void area_wait_inside(struct area *area)
{
	u32 n = atomic_load(&area->inside);

	if (likely(!n))
		return;
	for (n = atomic_fetch_or(&area->inside, AWAITED) | AWAITED; n != AWAITED;
	     n = atomic_load(&area->inside))
		syscall(SYS_futex, &area->inside, FUTEX_WAIT_PRIVATE, n, NULL, NULL, 0);
}

/* ---- map ---- */

static struct area *area_new(struct env *env)
{
	return env_zalloc(env, sizeof(struct area));
}

static void area_free(struct env *env, struct area *area)
{
	if (!area->embedded)
		env_free(env, area);
}

/* How the memory itself is aligned, for choosing an IOVA that keeps large leaves possible. */
static u64 alignment_hint(const struct copy_piece *piece)
{
	const struct source *src = &piece->pages->src;

	switch (src->kind) {
	case SOURCE_OWN:
		return (uintptr_t)src->host + piece->start_byte;
	case SOURCE_USER:
		return src->uva.v + piece->start_byte;
	default:
		return src->offset + piece->start_byte;
	}
}

/* The IOVA is free: take it for one piece. Caller holds iova_lock for writing. */
static int insert_area(struct ioasis_ioas *ioas, struct copy_piece *piece, u64 iova, u8 perm)
{
	struct area *a = piece->area;

	if ((perm & PERM_W) && !piece->pages->src.writable)
		return -EPERM;
	if ((piece->start_byte % PAGE_SIZE) & (ioas->align - 1))
		return -EINVAL;
	a->perm = perm;
	a->start_byte = piece->start_byte;
	a->node.start = iova;
	if (__builtin_add_overflow(iova, piece->len - 1, &a->node.last))
		return -EOVERFLOW;
	a->cover.start = piece->start_byte / PAGE_SIZE;
	a->cover.last = (piece->start_byte + piece->len - 1) / PAGE_SIZE;
	a->ioas = ioas;
	a->inserted = true;
	itree_insert(&ioas->areas, &a->node);
	return 0;
}

struct placing {
	u64 len;
	u8 perm;
	bool fixed;
	u64 iova;
};

static int insert_all(struct ioasis_ioas *ioas, struct copy_piece *v, u32 nr, struct placing *at)
{
	u64 iova;
	int rc;

	if ((at->len & (ioas->align - 1)) || !at->len)
		return -EINVAL;
	rc = at->fixed ? iova_check(ioas, at->iova, at->len) :
			 iova_alloc(ioas, alignment_hint(v), at->len, &at->iova);
	if (rc)
		return rc;
	iova = at->iova;
	for (u32 i = 0; !rc && i < nr; i++) {
		rc = insert_area(ioas, &v[i], iova, at->perm);
		iova += v[i].len;
	}
	return rc;
}

static int fill_all(struct ioasis_ioas *ioas, struct copy_piece *v, u32 nr)
{
	struct area *undo = NULL;
	int rc = 0;

	for (u32 i = 0; i < nr; i++) {
		rc = area_fill(v[i].area, v[i].pages);
		if (rc)
			break;
		v[i].area->dying = v[i].pages;
		v[i].area->next = undo;
		undo = v[i].area;
	}
	if (rc && undo)
		areas_unfill(ioas, undo);
	return rc;
}

/* The areas own their pages now, and anybody may use them. iova_lock is held for writing. */
static void publish_all(struct copy_piece *v, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		v[i].area->dying = NULL;
		v[i].area->pages = v[i].pages;
		v[i].pages = NULL;
		v[i].area = NULL;
	}
}

static void remove_all(struct ioasis_ioas *ioas, struct copy_piece *v, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		if (v[i].area && v[i].area->inserted)
			itree_remove(&ioas->areas, &v[i].area->node);
		if (v[i].area)
			v[i].area->inserted = false;
	}
}

static bool fills_at_once(const struct ioasis_ioas *ioas, const struct copy_piece *v, u32 nr)
{
	return !ioas->nr_hwpts ||
	       (nr == 1 && v->len <= DIRECT_LEN && v->pages->src.kind == SOURCE_OWN);
}

/* Map the pieces one behind the other. On success they have given their references away. */
static int map_pieces(struct ioasis_ioas *ioas, struct copy_piece *v, u32 nr, struct placing *at)
{
	bool at_once;
	int rc;

	rwlock_read(&ioas->hwpts_lock);
	rwlock_write(&ioas->iova_lock);
	rc = insert_all(ioas, v, nr, at);
	at_once = fills_at_once(ioas, v, nr);
	if (!rc && !at_once) {
		rwlock_write_drop(&ioas->iova_lock);
		rc = fill_all(ioas, v, nr);
		rwlock_write(&ioas->iova_lock);
	} else if (!rc) {
		rc = fill_all(ioas, v, nr);
	}
	if (rc)
		remove_all(ioas, v, nr);
	else
		publish_all(v, nr);
	rwlock_write_drop(&ioas->iova_lock);
	rwlock_read_drop(&ioas->hwpts_lock);
	return rc;
}

int ioas_map(struct ioasis_ioas *ioas, struct map_args *args, iova_t *out_iova)
{
	struct placing at = {
		.len = args->len, .perm = args->perm, .fixed = args->fixed, .iova = args->iova.v};
	struct copy_piece piece = {.start_byte = args->start_byte, .len = args->len};
	struct pages *p;
	int rc;

	rc = pages_new(ioas, args, &p);
	if (rc)
		return REJECT(ioas->ctx->env, rc, ioas_map, "source");
	piece.pages = p;
	piece.area = &p->first;
	p->first.embedded = true;
	rc = map_pieces(ioas, &piece, 1, &at);
	if (rc) {
		pages_put(p);
		return REJECT(ioas->ctx->env, rc, ioas_map, "placing or filling");
	}
	*out_iova = IOVA(at.iova);
	TRACE(ioas->ctx->env, ioas_map, "ioas %u iova %#llx len %#llx perm %u", ioas->obj.id,
	      (unsigned long long)at.iova, (unsigned long long)at.len, at.perm);
	return 0;
}

/* ---- copy ---- */

static int copy_add(struct copy_src *c, const struct copy_piece *piece)
{
	struct copy_piece *v;

	if (c->nr && is_pow2(c->nr)) {
		v = env_calloc(c->env, 2 * (size_t)c->nr, sizeof(*v));
		if (!v)
			return -ENOMEM;
		memcpy(v, c->v, c->nr * sizeof(*v));
		if (c->v != &c->one)
			env_free(c->env, c->v);
		c->v = v;
	}
	c->v[c->nr++] = *piece;
	pages_get(piece->pages);
	return 0;
}

int copy_from(struct ioasis_ioas *src, u64 iova, u64 len, struct copy_src *out)
{
	struct contig it;
	u64 last;
	int rc = 0;

	if (!len)
		return -EINVAL;
	if (__builtin_add_overflow(iova, len - 1, &last))
		return -EOVERFLOW;
	*out = (struct copy_src){.env = src->ctx->env, .len = len};
	out->v = &out->one;
	rwlock_read(&src->iova_lock);
	for (struct area *a = contig_first(&it, src, iova, last); a && !rc; a = contig_next(&it)) {
		struct copy_piece piece = {
			.pages = a->pages,
			.start_byte = area_byte(a, it.cur),
			.len = contig_last(&it) - it.cur + 1,
		};

		rc = copy_add(out, &piece);
		if (rc)
			break;
	}
	if (!rc && !contig_done(&it))
		rc = -ENOENT;
	rwlock_read_drop(&src->iova_lock);
	if (rc)
		copy_fini(out);
	return rc;
}

void copy_fini(struct copy_src *src)
{
	for (u32 i = 0; i < src->nr; i++) {
		if (src->v[i].area)
			area_free(src->env, src->v[i].area);
		if (src->v[i].pages)
			pages_put(src->v[i].pages);
	}
	if (src->v != &src->one)
		env_free(src->env, src->v);
	*src = (struct copy_src){0};
	src->v = &src->one;
}

int copy_to(struct ioasis_ioas *dst, struct copy_src *src, u8 perm, bool fixed, iova_t iova,
	    iova_t *out_iova)
{
	struct placing at = {.len = src->len, .perm = perm, .fixed = fixed, .iova = iova.v};
	int rc;

	for (u32 i = 0; i < src->nr; i++) {
		src->v[i].area = area_new(src->env);
		if (!src->v[i].area)
			return -ENOMEM;
	}
	rc = map_pieces(dst, src->v, src->nr, &at);
	if (rc)
		return REJECT(src->env, rc, copy_to, "placing or filling");
	*out_iova = IOVA(at.iova);
	TRACE(src->env, copy_to, "ioas %u iova %#llx len %#llx", dst->obj.id,
	      (unsigned long long)at.iova, (unsigned long long)at.len);
	return 0;
}

/* ---- unmap ---- */

struct unmapping {
	u64 start, last;
	u64 bytes;
	unsigned tries;
	struct area *dead; /* out of reach of others, still in their tree and their HWPTs */
	struct area **tail;
	bool busy; /* accesses hold the area at .asked */
	struct iova_range asked;
};

static void kill_area(struct unmapping *u, struct area *a)
{
	a->dying = a->pages;
	a->pages = NULL;
	a->next = NULL;
	*u->tail = a;
	u->tail = &a->next;
	u->bytes += area_len(a);
}

/* Collect what can go. Stops early with an error, or at an area that accesses hold (u->busy). */
static int collect(struct ioasis_ioas *ioas, struct unmapping *u)
{
	struct area *a;

	u->dead = NULL;
	u->tail = &u->dead;
	u->busy = false;
	while ((a = area_first(ioas, u->start, u->last))) {
		if (!a->pages)
			return -EBUSY;
		if (a->node.start < u->start || a->node.last > u->last)
			return -ENOENT;
		if (a->node.start != u->start)
			u->tries = 0;
		if (a->nr_accesses) {
			u->start = a->node.start;
			a->prevent_access = true;
			u->busy = true;
			u->asked = (struct iova_range){a->node.start, a->node.last};
			return 0;
		}
		kill_area(u, a);
		if (a->node.last >= u->last)
			break;
		u->start = a->node.last + 1;
	}
	return 0;
}

/* hwpts_lock is held for reading, nothing else. */
static void bury(struct ioasis_ioas *ioas, struct area *dead)
{
	struct area *next;

	if (!dead)
		return;
	areas_unfill(ioas, dead);
	rwlock_write(&ioas->iova_lock);
	for (struct area *a = dead; a; a = a->next)
		itree_remove(&ioas->areas, &a->node);
	rwlock_write_drop(&ioas->iova_lock);
	for (struct area *a = dead; a; a = next) {
		struct pages *p = a->dying;

		next = a->next;
		area_free(ioas->ctx->env, a);
		pages_put(p);
	}
}

static int unmap_range(struct ioasis_ioas *ioas, struct unmapping *u)
{
	int rc;

	for (;;) {
		rwlock_read(&ioas->hwpts_lock);
		rwlock_write(&ioas->iova_lock);
		rc = collect(ioas, u);
		rwlock_write_drop(&ioas->iova_lock);
		bury(ioas, u->dead);
		if (rc || !u->busy) {
			rwlock_read_drop(&ioas->hwpts_lock);
			return rc;
		}
		rwlock_read_drop(&ioas->hwpts_lock);
		access_notify_unmap(ioas, u->asked.start, u->asked.last - u->asked.start + 1);
		if (++u->tries > UNMAP_TRIES)
			return -EDEADLK;
	}
}

int ioas_unmap(struct ioasis_ioas *ioas, struct iova_range range, u64 *out_unmapped)
{
	struct unmapping u = {.start = range.start, .last = range.last};
	int rc = unmap_range(ioas, &u);

	if (out_unmapped)
		*out_unmapped = u.bytes;
	if (rc)
		return REJECT(ioas->ctx->env, rc, ioas_unmap, "an area is in the way");
	TRACE(ioas->ctx->env, ioas_unmap, "ioas %u iova %#llx..%#llx bytes %#llx", ioas->obj.id,
	      (unsigned long long)range.start, (unsigned long long)range.last,
	      (unsigned long long)u.bytes);
	return 0;
}

int ioas_unmap_all(struct ioasis_ioas *ioas, u64 *out_unmapped)
{
	return ioas_unmap(ioas, (struct iova_range){0, UINT64_MAX}, out_unmapped);
}
