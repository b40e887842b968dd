/* SPDX-License-Identifier: MIT */
/*
 * Fill: areas into page tables and out of them.
 *
 * Out means: no leaf, no cached translation, nobody inside. Only then are pages released. One unmap
 * call costs one flush per HWPT however many areas it removes.
 */
#include "ioas/priv.h"

/*
 * Map one piece; without large pages, in the table's smallest leaves: who turns them off wants to know
 * which page was written, and a table may have leaves below PAGE_SIZE. @done grows by what was mapped.
 */
static int map_piece(struct pt *pt, u64 iova, oa_t oa, u64 len, const struct area *area, u64 *done)
{
	u64 smallest = 1ull << __builtin_ctzll(pt_pgsizes(pt));
	u64 step = area->ioas->no_large_pages ? min(smallest, (u64)PAGE_SIZE) : len;
	u64 mapped;
	int rc = 0;

	for (; !rc && len; len -= step, iova += step, oa.v += step) {
		step = min(step, len);
		mapped = 0;
		rc = pt_map(pt, IOVA(iova), oa, step, area->perm, &mapped);
		*done += rc ? mapped : step;
	}
	return rc;
}

/* Every run of the area into one table. On error @done bytes of the area are mapped. */
static int map_area(struct area *area, struct pages *p, struct domain *domain, u64 *done)
	MUST_HOLD(p->lock)
{
	u64 byte = area->start_byte, left = area_len(area);
	const struct run *run = pages_run(p, byte);
	int rc = 0;

	*done = 0;
	lock_take(&domain->lock);
	for (; !rc && left; run++) {
		u64 off = byte - run->first;
		u64 n = min(left, run->len - off);

		rc = map_piece(&domain->pt, area->node.start + *done, OA(run->oa.v + off), n, area,
			       done);
		TRACE(p->env, pt_map, "%s iova 0x%llx oa 0x%llx len 0x%llx: %d",
		      domain->pt.fmt->name,
		      (unsigned long long)(area->node.start + (byte - area->start_byte)),
		      (unsigned long long)(run->oa.v + off), (unsigned long long)n, rc);
		byte += n;
		left -= n;
	}
	lock_drop(&domain->lock);
	return rc;
}

static void unmap_range(struct domain *domain, u64 start, u64 last, struct pt_gather *g)
{
	lock_take(&domain->lock);
	pt_unmap(&domain->pt, (struct iova_range){start, last}, g);
	lock_drop(&domain->lock);
}

/* Take back the first @done bytes of an area: a device may have used them already. */
static void undo_map(struct area *area, struct domain *domain, u64 done)
{
	struct pt_gather g;

	if (!done)
		return;
	pt_gather_init(&g);
	unmap_range(domain, area->node.start, area->node.start + done - 1, &g);
	iommu_flush(domain, &g);
}

static int track(struct pages *p, struct area *area, struct domain *domain)
{
	struct dmabuf_track *t;

	if (!p->dmabuf)
		return 0;
	t = env_zalloc(p->env, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->domain = domain;
	t->area = area;
	list_push_back(&p->tracks, &t->node);
	return 0;
}

/* @domain NULL: every one of the area. */
static void untrack(struct pages *p, const struct area *area, const struct domain *domain)
{
	struct list *n, *next;

	list_for_each_safe(n, next, &p->tracks) {
		struct dmabuf_track *t = list_entry(n, struct dmabuf_track, node);

		if (t->area != area || (domain && t->domain != domain))
			continue;
		list_del(n);
		env_free(p->env, t);
	}
}

static void insert_cover(struct area *area, struct pages *p)
{
	itree_insert(&p->areas, &area->cover);
	area->filled = true;
}

/* Into every HWPT; on error into none. pages->lock is held, the pages are pinned. */
static int map_all(struct area *area, struct pages *p) MUST_HOLD(p->lock)
{
	struct ioasis_ioas *ioas = area->ioas;
	struct list *n;
	u64 done = 0;
	int rc = 0;

	list_for_each(n, &ioas->hwpts) {
		struct domain *d = list_entry(n, struct hwpt, ioas_node)->domain;

		done = 0;
		rc = track(p, area, d);
		if (!rc && !p->revoked)
			rc = map_area(area, p, d, &done);
		if (rc)
			break;
	}
	if (!rc)
		return 0;
	undo_map(area, list_entry(n, struct hwpt, ioas_node)->domain, done);
	for (n = n->prev; n != &ioas->hwpts; n = n->prev)
		if (!p->revoked)
			undo_map(area, list_entry(n, struct hwpt, ioas_node)->domain,
				 area_len(area));
	untrack(p, area, NULL);
	return rc;
}

int area_fill(struct area *area, struct pages *p)
{
	int rc;

	if (!area->ioas->nr_hwpts)
		return 0;
	lock_take(&p->lock);
	rc = pages_pin(p, area->cover.start, area->cover.last);
	if (rc)
		goto out;
	rc = map_all(area, p);
	if (rc) {
		pages_quiesce(p, area->cover.start, area->cover.last);
		pages_unpin(p, area->cover.start, area->cover.last);
		goto out;
	}
	insert_cover(area, p);
out:
	lock_drop(&p->lock);
	return rc;
}

/* After the flush: nobody may still be inside, then the pins go. */
static void area_release(struct area *area, struct pages *p)
{
	area_wait_inside(area);
	lock_take(&p->lock);
	if (area->filled) {
		pages_quiesce(p, area->cover.start, area->cover.last);
		itree_remove(&p->areas, &area->cover);
		area->filled = false;
		untrack(p, area, NULL);
		pages_unpin(p, area->cover.start, area->cover.last);
	}
	lock_drop(&p->lock);
}

void areas_unfill(struct ioasis_ioas *ioas, struct area *list)
{
	struct pt_gather g;
	struct list *n;

	list_for_each(n, &ioas->hwpts) {
		struct domain *d = list_entry(n, struct hwpt, ioas_node)->domain;

		pt_gather_init(&g);
		lock_take(&d->lock);
		for (struct area *a = list; a; a = a->next)
			if (a->filled)
				pt_unmap(&d->pt, (struct iova_range){a->node.start, a->node.last},
					 &g);
		lock_drop(&d->lock);
		iommu_flush(d, &g);
	}
	for (struct area *a = list; a; a = a->next)
		area_release(a, a->dying);
}

/* ---- a HWPT comes or goes ---- */

static int fill_one(struct area *area, struct domain *domain)
{
	struct pages *p = area->pages;
	u64 first = area->cover.start, last = area->cover.last, done = 0;
	int rc;

	lock_take(&p->lock);
	rc = area->filled ? 0 : pages_pin(p, first, last);
	if (rc)
		goto out;
	rc = track(p, area, domain);
	if (!rc && !p->revoked)
		rc = map_area(area, p, domain, &done);
	if (rc) {
		undo_map(area, domain, done);
		untrack(p, area, domain);
		pages_quiesce(p, first, last);
		pages_unpin(p, first, last);
	} else if (!area->filled) {
		insert_cover(area, p);
	}
out:
	lock_drop(&p->lock);
	return rc;
}

/* Areas before @end out of @domain; the last HWPT of the IOAS takes the pins with it. */
static void unfill_until(struct ioasis_ioas *ioas, struct domain *domain, const struct area *end,
			 bool is_last)
{
	struct area *a;
	struct pt_gather g;

	pt_gather_init(&g);
	for (a = area_first(ioas, 0, UINT64_MAX); a && a != end; a = area_next(a, 0, UINT64_MAX))
		if (a->pages && a->filled)
			unmap_range(domain, a->node.start, a->node.last, &g);
	iommu_flush(domain, &g);
	for (a = area_first(ioas, 0, UINT64_MAX); a && a != end; a = area_next(a, 0, UINT64_MAX)) {
		struct pages *p = a->pages;

		if (!p || !a->filled)
			continue;
		lock_take(&p->lock);
		untrack(p, a, domain);
		pages_quiesce(p, a->cover.start, a->cover.last);
		if (is_last) {
			itree_remove(&p->areas, &a->cover);
			a->filled = false;
			pages_unpin(p, a->cover.start, a->cover.last);
		}
		lock_drop(&p->lock);
	}
}

int ioas_fill_hwpt(struct ioasis_ioas *ioas, struct hwpt *hwpt)
{
	struct area *a;
	int rc = 0;

	for (a = area_first(ioas, 0, UINT64_MAX); a; a = area_next(a, 0, UINT64_MAX)) {
		if (!a->pages)
			continue;
		rc = fill_one(a, hwpt->domain);
		if (rc)
			break;
	}
	if (rc)
		unfill_until(ioas, hwpt->domain, a, !ioas->nr_hwpts);
	return rc;
}

void ioas_unfill_hwpt(struct ioasis_ioas *ioas, struct hwpt *hwpt)
{
	unfill_until(ioas, hwpt->domain, NULL, !ioas->nr_hwpts);
}
