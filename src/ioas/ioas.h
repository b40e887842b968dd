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
 * iova.c (allowed, reserved, allocation), attach.c (devices and HWPTs), hwpt.c (HWPT objects),
 * access.c (in-process users), dirty.c, device.c (bound devices).
 *
 * Source: linux drivers/iommu/iommufd/{io_pagetable,pages,device,hw_pagetable}.c for behaviour.
 */
#ifndef IOASIS_SRC_IOAS_IOAS_H
#define IOASIS_SRC_IOAS_IOAS_H

#include "hwpt/hwpt.h"
#include "ioasis/ioas.h"

struct pages;
struct access;

/* A context: what an opened /dev/iommu is. Counted: a VFIO device bound to it keeps it alive. */
struct ioasis_ctx {
	_Atomic u32 refs;
	struct ioasis *ioasis;
	struct env *env;
	struct mem *mem;
	struct obj_table objs;
	enum account_mode account_mode; /* GUARDED_BY(objs.lock): ACCOUNT_USER or ACCOUNT_MM */
	struct lock group_lock;		/* GROUP: attach state of every device of this context */
	struct list node;		/* on the machine's list of contexts */
};

struct ioasis_ioas {
	struct obj obj;
	struct ioasis_ctx *ctx;
	struct rwlock hwpts_lock; /* protects: hwpts; read side: filling one area */
	struct rwlock iova_lock;  /* protects: areas, allowed, reserved, align, accesses */
	struct list hwpts;
	u32 nr_hwpts;
	struct itree areas;    /* of struct area.node */
	struct itree allowed;
	struct itree reserved;
	u64 align;	       /* every IOVA, length and page offset is a multiple of it */
	bool no_large_pages;
	struct list accesses;
};

/* A device bound to a context: OBJ_DEVICE. */
struct bound_dev {
	struct obj obj;
	struct ioasis_ctx *ctx;	 /* a reference */
	struct iommu_dev *idev;
	struct idtab pasids;	 /* GUARDED_BY(ctx->group_lock): hwpt attached, by pasid + 1 */
	bool enforce_coherency;
};

int ctx_new(struct ioasis *ioasis, struct ioasis_ctx **out) MUST_CHECK;
void ctx_get(struct ioasis_ctx *ctx);
void ctx_put(struct ioasis_ctx *ctx); /* the last one closes the table */

/*
 * Bind: the device object is published before return (VFIO's own rollback destroys it).
 * Return: 0; -EBUSY bound elsewhere; -ENOMEM.
 */
int dev_bind(struct ioasis_ctx *ctx, struct iommu_dev *idev, struct bound_dev **out) MUST_CHECK;
void dev_unbind(struct bound_dev *dev); /* detached from everything */

/**
 * dev_attach() - VFIO_DEVICE_ATTACH_IOMMUFD_PT, IOMMU_TEST_OP_MOCK_DOMAIN
 * @inout_pt_id: an IOAS (a HWPT is found or made) or a HWPT; out: the HWPT
 * Return: 0; -ENOENT; -EBUSY already attached; -EINVAL; -EADDRINUSE; -EFAULT; -ENOMEM …
 */
int dev_attach(struct bound_dev *dev, pasid_t pasid, u32 *inout_pt_id) MUST_CHECK;
/* The same for a device that is attached; on error the old attachment stands. */
int dev_replace(struct bound_dev *dev, pasid_t pasid, u32 *inout_pt_id) MUST_CHECK;
void dev_detach(struct bound_dev *dev, pasid_t pasid);

/* What MAP and the C API both become. */
struct map_args {
	struct source src;	/* consumed on success and on error: ioas_map() puts its references */
	u64 start_byte;		/* of the mapping within the source: source starts at a page */
	u64 len;
	u8 perm;
	bool fixed;
	iova_t iova;		/* fixed only */
	enum account_mode account;
};

int ioas_new(struct ioasis_ctx *ctx, struct obj **out) MUST_CHECK; /* reserved, not published */
int ioas_map(struct ioasis_ioas *ioas, struct map_args *args, iova_t *out_iova) MUST_CHECK;
int ioas_unmap(struct ioasis_ioas *ioas, struct iova_range range, u64 *out_unmapped);
int ioas_unmap_all(struct ioasis_ioas *ioas, u64 *out_unmapped);
int ioas_copy(struct ioasis_ioas *dst, struct ioasis_ioas *src, struct iova_range from, u8 perm,
	      bool fixed, iova_t iova, iova_t *out_iova) MUST_CHECK;

#endif
