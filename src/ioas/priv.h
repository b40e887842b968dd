/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share and no other room sees.
 *
 * Who protects what
 *   ioas->hwpts_lock   read: an area's pages may be NULL; write: HWPTs come and go, every area with
 *                      pages is filled into every HWPT
 *   ioas->iova_lock    area.node, area.pages, prevent_access
 *   pages->lock        pins and charges, area.cover, area.filled, area.nr_accesses (writers hold
 *                      iova_lock for reading too)
 * Lock order: attach_lock, group_lock, hwpts_lock, iova_lock, pages->lock, dmabuf->lock, table.
 *
 * An area whose pages are NULL is being built, or being removed, by the thread that holds hwpts_lock
 * for reading; its IOVA is taken, and everybody else leaves it alone.
 */
#ifndef IOASIS_SRC_IOAS_PRIV_H
#define IOASIS_SRC_IOAS_PRIV_H

#include "ioas/ioas.h"

struct area {
	struct itree_node node;	 /* IOVA */
	struct itree_node cover; /* page indices: on pages->areas while filled */
	struct ioasis_ioas *ioas;
	struct pages *pages; /* a reference; NULL: being built or removed */
	struct pages *dying; /* what pages was, for the thread that removes it */
	struct area *next;   /* that thread's list */
	u64 start_byte;	     /* of the area within pages */
	u8 perm;
	bool inserted;	     /* node is on ioas->areas */
	bool embedded;	     /* in struct pages: freed with it */
	bool prevent_access; /* an unmap waits for the accesses: no new ones */
	bool filled;	     /* pinned for, and mapped in, every HWPT */
	u32 nr_accesses;
	_Atomic u32 inside; /* copies that go on without locks: an unmap waits for them */
};

/* Pages that an access pinned. Exactly equal ranges share one. */
struct pages_access {
	struct itree_node node; /* page indices: on pages->accesses */
	u32 users;
};

/* A domain that must lose an area when its dma-buf is revoked. */
struct dmabuf_track {
	struct list node; /* on pages->tracks */
	struct domain *domain;
	struct area *area;
};

/*
 * A page index is pinned exactly while some node of .areas or .accesses covers it; then, and only
 * then, .runs has its OA and it is charged. .runs is sorted and may have holes.
 */
struct pages {
	_Atomic u32 refs;
	struct lock lock;
	struct env *env;
	struct mem *mem;
	struct source src;
	u64 nr_pages;
	enum account_mode account;
	bool revoked; /* dma-buf taken away: pinned without runs */
	struct runs runs;
	struct itree areas;    /* of struct area.cover */
	struct itree accesses; /* of struct pages_access.node */
	u64 nr_charged;	       /* pages, to src.mm (and to next_mm) */
	struct mm *next_mm;    /* CHANGE_PROCESS is moving the charge */
	struct dmabuf *dmabuf; /* a reference */
	struct list dmabuf_node;
	struct list tracks;
	struct slab *slab; /* the context's, which outlives it */
	/* Saves an allocation: the area of the MAP that made the pages. A look-up's step is one line. */
	alignas(CACHELINE) struct area first;
};

struct attachment {
	struct itree_node node; /* pasid */
	struct hwpt *hwpt;	/* held */
};

struct reserved {
	struct itree_node node;
	const void *owner; /* a domain, a bound_dev; NULL: a test's */
};

struct access {
	struct obj obj;
	struct ioasis_ctx *ctx; /* a reference */
	const struct access_ops *ops;
	void *data;
	u64 align;
	struct lock lock;	  /* RANK_ACCESS: ioas, unpin_ioas */
	struct ioasis_ioas *ioas; /* held; NULL while it changes */
	struct ioasis_ioas *unpin_ioas;
	struct membership *member; /* of unpin_ioas */
};

/* An access is in two IOAS while it moves from one to the other. */
struct membership {
	struct list node; /* on ioas->accesses, by .seq */
	struct access *access;
	u64 seq;
};

static inline u64 area_len(const struct area *a)
{
	return a->node.last - a->node.start + 1;
}

/* The byte of the pages that @iova, inside the area, is. */
static inline u64 area_byte(const struct area *a, u64 iova)
{
	return iova - a->node.start + a->start_byte;
}

static inline struct area *to_area(struct itree_node *n)
{
	return n ? container_of(n, struct area, node) : NULL;
}

static inline struct area *area_first(const struct ioasis_ioas *ioas, u64 start, u64 last)
{
	return to_area(itree_first(&ioas->areas, start, last));
}

static inline struct area *area_next(const struct area *a, u64 start, u64 last)
{
	return to_area(itree_next(&a->node, start, last));
}

static inline struct ioasis_ioas *to_ioas(struct obj *obj)
{
	return container_of(obj, struct ioasis_ioas, obj);
}

static inline struct hwpt *to_hwpt(struct obj *obj)
{
	return container_of(obj, struct hwpt, obj);
}

/* Areas that follow each other without a gap. After the loop ask contig_done(). */
struct contig {
	u64 cur, last;
	struct area *area;
};
struct area *contig_first(struct contig *it, const struct ioasis_ioas *ioas, u64 iova, u64 last)
	MUST_HOLD_READ(ioas->iova_lock);
struct area *contig_next(struct contig *it);
static inline bool contig_done(const struct contig *it)
{
	return it->area && it->last <= it->area->node.last;
}
static inline u64 contig_last(const struct contig *it)
{
	return min(it->last, it->area->node.last);
}

/* pages.c */
int pages_new(struct ioasis_ioas *ioas, struct map_args *args, struct pages **out) MUST_CHECK;
struct pages *pages_get(struct pages *p);
void pages_put(struct pages *p);
/* Make [first, last] pinned and charged. The caller then inserts its node, or calls pages_unpin(). */
int pages_pin(struct pages *p, u64 first, u64 last) MUST_HOLD(p->lock) MUST_CHECK;
/* Release what no node covers. */
void pages_unpin(struct pages *p, u64 first, u64 last) MUST_HOLD(p->lock);
/* Wait for the uses of [first, last] that began before now. */
void pages_quiesce(struct pages *p, u64 first, u64 last) MUST_HOLD(p->lock);
/* The run with @byte of the pages, or NULL; the runs after it are behind it in memory. */
const struct run *pages_run(const struct pages *p, u64 byte) MUST_HOLD(p->lock);
/* Copy through the pinned pages, pinning for the moment what is not. */
int pages_rw(struct pages *p, u64 start_byte, void *data, u64 len, bool write) MUST_CHECK;
/* Move the charge, in two steps. */
int pages_charge_begin(struct pages *p, struct mm *mm) MUST_CHECK;
void pages_charge_end(struct pages *p, struct mm *mm, bool commit);
void source_fini(struct mem *mem, struct source *src);

/* fill.c */
int area_fill(struct area *area, struct pages *p) MUST_CHECK; /* hwpts_lock read */
/* Areas whose .dying is set: out of every HWPT, one flush each; then unpinned. hwpts_lock read. */
void areas_unfill(struct ioasis_ioas *ioas, struct area *list);
int ioas_fill_hwpt(struct ioasis_ioas *ioas, struct hwpt *hwpt) MUST_CHECK; /* both locks for writing */
void ioas_unfill_hwpt(struct ioasis_ioas *ioas, struct hwpt *hwpt);

/* iova.c */
int iova_alloc(struct ioasis_ioas *ioas, u64 hint, u64 len, u64 *out) MUST_CHECK;
int iova_check(struct ioasis_ioas *ioas, u64 iova, u64 len) MUST_CHECK;
int iova_reserve(struct ioasis_ioas *ioas, struct iova_range r, const void *owner) MUST_CHECK;
void iova_unreserve(struct ioasis_ioas *ioas, const void *owner);
int iova_check_align(struct ioasis_ioas *ioas, u64 align) MUST_CHECK;
int iova_update_align(struct ioasis_ioas *ioas) MUST_CHECK;
void iova_fini(struct ioasis_ioas *ioas);

/* ctx.c */
void remove_owned(struct obj *obj);

/* hwpt.c */
extern const struct obj_ops hwpt_obj_ops, ioas_obj_ops, dev_obj_ops, access_obj_ops;
/* attach_lock is held. @attach: attach @dev to it before it is filled. */
int hwpt_new(struct bound_dev *dev, struct ioasis_ioas *ioas, const struct hwpt_args *args,
	     const pasid_t *attach, struct hwpt **out) MUST_CHECK;
/* Stop using a HWPT that was held: an automatic one goes with its last user. */
void hwpt_drop(struct hwpt *hwpt);

/* attach.c */
int hwpt_attach(struct hwpt *hwpt, struct bound_dev *dev, pasid_t pasid) MUST_CHECK;

/* access.c: ask every access of the IOAS to let go */
void access_notify_unmap(struct ioasis_ioas *ioas, u64 iova, u64 len);

/* area.c: wait until nobody is inside / leave, waking the one who waits. */
void area_wait_inside(struct area *area);
void area_leave(struct area *area);

/* dmabuf.c */
int dmabuf_join(struct dmabuf *d, struct pages *p) MUST_CHECK;
void dmabuf_leave(struct dmabuf *d, struct pages *p);
struct seg *dmabuf_seg(struct dmabuf *d);

#endif
