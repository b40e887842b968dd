/* SPDX-License-Identifier: MIT */
/*
 * pt: page tables. The room's one door.
 *
 * Glossary. A *table* is a page of *items*; an *entry* is one item or a contiguous run of items that
 * hold one translation. Level 0 always holds leaves only; the *top* level's table is the root. A *leaf*
 * translates 2^lg2 bytes of IOVA to OA. `last` is inclusive. Vendors' level names appear once, in the
 * head comment of the format's file, with the specification's section.
 *
 * A format is one header in fmt/ of tiny inline functions plus a short .c that instantiates the engine
 * with it: the algorithm (pt/engine.h) is written once and no function pointer is called inside a walk.
 * Each format ends with the list of configurations its tests run.
 *
 * Writers are serialised by the caller (hwpt's table lock). Walkers run at any time: items are read and
 * written whole, a table is filled before it is linked, and one that is unlinked goes to the gather and
 * back to the pool only after the caches dropped it and a grace period passed.
 */
#ifndef IOASIS_SRC_PT_PT_H
#define IOASIS_SRC_PT_PT_H

#include "mem/mem.h"

struct pt;

enum pt_feature {
	PT_FEAT_DIRTY = 1,   /* leaves have a dirty bit that the hardware sets */
	PT_FEAT_DYNAMIC_TOP = 2, /* the root grows a level when an IOVA needs it */
};

struct pt_cfg {
	unsigned va_bits;   /* IOVA width; 0: the format's largest */
	unsigned oa_bits;   /* OA width; 0: the format's largest */
	unsigned top_level; /* 0: what va_bits needs */
	unsigned features;  /* enum pt_feature asked for */
	u64 pgsize_bitmap;  /* leaf sizes the user allows; 0: all of the format's */
};

/*
 * What an unmap leaves for the caller to finish: which IOVA the caches must forget, and the tables that
 * may be freed after they did. Gather over as many calls as you like, flush once.
 */
struct pt_gather {
	u64 start;	 /* start > last: nothing gathered */
	u64 last;
	u8 min_leaf_lg2; /* smallest leaf removed: the stride of an invalidation by address */
	bool tables;	 /* table entries were removed too: paging-structure caches must go */
	void *free;	 /* table pages, linked through their first item as the pool links its own: a
			  * page's address has its low bits clear, so a late walker reads "not present" */
	void *free_last;
	unsigned nr_free;
};

static inline void pt_gather_init(struct pt_gather *g)
{
	*g = (struct pt_gather){.start = UINT64_MAX, .last = 0, .min_leaf_lg2 = 63};
}

static inline bool pt_gather_empty(const struct pt_gather *g)
{
	return g->start > g->last && !g->free;
}

/* Give gathered tables back to the pool: after invalidation and grace period. */
void pt_gather_free(struct mem *mem, struct pt_gather *g);

/* What a walk found. */
struct pt_leaf {
	oa_t oa;	/* of the IOVA asked for */
	u64 last;	/* last IOVA of the leaf (the whole contiguous run) */
	u8 lg2;		/* leaf size */
	u8 level;
	u8 perm;
	bool dirty;	/* the leaf's dirty bit, where the format has one */
	oa_t item;	/* OA of the item that was read (one of the run's): what a person or a test edits */
};

/* One level of a walk, decoded for people. */
struct pt_step {
	u8 level;
	u8 lg2;	   /* bytes an item of this level covers */
	u16 index; /* of the item in its table */
	oa_t item;
	u64 raw;
	bool present;
	bool leaf;
	u8 perm;
	oa_t oa;   /* next table or output */
};

enum pt_dirty_flags {
	PT_DIRTY_NO_CLEAR = 1,
};

/* Called for each dirty run, ascending. */
typedef void (*pt_dirty_fn)(void *arg, u64 iova, u64 len);

struct pt_fmt {
	const char *name;	  /* "vtdss" */
	unsigned max_va_bits, max_oa_bits;
	unsigned item_len;	  /* bytes */
	unsigned granule_lg2;	  /* bytes an item of level 0 covers */
	unsigned features;	  /* enum pt_feature it can grant */
	const struct pt_cfg *test_cfgs; /* what tests/fmt runs */
	unsigned nr_test_cfgs;
	u64 (*pgsizes)(const struct pt *pt);
	int (*init)(struct pt *pt);
	void (*fini)(struct pt *pt); /* frees every table at once: no walker may be inside */
	int (*map)(struct pt *pt, u64 iova, oa_t oa, u64 len, u8 perm, u64 *mapped);
	u64 (*unmap)(struct pt *pt, u64 start, u64 last, struct pt_gather *g);
	oa_t (*iova_to_oa)(const struct pt *pt, u64 iova);
	void (*dirty)(struct pt *pt, u64 start, u64 last, unsigned flags, pt_dirty_fn fn, void *arg,
		      struct pt_gather *g);
	bool (*set_dirty)(struct pt *pt, u64 iova); /* what hardware does on a write; tests too */
	/* The walk hardware makes: from a root OA, reading memory, trusting nothing. -ENOENT: not
	 * present; -EIO: a table that is not in memory; -EINVAL: reserved bits. */
	int (*walk)(const struct mem *mem, oa_t root, unsigned top_level, u64 iova,
		    struct pt_leaf *out);
	/* The same, step by step. Return: steps written, at most @max. */
	unsigned (*steps)(const struct mem *mem, oa_t root, unsigned top_level, u64 iova,
			  struct pt_step *out, unsigned max);
};

struct pt {
	const struct pt_fmt *fmt;
	struct mem *mem;
	struct pt_cfg cfg;	/* as granted */
	void *root;		/* host address of the top table */
	unsigned top_level;
	u64 last_iova;		/* highest IOVA the format and cfg allow */
	_Atomic u64 nr_tables;
	u64 pgsizes;	/* leaf sizes as granted, a bitmap */
	u64 last_oa;	/* highest OA as granted */
	/* Private to pt/. The top for readers that hold no lock: root and level in one word. */
	_Atomic uintptr_t top;
	/* Private to pt/, for writers: the last table used of level 0 and of level 1. */
	struct pt_hot {
		u64 tag; /* iova >> (log2 of the bytes that the table covers); PT_HOT_NONE */
		u64 *table;
		u16 *note; /* of that table in the pool: how many items are present */
	} hot[2];
};

/* The formats there are. A new one adds its file and its line in pt/formats.c. */
extern const struct pt_fmt pt_vtdss, pt_amdv1, pt_amdv1_mock;
extern const struct pt_fmt *const pt_formats[]; /* NULL-terminated */

/**
 * pt_init() - Make an empty table
 * @cfg: what is wanted; what was granted is in pt->cfg
 * Return: 0; -EINVAL the format cannot do it; -EOPNOTSUPP a feature it lacks; -ENOMEM.
 */
int pt_init(struct pt *pt, const struct pt_fmt *fmt, struct mem *mem,
	    const struct pt_cfg *cfg) MUST_CHECK;
void pt_fini(struct pt *pt);

/**
 * pt_map() - Make [iova, iova+len) translate to [oa, oa+len)
 * @len: bytes; iova, oa and len are multiples of the smallest leaf
 * @mapped: bytes done; on error the caller unmaps that much
 *
 * Chooses the largest leaves (and contiguous runs) that alignment and pgsize_bitmap allow.
 * Context: caller serialises writers; allocates tables.
 * Return: 0; -EADDRINUSE something is mapped there; -ERANGE outside va/oa bits; -EINVAL; -ENOMEM.
 */
static inline MUST_CHECK int pt_map(struct pt *pt, iova_t iova, oa_t oa, u64 len, u8 perm, u64 *mapped)
{
	return pt->fmt->map(pt, iova.v, oa, len, perm, mapped);
}

/**
 * pt_unmap() - Remove every leaf in [start, last]; holes are fine; leaves are never split
 * Return: bytes that were mapped and now are not. A leaf that sticks out of the range stays and ends
 * the walk (the caller maps and unmaps the same areas, so that is its bug).
 */
static inline u64 pt_unmap(struct pt *pt, struct iova_range r, struct pt_gather *g)
{
	return pt->fmt->unmap(pt, r.start, r.last, g);
}

/* Return: OA_NONE when nothing is mapped there. */
static inline oa_t pt_iova_to_oa(const struct pt *pt, iova_t iova)
{
	return pt->fmt->iova_to_oa(pt, iova.v);
}

static inline void pt_dirty(struct pt *pt, struct iova_range r, unsigned flags, pt_dirty_fn fn,
			    void *arg, struct pt_gather *g)
{
	pt->fmt->dirty(pt, r.start, r.last, flags, fn, arg, g);
}

static inline u64 pt_pgsizes(const struct pt *pt)
{
	return pt->fmt->pgsizes(pt);
}

/* Direct calls for the hardware models, so that a walk costs one call and no pointer. */
int vtdss_walk(const struct mem *mem, oa_t root, unsigned top_level, u64 iova, struct pt_leaf *out);
int amdv1_walk(const struct mem *mem, oa_t root, unsigned top_level, u64 iova, struct pt_leaf *out);
int amdv1_mock_walk(const struct mem *mem, oa_t root, unsigned top_level, u64 iova,
		    struct pt_leaf *out);
/* Set the dirty bit of the leaf that @leaf found, as hardware does on the first write through it. */
void vtdss_leaf_set_dirty(const struct mem *mem, const struct pt_leaf *leaf);
void amdv1_leaf_set_dirty(const struct mem *mem, const struct pt_leaf *leaf);
void amdv1_mock_leaf_set_dirty(const struct mem *mem, const struct pt_leaf *leaf);

#endif
