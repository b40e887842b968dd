/* SPDX-License-Identifier: MIT */
/*
 * Pages: the memory one MAP named. Which page indices are pinned, where they are, and who pays.
 *
 * An index is pinned while an area that is filled, or an access, covers it. The runs of what is pinned
 * lie in one sorted array with holes. Releasing part of a run may split it, and release cannot fail: so
 * room for the splits is made when covers are added. Only the edge of a cover that remains can split a
 * run, and each edge does so once at most, so two entries per cover are enough.
 *
 * Source: linux drivers/iommu/iommufd/pages.c (what is pinned and charged when, errnos).
 */
#include "ioas/priv.h"

#include <unistd.h>

void source_fini(struct mem *mem, struct source *src)
{
	if (src->kind == SOURCE_FILE && src->fd >= 0)
		close(src->fd);
	if (src->seg)
		seg_put(mem, src->seg);
	if (src->mm)
		mm_put(src->mm);
	*src = (struct source){.fd = -1};
}

static int check_shape(const struct map_args *args)
{
	u64 at = args->start_byte, end;

	if (args->src.kind == SOURCE_OWN)
		at += (uintptr_t)args->src.host;
	else if (args->src.kind == SOURCE_USER)
		at += args->src.uva.v;
	else
		at += args->src.offset;
	if (args->src.kind == SOURCE_FILE || args->src.kind == SOURCE_TOKEN) {
		if (args->len && __builtin_add_overflow(at, args->len - 1, &end))
			return -EOVERFLOW;
	} else if (__builtin_add_overflow(at, args->len, &end)) {
		return -EOVERFLOW;
	}
	if (args->src.kind == SOURCE_TOKEN && args->len && dmabuf_len(args->dmabuf) <= end)
		return -EINVAL;
	if (!args->len || args->len > SIZE_MAX - PAGE_SIZE)
		return -EINVAL;
	return 0;
}

static enum account_mode account_of(const struct ioasis_ioas *ioas, const struct map_args *args)
{
	if (args->src.kind == SOURCE_TOKEN)
		return ACCOUNT_NONE;
	if (args->account == ACCOUNT_USER && ioas->ctx->account_mode == ACCOUNT_MM)
		return ACCOUNT_MM;
	return args->account;
}

/* Takes over the references of @args, also on error. */
int pages_new(struct ioasis_ioas *ioas, struct map_args *args, struct pages **out)
{
	struct ioasis_ctx *ctx = ioas->ctx;
	struct pages *p = NULL;
	int rc = check_shape(args);

	if (!rc && !(p = slab_zalloc(&ctx->pages)))
		rc = -ENOMEM;
	if (rc)
		goto undo_args;
	p->refs = 1;
	p->slab = &ctx->pages;
	p->env = ctx->env;
	p->mem = ctx->mem;
	lock_init(&p->lock, RANK_PAGES);
	p->nr_pages = (args->len + args->start_byte - 1) / PAGE_SIZE + 1;
	p->account = account_of(ioas, args);
	list_init(&p->dmabuf_node);
	list_init(&p->tracks);
	if (args->src.kind == SOURCE_TOKEN) {
		rc = dmabuf_join(args->dmabuf, p);
		if (rc)
			goto undo_pages;
		p->dmabuf = args->dmabuf;
		args->src.seg = seg_get(dmabuf_seg(args->dmabuf));
	}
	p->src = args->src;
	p->src.writable = args->perm & PERM_W;
	*out = p;
	return 0;

undo_pages:
	lock_fini(&p->lock);
	slab_free(p->slab, p);
undo_args:
	if (args->dmabuf)
		dmabuf_put(args->dmabuf);
	source_fini(ctx->mem, &args->src);
	return rc;
}

struct pages *pages_get(struct pages *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void pages_put(struct pages *p)
{
	if (atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	assert(!p->areas.nr && !p->accesses.nr && !p->runs.nr && !p->nr_charged);
	assert(list_empty(&p->tracks));
	if (p->dmabuf) {
		dmabuf_leave(p->dmabuf, p);
		dmabuf_put(p->dmabuf);
	}
	if (p->runs.v && p->runs.v != &p->runs.one)
		env_free(p->env, p->runs.v);
	source_fini(p->mem, &p->src);
	lock_fini(&p->lock);
	slab_free(p->slab, p);
}

/* ---- the array of runs ---- */

/* Index of the first run that ends past @byte. */
static u32 runs_find(const struct runs *r, u64 byte)
{
	u32 lo = 0, hi = r->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (r->v[mid].first + (r->v[mid].len - 1) < byte)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct run *pages_run(const struct pages *p, u64 byte)
{
	u32 i = runs_find(&p->runs, byte);

	if (i == p->runs.nr || p->runs.v[i].first > byte)
		return NULL;
	return &p->runs.v[i];
}

static int runs_room(struct pages *p, u64 need)
{
	struct runs *r = &p->runs;
	struct run *v;
	u64 cap;

	if (!r->v) {
		r->v = &r->one;
		r->cap = 1;
	}
	if (need <= r->cap)
		return 0;
	cap = max(need, (u64)r->cap * 2);
	if (cap > UINT32_MAX)
		return -ENOMEM;
	v = env_calloc(p->env, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	memcpy(v, r->v, r->nr * sizeof(*v));
	if (r->v != &r->one)
		env_free(p->env, r->v);
	r->v = v;
	r->cap = (u32)cap;
	return 0;
}

/* Move the runs of @from, which lie in a hole of @p's, into it. */
static int runs_merge(struct pages *p, struct runs *from)
{
	struct runs *r = &p->runs;
	u32 at;
	int rc = runs_room(p, (u64)r->nr + from->nr);

	if (rc)
		return rc;
	at = runs_find(r, from->v[0].first);
	memmove(&r->v[at + from->nr], &r->v[at], (r->nr - at) * sizeof(*r->v));
	memcpy(&r->v[at], from->v, from->nr * sizeof(*r->v));
	r->nr += from->nr;
	from->nr = 0;
	return 0;
}

/* Cut [first, last] (bytes) out of run @i, which it meets. Return: runs left of it (0, 1 or 2). */
static unsigned run_cut(struct pages *p, u32 i, u64 first, u64 last)
{
	struct runs *r = &p->runs;
	struct run *run = &r->v[i];
	u64 run_last = run->first + (run->len - 1);
	struct run tail = *run;

	if (last < run_last) {
		tail.first = last + 1;
		tail.oa.v += tail.first - run->first;
		tail.len = run_last - last;
	}
	if (run->first < first && last < run_last) {
		assert(r->nr < r->cap);
		run->len = first - run->first;
		memmove(&r->v[i + 2], &r->v[i + 1], (r->nr - i - 1) * sizeof(*run));
		r->v[i + 1] = tail;
		r->nr++;
		seg_get(tail.seg);
		return 2;
	}
	if (run->first < first) {
		run->len = first - run->first;
		return 1;
	}
	if (last < run_last) {
		*run = tail;
		return 1;
	}
	seg_put(p->mem, run->seg);
	return 0;
}

static void runs_remove(struct pages *p, u64 first, u64 last)
{
	struct runs *r = &p->runs;
	u32 i = runs_find(r, first), gone_at, gone = 0;

	if (i < r->nr && r->v[i].first < first)
		i += run_cut(p, i, first, last) ? 1 : 0;
	gone_at = i;
	for (; i < r->nr && r->v[i].first <= last; i++) {
		if (run_cut(p, i, first, last))
			break;
		gone++;
	}
	if (!gone)
		return;
	memmove(&r->v[gone_at], &r->v[gone_at + gone], (r->nr - gone_at - gone) * sizeof(*r->v));
	r->nr -= gone;
}

/* ---- what is covered ---- */

/* The next stretch of [*pos, last] that no area and no access covers. */
static bool next_hole(const struct pages *p, u64 *pos, u64 last, u64 *hole_last)
{
	const struct itree_node *n;

	for (;;) {
		n = itree_first(&p->areas, *pos, *pos);
		if (!n)
			n = itree_first(&p->accesses, *pos, *pos);
		if (!n)
			break;
		if (n->last >= last)
			return false;
		*pos = n->last + 1;
	}
	*hole_last = last;
	n = itree_first(&p->areas, *pos, last);
	if (n)
		*hole_last = n->start - 1;
	n = itree_first(&p->accesses, *pos, *hole_last);
	if (n)
		*hole_last = n->start - 1;
	return true;
}

static int charge(struct pages *p, u64 nr)
{
	int rc;

	if (!p->src.mm || p->dmabuf)
		return 0;
	rc = mm_charge(p->src.mm, p->account, nr);
	if (rc)
		return rc;
	if (p->next_mm) {
		rc = mm_charge(p->next_mm, p->account, nr);
		if (rc) {
			mm_uncharge(p->src.mm, p->account, nr);
			return rc;
		}
	}
	p->nr_charged += nr;
	return 0;
}

static void uncharge(struct pages *p, u64 nr)
{
	if (!p->src.mm || p->dmabuf || !nr)
		return;
	mm_uncharge(p->src.mm, p->account, nr);
	if (p->next_mm)
		mm_uncharge(p->next_mm, p->account, nr);
	p->nr_charged -= nr;
}

static int resolve_hole(struct pages *p, u64 first, u64 last)
{
	struct runs found = {0};
	int rc;

	if (!p->runs.nr && (!p->runs.v || p->runs.v == &p->runs.one)) {
		p->runs = found;
		return source_resolve(p->mem, &p->src, first * PAGE_SIZE,
				      (last - first + 1) * PAGE_SIZE, &p->runs);
	}
	rc = source_resolve(p->mem, &p->src, first * PAGE_SIZE, (last - first + 1) * PAGE_SIZE,
			    &found);
	if (rc)
		return rc;
	rc = runs_merge(p, &found);
	runs_release(p->mem, &found);
	return rc;
}

/* Undo resolve_hole() for the holes of [first, end). */
static void drop_holes(struct pages *p, u64 first, u64 end)
{
	u64 hole_last;

	while (first < end && next_hole(p, &first, end - 1, &hole_last)) {
		runs_remove(p, first * PAGE_SIZE, hole_last * PAGE_SIZE + PAGE_SIZE - 1);
		first = hole_last + 1;
	}
}

int pages_pin(struct pages *p, u64 first, u64 last)
{
	u64 pos = first, hole_last, nr = 0, covers = p->areas.nr + p->accesses.nr;
	int rc = 0;

	if (p->revoked)
		return 0;
	while (next_hole(p, &pos, last, &hole_last)) {
		rc = resolve_hole(p, pos, hole_last);
		if (rc)
			goto undo;
		nr += hole_last - pos + 1;
		pos = hole_last + 1;
		if (hole_last == last)
			break;
	}
	pos = last + 1;
	if (covers)
		rc = runs_room(p, p->runs.nr + 2 * (covers + 1));
	if (!rc && nr)
		rc = charge(p, nr);
	if (!rc)
		return 0;
undo:
	drop_holes(p, first, pos);
	return rc;
}

void pages_unpin(struct pages *p, u64 first, u64 last)
{
	u64 hole_last, nr = 0;

	while (next_hole(p, &first, last, &hole_last)) {
		nr += hole_last - first + 1;
		runs_remove(p, first * PAGE_SIZE, hole_last * PAGE_SIZE + PAGE_SIZE - 1);
		if (hole_last == last)
			break;
		first = hole_last + 1;
	}
	uncharge(p, nr);
}

void pages_quiesce(struct pages *p, u64 first, u64 last)
{
	u64 start = first * PAGE_SIZE, end = last * PAGE_SIZE + PAGE_SIZE - 1;

	for (u32 i = runs_find(&p->runs, start); i < p->runs.nr; i++) {
		const struct run *run = &p->runs.v[i];
		u64 from = max(start, run->first), to = min(end, run->first + (run->len - 1));

		if (run->first > end)
			break;
		seg_quiesce(run->seg, OA(run->oa.v + (from - run->first)), to - from + 1);
	}
}

/* ---- copies ---- */

/* The process's memory may go away under us, and another process's is reached by a system call. */
static int run_copy(const struct run *run, u64 byte, void *data, u64 len, bool write)
{
	u64 off = run->oa.v - run->seg->base.v + (byte - run->first);
	struct seg *seg = run->seg;

	if (atomic_load(&seg->dead))
		return -EFAULT;
	if (seg->host)
		return write ? copy_guarded(seg->host + off, data, len) :
			       copy_guarded(data, seg->host + off, len);
	return write ? mm_write(seg->mm, UVA(seg->uva.v + off), data, len) :
		       mm_read(seg->mm, UVA(seg->uva.v + off), data, len);
}

/* Copies of the runs of [first, last] (indices), with references. */
static int runs_dup(struct pages *p, u64 first, u64 last_idx, struct runs *out)
{
	u64 start = first * PAGE_SIZE;
	u64 last = last_idx * PAGE_SIZE + PAGE_SIZE - 1;
	u32 at = runs_find(&p->runs, start), nr = 0;
	struct run *v = &out->one;

	while (at + nr < p->runs.nr && p->runs.v[at + nr].first <= last)
		nr++;
	if (nr > 1 && !(v = env_calloc(p->env, nr, sizeof(*v))))
		return -ENOMEM;
	memcpy(v, &p->runs.v[at], nr * sizeof(*v));
	for (u32 i = 0; i < nr; i++)
		seg_get(v[i].seg);
	out->v = v;
	out->nr = nr;
	out->cap = nr;
	return 0;
}

/*
 * References to the memory of [first, last], pinned or not. It is as short a pin as the call, and not
 * charged; the lock is not held while the bytes move, which may take a system call.
 */
static int rw_runs(struct pages *p, u64 first, u64 last, struct runs *out)
{
	u64 pos = first, hole_last;
	int rc = 0;

	while (!rc && next_hole(p, &pos, last, &hole_last)) {
		rc = resolve_hole(p, pos, hole_last);
		if (!rc)
			pos = hole_last + 1;
		if (hole_last == last)
			break;
	}
	if (!rc) {
		pos = last + 1;
		rc = runs_dup(p, first, last, out);
	}
	drop_holes(p, first, pos);
	return rc;
}

int pages_rw(struct pages *p, u64 start_byte, void *data, u64 len, bool write)
{
	struct runs runs = {0};
	int rc;

	lock_take(&p->lock);
	rc = rw_runs(p, start_byte / PAGE_SIZE, (start_byte + len - 1) / PAGE_SIZE, &runs);
	lock_drop(&p->lock);
	if (rc)
		return rc;
	for (u32 i = runs_find(&runs, start_byte); !rc && len; i++) {
		u64 n = min(len, runs.v[i].first + runs.v[i].len - start_byte);

		rc = run_copy(&runs.v[i], start_byte, data, n, write);
		data = (u8 *)data + n;
		start_byte += n;
		len -= n;
	}
	runs_release(p->mem, &runs);
	return rc == -ESRCH ? -EFAULT : rc;
}

/* ---- CHANGE_PROCESS ---- */

int pages_charge_begin(struct pages *p, struct mm *mm)
{
	int rc = 0;

	lock_take(&p->lock);
	if (!p->next_mm && p->src.mm != mm) {
		if (p->nr_charged)
			rc = mm_charge(mm, p->account, p->nr_charged);
		if (!rc)
			p->next_mm = mm_get(mm);
	}
	lock_drop(&p->lock);
	return rc;
}

void pages_charge_end(struct pages *p, struct mm *mm, bool commit)
{
	struct mm *gone = NULL;

	lock_take(&p->lock);
	if (p->next_mm == mm) {
		gone = commit ? p->src.mm : mm;
		if (p->nr_charged)
			mm_uncharge(gone, p->account, p->nr_charged);
		if (commit)
			p->src.mm = mm;
		p->next_mm = NULL;
	}
	lock_drop(&p->lock);
	if (gone)
		mm_put(gone);
}
