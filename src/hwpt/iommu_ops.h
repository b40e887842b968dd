/* SPDX-License-Identifier: MIT */
/*
 * What a driver of an IOMMU offers to the objects above it. Implemented in src/iommu, one file
 * each.
 */
#ifndef IOASIS_SRC_HWPT_IOMMU_OPS_H
#define IOASIS_SRC_HWPT_IOMMU_OPS_H

#include "event/event.h"
#include "hw/hw.h"
#include "pt/pt.h"

struct iommu;
struct iommu_dev;
struct domain;
struct ioasis_ctx;

enum iommu_cap {
	IOMMU_CAP_CACHE_COHERENCY,
	IOMMU_CAP_ENFORCE_COHERENCY,
	IOMMU_CAP_DIRTY_TRACKING,
};

/*
 * Driver data of a request (HWPT_ALLOC's data_uptr): copied by uapi, on demand, once.
 * copy(): the bytes into @to as linux's iommu_copy_struct_from_user() does: -EINVAL wrong type or
 * shorter than @min_len; -E2BIG a non-zero tail; -EFAULT.
 */
struct driver_data {
	u32 type;
	u32 len;
	int (*copy)(const struct driver_data *d, u32 type, void *to, size_t len, size_t min_len);
	void *arg;
};

/* A range DMA must not be mapped over. */
struct resv_region {
	struct iova_range range;
	bool msi;
	bool relaxable;
};

struct iommu_ops {
	const char *name;
	void (*free)(struct iommu *iommu);
	/* A device appears behind the IOMMU (its DMA blocked) / leaves it. */
	int (*dev_add)(struct iommu *iommu, struct iommu_dev *dev);
	void (*dev_remove)(struct iommu *iommu, struct iommu_dev *dev);
	bool (*capable)(const struct iommu_dev *dev, enum iommu_cap cap);
	/* Ranges DMA of the device must not be mapped over: at most @max into @out. Return: how
	 * many. NULL: none. */
	unsigned (*resv_regions)(const struct iommu_dev *dev, struct resv_region *out,
				 unsigned max);
	/* IOMMU_GET_HW_INFO: *type in: asked for (0: default), out: what it is; *len in: room, out:
	 * true length. -EOPNOTSUPP for a type it is not. NULL: no information (type 0, length 0).
	 */
	int (*hw_info)(const struct iommu_dev *dev, u32 *type, void *out, u32 *len);
	/* HWPT_ALLOC of a paging table. flags: IOMMU_HWPT_ALLOC_*; -EOPNOTSUPP for those it lacks.
	 */
	int (*domain_alloc)(struct iommu_dev *dev, u32 flags, const struct driver_data *data,
			    struct domain **out);
	void (*domain_free)(struct domain *domain); /* attached to nothing */
	/* Point (dev, pasid) at @domain; NULL: block. The old one's cached translations are gone
	 * when it returns. On error nothing changed. Blocking cannot fail. */
	int (*attach)(struct iommu_dev *dev, pasid_t pasid, struct domain *domain,
		      struct domain *old);
	/* Tell the hardware to forget what @g gathered; returns when it has. */
	void (*flush)(struct domain *domain, const struct pt_gather *g);
	/* NULL: no dirty tracking. */
	int (*set_dirty_tracking)(struct domain *domain, bool enable);
};

struct iommu {
	const struct iommu_ops *ops;
	struct env *env;
	struct mem *mem;
	struct hw_iommu *hw;
	struct fault_log *log;
	char name[16]; /* "dmar0": its entry in class/iommu */
};

/* The physical side of a device: what its port and its IOMMU know. Outlives every object of it. */
struct iommu_dev {
	struct iommu *iommu;
	struct hw_port port;
	rid_t rid;
	char name[32]; /* "0000:01:00.0" */
	u8 pasid_bits; /* 0: no PASID */
	u32 quirks;    /* the mock machine's device flags */
	struct group *group;
	_Atomic(struct ioasis_ctx *) owner; /* whom it is bound to; NULL: nobody */
	void *priv;			    /* its driver's */
};

/* A page table as a driver sees it. Embedded in the driver's own struct. */
struct domain {
	struct iommu *iommu;
	struct lock lock; /* RANK_TABLE: writers of pt */
	struct pt pt;
	struct iova_range aperture;
	u64 pgsize_bitmap; /* leaf sizes users may rely on */
	bool can_dirty;	   /* allocated with DIRTY_TRACKING */
	_Atomic bool dirty_on;
	bool cache_coherent;	 /* coherency is enforced */
	_Atomic u32 nr_attached; /* counted by attach(); falls after the grace period of a detach */
};

/*
 * For drivers: make and unmake the part that is common. aperture and pgsize_bitmap are what the
 * table can do; a driver narrows them afterwards. Return: as pt_init().
 */
int domain_init(struct domain *domain, struct iommu *iommu, const struct pt_fmt *fmt,
		const struct pt_cfg *cfg) MUST_CHECK;
void domain_fini(struct domain *domain); /* attached to nothing */

#endif
