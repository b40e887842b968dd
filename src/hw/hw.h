/* SPDX-License-Identifier: MIT */
/*
 * hw: IOMMU hardware models. The room's one door.
 *
 * A model is the IOMMU: it reads tables from memory in the hardware's own layout, consumes a command
 * queue, caches translations and records faults. Software (src/iommu) programs it only through
 * registers, tables in memory and commands, as a kernel's driver does; forgetting an invalidation
 * really matters. Out of reset a model blocks every DMA; translation never falls through to identity.
 *
 * A device is behind a model through a *port*: its requester id and its translation caches. Every
 * function that translates is called inside an epoch of scope "any".
 */
#ifndef IOASIS_SRC_HW_HW_H
#define IOASIS_SRC_HW_HW_H

#include "mem/mem.h"
#include "pt/pt.h"

/* Why a translation was refused, in the field's common words; .code has the model's own number. */
enum xlate_reason {
	XLATE_BLOCKED,	   /* no translation is set up for this requester */
	XLATE_NOT_PRESENT, /* no leaf at the address */
	XLATE_PERM,	   /* a leaf, but not for this access */
	XLATE_RANGE,	   /* beyond what the tables can address */
	XLATE_BAD_TABLE,   /* a table or entry that is not in memory, or with reserved bits set */
	XLATE_NO_MEMORY,   /* a leaf, but nothing behind its OA (or memory that died) */
	XLATE_NO_DEVICE,   /* the IOMMU or the device is gone */
};
const char *xlate_reason_name(enum xlate_reason r);

struct xlate_fault {
	rid_t rid;
	pasid_t pasid;
	iova_t iova;
	u8 perm; /* asked for */
	enum xlate_reason reason;
	u32 code; /* VT-d: fault reason; mock: 0 */
};

/* What a translation yields: valid until the epoch is left. */
struct xlate_res {
	oa_t oa;	 /* of the IOVA asked for */
	u64 last;	 /* last IOVA that continues contiguously with the same rights */
	u8 *host;	 /* of the IOVA asked for; NULL: remote memory, go through seg */
	struct seg *seg;
	u8 perm;
};

struct hw_iommu;
struct hw_port;

struct hw_ops {
	const char *name;
	/* One uncached translation. Return: 0 and *res, or -EFAULT and *fault (not yet recorded). */
	int (*walk)(struct hw_iommu *hw, struct hw_port *port, pasid_t pasid, iova_t iova,
		    enum perm perm, struct xlate_res *res, struct xlate_fault *fault);
	/* Latch a fault as the hardware does and raise the interrupt. */
	void (*record)(struct hw_iommu *hw, const struct xlate_fault *fault);
	u64 (*reg_read)(struct hw_iommu *hw, u32 off, unsigned len);
	void (*reg_write)(struct hw_iommu *hw, u32 off, u64 value, unsigned len);
	void (*reset)(struct hw_iommu *hw);
	void (*free)(struct hw_iommu *hw);
	/* Each table and level of one translation, decoded, for `ioasis walk`; then what is cached. */
	void (*explain)(struct hw_iommu *hw, rid_t rid, pasid_t pasid, iova_t iova, json_t *out);
	/* Registers and caches, for `ioasis show`. */
	void (*describe)(struct hw_iommu *hw, json_t *out);
};

/*
 * Generations: a cached translation carries the generation of its IOVA bucket and is stale once that
 * moved. Invalidating a range moves the buckets it covers, at once, for every port, whatever their
 * number; what lies in other buckets stays cached.
 */
#define IOTLB_BUCKETS 1024u

struct hw_iommu {
	const struct hw_ops *ops;
	struct env *env;
	struct mem *mem;
	/* The interrupt line, set by the driver; called with no lock held. */
	void (*irq)(void *arg);
	void *irq_arg;
	_Atomic u64 gen_all;		     /* everything */
	_Atomic u64 gen[IOTLB_BUCKETS];	     /* by hash of (domain id, IOVA >> 21) */
	_Atomic u64 nr_hits, nr_walks, nr_faults;
	struct lock lock;		     /* RANK_HW: registers and queue consumption */
	struct list ports;		     /* GUARDED_BY(lock) */
};

/* One cached translation. Filled and read without locks: seq is odd while it is written. */
struct iotlb_entry {
	_Atomic u32 seq;
	u32 pasid;
	u32 did; /* domain id, as the hardware tags it */
	u8 perm;
	u8 lg2;	 /* the leaf's size */
	u64 start, last;
	u64 gen, gen_all, gen_mem;
	u64 oa;	   /* of start */
	u8 *host;  /* of start; NULL: remote */
	struct seg *seg;
};

#define IOTLB_WAYS_LG2 6 /* entries per port: 64, direct mapped by page, plus the last one used */

struct hw_port {
	struct hw_iommu *hw;
	rid_t rid;
	struct list node;
	_Atomic bool gone; /* device removed: every DMA faults with XLATE_NO_DEVICE */
	struct iotlb_entry tlb[1u << IOTLB_WAYS_LG2];
};

void hw_port_init(struct hw_port *port, struct hw_iommu *hw, rid_t rid);
void hw_port_fini(struct hw_port *port);

/*
 * Translate one access: caches first, then tables. On refusal the fault has been recorded.
 * Context: inside an epoch (any). Return: 0 and *res; -EFAULT and *fault (which may be NULL).
 */
int hw_xlate(struct hw_port *port, pasid_t pasid, iova_t iova, enum perm perm,
	     struct xlate_res *res, struct xlate_fault *fault);

/* Models. The driver owns what they return and frees it with ops->free. */
struct hw_vtd_cfg {
	unsigned aw_bits; /* 39 or 48 */
};
int hw_vtd_new(struct env *env, struct mem *mem, const struct hw_vtd_cfg *cfg,
	       struct hw_iommu **out) MUST_CHECK;
int hw_mock_new(struct env *env, struct mem *mem, struct hw_iommu **out) MUST_CHECK;

/* The register maps, shared with the drivers: facts of the hardware, one header per model. */
#include "hw/vtd_regs.h"
#include "hw/mock_regs.h"

#endif
