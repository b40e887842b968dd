/* SPDX-License-Identifier: MIT */
/*
 * ioas: DMA address spaces: areas over pages, their HWPTs, attach/detach/replace, access objects.
 * The room's one door.
 *
 * Words. *pages*: a linear run of memory that one MAP named; several areas share it (COPY). *area*: a
 * closed range of IOVA over a slice of pages. An area is *filled* into each HWPT of the IOAS: its pages
 * are resolved to runs of OA (mem/source.h) and mapped. Pages are pinned, and charged, once per page
 * index however many areas, HWPTs and accesses use it.
 *
 * Files: ctx.c (context), pages.c (pages, pins, charges), area.c (areas: map, unmap, copy),
 * iova.c (allowed, reserved, allocation), fill.c (areas into HWPTs), attach.c (devices and HWPTs),
 * hwpt.c (HWPT objects), access.c (in-process users), dirty.c, device.c (bound devices),
 * dmabuf.c (memory that can be revoked).
 *
 * Checks of *shape* that need no object (unknown flags, reserved fields, ULONG_MAX) are uapi's and come
 * first, as on Linux; everything else, in Linux's order, is here.
 *
 * Source: linux drivers/iommu/iommufd/{io_pagetable,pages,device,hw_pagetable,ioas}.c for behaviour.
 */
#ifndef IOASIS_SRC_IOAS_IOAS_H
#define IOASIS_SRC_IOAS_IOAS_H

#include "hwpt/hwpt.h"
#include "ioasis/ioas.h"

struct access;
struct dmabuf;
struct pages;

/* A context: what an opened /dev/iommu is. Counted: a VFIO device bound to it keeps it alive. */
struct ioasis_ctx {
	_Atomic u32 refs;
	struct ioasis *ioasis;
	struct env *env;
	struct mem *mem;
	struct obj_table objs;
	struct slab pages;		/* of struct pages */
	enum account_mode account_mode; /* GUARDED_BY(objs.lock): ACCOUNT_USER or ACCOUNT_MM */
	struct lock change_lock;	/* RANK_IOAS: one CHANGE_PROCESS at a time */
	struct lock group_lock;		/* RANK_GROUP: attach state of every device of this context */
	struct list node;		/* the machine's: its list of contexts */
	/* The machine's, may be NULL: the last ctx_put() calls it first, to get off that list. */
	void (*gone)(struct ioasis_ctx *ctx);
};

struct ioasis_ioas {
	struct obj obj;
	struct ioasis_ctx *ctx;
	struct lock attach_lock;  /* serialises finding or making the HWPT of an attach */
	struct rwlock hwpts_lock; /* protects: hwpts; read side: areas change */
	struct rwlock iova_lock;  /* protects: areas, allowed, reserved, align, accesses */
	struct list hwpts;	  /* of struct hwpt.ioas_node, by .seq */
	u32 nr_hwpts;
	u64 next_hwpt_seq;
	struct itree areas;    /* of struct area.node */
	struct itree allowed;
	struct itree reserved;
	u64 align;	       /* every IOVA, length and page offset is a multiple of it */
	bool no_large_pages;
	struct list accesses;  /* of struct membership.node, by .seq */
	u64 next_access_seq;
};

/* A device bound to a context: OBJ_DEVICE. */
struct bound_dev {
	struct obj obj;
	struct ioasis_ctx *ctx;	   /* a reference, unless weak */
	struct iommu_dev *idev;
	struct itree attached;	   /* GUARDED_BY(ctx->group_lock): struct attachment, by pasid */
	bool enforce_coherency;
	bool weak;
};

/* ---- contexts (ctx.c) ---- */

/* @ioasis is only remembered. Return: 0; -ENOMEM. */
int ctx_new(struct env *env, struct mem *mem, struct ioasis *ioasis,
	    struct ioasis_ctx **out) MUST_CHECK;
void ctx_get(struct ioasis_ctx *ctx);
void ctx_put(struct ioasis_ctx *ctx); /* the last one closes the table: no request may be inside */

/*
 * IOMMU_OPTION_RLIMIT_MODE. @capable: the caller has CAP_SYS_RESOURCE.
 * Return: 0; -EPERM; -EBUSY the context has objects; -EINVAL @val is neither 0 (per user) nor 1 (per
 * process); in this order.
 */
int ctx_set_rlimit_mode(struct ioasis_ctx *ctx, bool capable, u64 val) MUST_CHECK;
u64 ctx_rlimit_mode(struct ioasis_ctx *ctx);

/*
 * IOMMU_IOAS_CHANGE_PROCESS: what file mappings have charged moves to @mm.
 * Return: 0; -EBUSY a mapping is being built or removed; -EINVAL one is not of a file; -ENOMEM @mm may
 * not lock that much (nothing moved).
 */
int ctx_change_process(struct ioasis_ctx *ctx, struct mm *mm) MUST_CHECK;

/* How many pages objects of the context have the page at @oa pinned (MD_CHECK_REFS). Slow. */
u32 ctx_pin_count(struct ioasis_ctx *ctx, oa_t oa);

/* ---- bound devices (device.c) ---- */

/*
 * Bind: the device object is published before return (VFIO's own rollback unbinds it), and cannot be
 * destroyed by id. dev_bind_weak() takes no reference on the context, for owners that are objects of it.
 * Return: 0; -EINVAL the IOMMU is not coherent; -EBUSY bound elsewhere; -ENOMEM.
 */
int dev_bind(struct ioasis_ctx *ctx, struct iommu_dev *idev, struct bound_dev **out) MUST_CHECK;
int dev_bind_weak(struct ioasis_ctx *ctx, struct iommu_dev *idev,
		  struct bound_dev **out) MUST_CHECK;
void dev_unbind(struct bound_dev *dev); /* detaches what is still attached */

/**
 * dev_attach() - VFIO_DEVICE_ATTACH_IOMMUFD_PT, IOMMU_TEST_OP_MOCK_DOMAIN, PASID_ATTACH
 * @pasid: NO_PASID or 1 and up
 * @inout_pt_id: an IOAS (a HWPT is found or made) or a HWPT; out: the HWPT
 * Return: 0; -ENOENT no such object; -EBUSY already attached (VFIO calls dev_replace() then); -EINVAL
 * another kind of object, a pasid the device or the HWPT cannot do; -EADDRINUSE a mapping or an allowed
 * range lies where the device must not reach or its IOMMU cannot; -EFAULT memory is gone; -ENOMEM.
 */
int dev_attach(struct bound_dev *dev, pasid_t pasid, u32 *inout_pt_id) MUST_CHECK;
/* The same for a device that is attached (-EINVAL: it is not); on error the old attachment stands. */
int dev_replace(struct bound_dev *dev, pasid_t pasid, u32 *inout_pt_id) MUST_CHECK;
/* Harmless when it is not attached. */
void dev_detach(struct bound_dev *dev, pasid_t pasid);
/* Is (dev, pasid) attached, and to which HWPT's id (0: not attached)? PASID_CHECK_HWPT. */
u32 dev_attached_hwpt(struct bound_dev *dev, pasid_t pasid);

#define HW_INFO_MAX 256u
/* IOMMU_GET_HW_INFO. The numbers of .caps are linux/iommufd.h's. */
struct dev_hw_info {
	u32 type;
	u32 len; /* of data: uapi copies min(len, asked) and zeroes the rest */
	u64 caps;
	u8 max_pasid_log2;
	u8 data[HW_INFO_MAX];
};
/* @type: asked for, 0: default. Return: 0; -EOPNOTSUPP. */
int dev_hw_info(struct bound_dev *dev, u32 type, struct dev_hw_info *out) MUST_CHECK;

/* ---- address spaces (ctx.c, iova.c) ---- */

int ioas_new(struct ioasis_ctx *ctx, struct obj **out) MUST_CHECK; /* reserved, not published */

/*
 * IOMMU_IOAS_IOVA_RANGES: the holes between reserved ranges, ascending, at most @max of them.
 * Return: how many there are; ask with max 0 first.
 */
u32 ioas_iova_ranges(struct ioasis_ioas *ioas, struct iova_range *out, u32 max, u64 *out_align);

/* IOMMU_IOAS_ALLOW_IOVAS: fill a set, range by range, then put it in place. */
struct allowed_set {
	struct env *env;
	struct itree ranges;
};
void allowed_init(struct allowed_set *set, struct env *env);
void allowed_fini(struct allowed_set *set);
/* Return: 0; -EINVAL start >= last, or it overlaps one of the set; -ENOMEM. */
int allowed_add(struct allowed_set *set, struct iova_range r) MUST_CHECK;
/* Takes the set's ranges and leaves the old ones in it. Return: 0; -EADDRINUSE one is reserved. */
int ioas_allow_iovas(struct ioasis_ioas *ioas, struct allowed_set *set) MUST_CHECK;

/* IOMMU_TEST_OP_ADD_RESERVED. Return: 0; -EADDRINUSE mapped or allowed; -ENOMEM. */
int ioas_add_reserved(struct ioasis_ioas *ioas, struct iova_range r) MUST_CHECK;

/* IOMMU_OPTION_HUGE_PAGES. Return: 0; -EINVAL off while a HWPT has mappings; -EADDRINUSE. */
int ioas_set_huge_pages(struct ioasis_ioas *ioas, bool on) MUST_CHECK;
bool ioas_huge_pages(struct ioasis_ioas *ioas);

/* ---- mappings (area.c) ---- */

/* What MAP, MAP_FILE and the C API become. */
struct map_args {
	struct source src;	/* consumed on success and on error: ioas_map() puts its references */
	struct dmabuf *dmabuf;	/* SOURCE_TOKEN: the token, a reference, consumed; src has .mm and .offset */
	u64 start_byte;		/* of the mapping within its first page: < PAGE_SIZE, the source's
				 * uva, host and offset are page aligned */
	u64 len;
	u8 perm;
	bool fixed;
	iova_t iova;		/* fixed only */
	enum account_mode account; /* ACCOUNT_NONE with CAP_IPC_LOCK, else ACCOUNT_USER; the context's
				    * mode turns that into ACCOUNT_MM; tokens are never charged */
};

/**
 * ioas_map() - IOMMU_IOAS_MAP, IOMMU_IOAS_MAP_FILE
 *
 * MAP_FILE's caller has checked, before it looked up the descriptor: length 0 -EINVAL; start + length
 * past 2^64 -EOVERFLOW.
 * Return: 0; -EOVERFLOW; -EINVAL; -EEXIST; -ENOSPC; -ENODEV revoked; -EFAULT; -EPERM; -ENOMEM.
 */
int ioas_map(struct ioasis_ioas *ioas, struct map_args *args, iova_t *out_iova) MUST_CHECK;

/*
 * Remove the areas inside @range. @out_unmapped (may be NULL) is set on every return: an error may come
 * after some were removed. Nothing there is success with 0 bytes: IOMMU_IOAS_UNMAP makes that -ENOENT.
 * Return: 0; -ENOENT an area sticks out; -EBUSY one is being built; -EDEADLK an access does not let go.
 */
int ioas_unmap(struct ioasis_ioas *ioas, struct iova_range range, u64 *out_unmapped);
int ioas_unmap_all(struct ioasis_ioas *ioas, u64 *out_unmapped);

/*
 * IOMMU_IOAS_COPY in Linux's two steps, because the destination is looked up between them:
 * hold what lies at the source (-EINVAL, -EOVERFLOW, -ENOENT, -ENOMEM), then map it.
 * copy_fini() is due after copy_from() succeeded, whatever followed.
 */
struct copy_piece {
	struct pages *pages; /* a reference */
	struct area *area;   /* what it becomes */
	u64 start_byte;
	u64 len;
};
struct copy_src {
	struct env *env;
	u64 len;
	u32 nr;
	struct copy_piece *v; /* points at .one while one is enough */
	struct copy_piece one;
};
int copy_from(struct ioasis_ioas *src, u64 iova, u64 len, struct copy_src *out) MUST_CHECK;
int copy_to(struct ioasis_ioas *dst, struct copy_src *src, u8 perm, bool fixed, iova_t iova,
	    iova_t *out_iova) MUST_CHECK;
void copy_fini(struct copy_src *src);

/* ---- HWPTs (hwpt.c, dirty.c) ---- */

struct hwpt_args {
	u32 pt_id;   /* an IOAS, or a HWPT to nest in */
	u32 flags;   /* enum hwpt_flags (hwpt/hwpt.h) */
	u32 fault_id;
	bool auto_made; /* ioas/ only: by an attach, which holds it until it is published */
	const struct driver_data *data; /* NULL: data_len is 0 */
};
/**
 * hwpt_alloc() - IOMMU_HWPT_ALLOC, after the device was looked up
 * @out: reserved and filled, not published: publish or obj_abort_filled()
 * Return: 0; -EINVAL no such pt_id or another kind; -EOPNOTSUPP; -EADDRINUSE; -ENOENT no such fault
 * object; -EFAULT; -ENOMEM.
 */
int hwpt_alloc(struct bound_dev *dev, const struct hwpt_args *args, struct obj **out) MUST_CHECK;

/* What translates @iova: OA_NONE when nothing does (MD_CHECK_MAP). */
oa_t hwpt_iova_to_oa(struct hwpt *hwpt, iova_t iova);

/* IOMMU_HWPT_SET_DIRTY_TRACKING. Return: 0; -EOPNOTSUPP. */
int hwpt_set_dirty_tracking(struct hwpt *hwpt, bool on) MUST_CHECK;

struct dirty_args {
	u64 iova, len, page_size;
	bool no_clear;
	/*
	 * Bits [first, first + nr) of the caller's bitmap: OR those set in @words into it (bit 0 of word 0
	 * is @first, a multiple of 64). Called ascending, without locks, for stretches with a bit set.
	 * Return: 0; an error ends the walk and is what hwpt_get_dirty_bitmap() returns.
	 */
	int (*put)(void *arg, u64 first, const u64 *words, u64 nr);
	void *arg;
};
/* IOMMU_HWPT_GET_DIRTY_BITMAP. Return: 0; -EOVERFLOW; -EINVAL; -EOPNOTSUPP; -ENOMEM; put()'s. */
int hwpt_get_dirty_bitmap(struct hwpt *hwpt, const struct dirty_args *args) MUST_CHECK;
/* Is tracking possible (allocated with DIRTY_TRACKING)? / What hardware does on a write: test op. */
bool hwpt_can_dirty(const struct hwpt *hwpt);
void hwpt_set_dirty(struct hwpt *hwpt, iova_t iova);

/* ---- access objects: users inside this process (access.c) ---- */

struct access_ops {
	bool needs_pin_pages; /* whole pages only: aligns the IOAS to PAGE_SIZE */
	/*
	 * Let go of everything pinned in [iova, iova + len): access_unpin_pages() from inside it. Called
	 * without locks of this room; must not wait for an access_destroy() of the same access.
	 */
	void (*unmap)(void *data, u64 iova, u64 len);
};
enum access_flags {
	ACCESS_WRITE = 1,
	ACCESS_SLOW = 2, /* through the pinned pages even where the process's address would do */
};
/* A page that stays where it is until it is unpinned. */
struct pinned_page {
	struct seg *seg;
	oa_t oa;
};

/* Published at once; holds the context. Return: 0; -ENOMEM. */
int access_new(struct ioasis_ctx *ctx, const struct access_ops *ops, void *data,
	       struct access **out) MUST_CHECK;
void access_destroy(struct access *access); /* nothing is pinned; waits for a running unmap() */
u32 access_id(const struct access *access);
/* Return: 0; -EINVAL attached already; -ENOENT; -EADDRINUSE an area is not aligned; -EBUSY. */
int access_attach(struct access *access, u32 ioas_id) MUST_CHECK;
/* Return: as attach; -ENOENT also when not attached. On error the old IOAS stays. */
int access_replace(struct access *access, u32 ioas_id) MUST_CHECK;
void access_detach(struct access *access);
/*
 * @out: one per page the range touches. @flags: ACCESS_WRITE.
 * Return: 0; -EINVAL; -EOVERFLOW; -ENOENT; -EPERM; -EFAULT; -ENOMEM. Nothing stays pinned on error.
 */
int access_pin_pages(struct access *access, u64 iova, u64 len, struct pinned_page *out,
		     unsigned flags) MUST_CHECK;
void access_unpin_pages(struct access *access, u64 iova, u64 len); /* exactly as pinned */
int access_rw(struct access *access, u64 iova, void *data, size_t len, unsigned flags) MUST_CHECK;

/* ---- dma-buf tokens (dmabuf.c) ---- */

/*
 * Memory that its exporter can take away: zeroed, ours, a SEG_TOKEN segment. What was mapped when it is
 * revoked leaves every HWPT before dmabuf_revoke() returns and never comes back by itself; while it is
 * revoked MAP_FILE is -ENODEV.
 */
int dmabuf_new(struct env *env, struct mem *mem, u64 len, struct dmabuf **out) MUST_CHECK;
struct dmabuf *dmabuf_get(struct dmabuf *d);
void dmabuf_put(struct dmabuf *d);
void dmabuf_revoke(struct dmabuf *d, bool revoked);
u8 *dmabuf_host(struct dmabuf *d);
u64 dmabuf_len(const struct dmabuf *d);

#endif
