/* SPDX-License-Identifier: MIT */
/*
 * hw: IOMMU hardware models. The room's one door.
 *
 * A model is the IOMMU: it reads tables from memory in the hardware's own layout, consumes a
 * command queue, caches translations and records faults. Software (src/iommu) programs it only
 * through registers, tables in memory and commands, as a kernel's driver does; forgetting an
 * invalidation really matters. Out of reset a model blocks every DMA; translation never falls
 * through to identity.
 *
 * A device is behind a model through a *port*: its requester id and its caches. Every function that
 * translates is called inside an epoch of scope "any".
 *
 * A request goes: context (what the tables say about RID and PASID: domain id and root; cached in
 * the port) -> IOTLB entry -> walk of the page tables. Each cache is used until a command drops it.
 *
 * Files: port.c (ports, contexts, misses), iotlb.c (filling, invalidating), vtd*.c, mock*.c
 * (models).
 */
#ifndef IOASIS_SRC_HW_HW_H
#define IOASIS_SRC_HW_HW_H

#include "hw/iotlb.h"
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
	XLATE_REASON_NR,
};
const char *xlate_reason_name(enum xlate_reason r);

struct xlate_fault {
	rid_t rid;
	pasid_t pasid;
	iova_t iova;
	u8 perm; /* asked for */
	enum xlate_reason reason;
	u32 code;   /* VT-d: fault reason; mock: 0 */
	bool quiet; /* the tables ask that it is not recorded (VT-d: FPD) */
};

/* What a translation yields: valid until the epoch is left. */
struct xlate_res {
	oa_t oa;  /* of the IOVA asked for */
	u64 last; /* last IOVA that continues contiguously with the same rights */
	u8 *host; /* of the IOVA asked for; NULL: remote memory, go through seg */
	struct seg *seg;
	u8 perm;
};

/* What the tables say about one (RID, PASID). */
enum hw_context_flags {
	HW_CONTEXT_DIRTY = 1, /* maintain dirty bits */
	HW_CONTEXT_QUIET = 2, /* do not record its faults */
};
struct hw_context {
	u32 did;
	u8 top_level;
	u8 flags;
	oa_t root;
	u64 last; /* highest IOVA it can translate */
};

struct hw_iommu;
struct hw_port;

struct hw_ops {
	const char *name;
	/* Read the tables. Return: 0 and *out; -EFAULT and .reason, .code, .quiet of *fault. */
	int (*context)(struct hw_iommu *hw, rid_t rid, pasid_t pasid, struct hw_context *out,
		       struct xlate_fault *fault);
	/* One uncached translation, permission checked, dirty bit set. out->perm is what may be
	 * cached. Return: 0; -EFAULT and .reason, .code of *fault. */
	int (*walk)(struct hw_iommu *hw, const struct hw_context *ctx, iova_t iova, enum perm perm,
		    struct pt_leaf *out, struct xlate_fault *fault);
	/* Latch a fault as the hardware does and raise the interrupt. */
	void (*record)(struct hw_iommu *hw, const struct xlate_fault *fault);
	u64 (*reg_read)(struct hw_iommu *hw, u32 off, unsigned len);
	void (*reg_write)(struct hw_iommu *hw, u32 off, u64 value, unsigned len);
	void (*reset)(struct hw_iommu *hw);
	void (*free)(struct hw_iommu *hw); /* every port is gone */
	/* Each table and level of one translation, decoded, for `ioasis walk`; then what is cached.
	 * Inside an epoch (any). */
	void (*explain)(struct hw_iommu *hw, rid_t rid, pasid_t pasid, iova_t iova, json_t *out);
	/* Registers and caches, for `ioasis show`. */
	void (*describe)(struct hw_iommu *hw, json_t *out);
};

struct hw_iommu {
	const struct hw_ops *ops;
	struct env *env;
	struct mem *mem;
	/* The interrupt line, set by the driver; called with no lock of hw held. */
	void (*irq)(void *arg);
	void *irq_arg;
	struct lock lock;	/* RANK_HW: registers and queue consumption */
	struct list ports;	/* GUARDED_BY(lock) */
	struct iova_range hole; /* never translated, whatever the tables say; start > last: none */
	_Atomic u64 nr_faults;
	struct iotlb_gens gens;
};

#define HW_PORT_CONTEXTS 16u

/* One cached context; by PASID. Written under hw->lock, read without: seq is odd meanwhile. */
struct hw_context_slot {
	_Atomic u64 tag; /* iotlb_tag(), 0: empty */
	_Atomic u64 root, last;
	_Atomic u32 seq;
	_Atomic u32 bits; /* top_level << 8 | flags */
};

struct hw_port {
	/* What a hit reads besides its entry. */
	alignas(CACHELINE) struct iotlb_gens *gens;
	_Atomic u64 *mem_gen;
	_Atomic u8 granule;   /* log2, of the last entry used: tried first */
	_Atomic bool gone;    /* device removed: every DMA faults with XLATE_NO_DEVICE */
	_Atomic u32 granules; /* which leaf sizes ever had entries: bits by log2 */
	_Atomic u64
		nr_hits; /* lost counts are possible when threads share a port: no RMW on a hit */
	_Atomic u64 nr_walks;
	_Atomic u64 fills_from; /* nr_hits when the streak began */
	_Atomic u32 streak;	/* walks since then: a long one means that entries do not help */
	struct hw_context_slot ctx[HW_PORT_CONTEXTS];
	struct hw_iommu *hw;
	rid_t rid;
	_Atomic u64 context_gen; /* moves when contexts are dropped */
	struct list node;
	struct iotlb_entry tlb[1u << IOTLB_ENTRIES_LG2];
};

void hw_port_init(struct hw_port *port, struct hw_iommu *hw, rid_t rid);
bool hw_has_port(struct hw_iommu *hw, rid_t rid);
/* The device is gone: from now on every DMA of it faults. The caller waits for a grace period. */
void hw_port_remove(struct hw_port *port);
void hw_port_fini(struct hw_port *port); /* no DMA of it is in flight */

struct hw_stats {
	u64 nr_hits, nr_walks, nr_faults;
};
struct hw_stats hw_stats(struct hw_iommu *hw);

/*
 * Refuse an access whose translation was good, because the memory behind it vanished: recorded as the
 * hardware would, as far as the tables let it. Inside an epoch (any). @fault: .reason is filled in.
 */
void hw_no_memory(struct hw_port *port, struct xlate_fault *fault);

/* A miss of the first probe. */
int hw_xlate_slow(struct hw_port *port, pasid_t pasid, iova_t iova, enum perm perm,
		  struct xlate_res *res, struct xlate_fault *fault);

/* Try one entry. Return: true and *res. */
ALWAYS_INLINE bool iotlb_hit(const struct hw_port *port, const struct iotlb_entry *e, pasid_t pasid,
			     iova_t iova, enum perm perm, struct xlate_res *res)
{
	/* Acquire on every field: none may be read after the second look at seq. Free on x86. */
#define IOTLB_READ(f) atomic_load_explicit(&e->f, memory_order_acquire)
	u64 tag = atomic_load_explicit(&port->ctx[pasid.v % HW_PORT_CONTEXTS].tag,
				       memory_order_acquire);
	u32 seq = IOTLB_READ(seq);
	u64 off = iova.v - IOTLB_READ(start);
	u64 span = IOTLB_READ(span);
	u32 meta = IOTLB_READ(meta);
	u64 gen = IOTLB_READ(gen);
	u8 *host = IOTLB_READ(host);
	struct seg *seg = IOTLB_READ(seg);
	u64 oa = IOTLB_READ(oa);
	u64 now;

	if (unlikely(off > span || IOTLB_READ(tag) != tag || !iotlb_tag_is(tag, pasid) ||
		     (meta & (u32)perm) != (u32)perm))
		return false;
	now = atomic_load_explicit(&port->gens->did[iotlb_tag_did(tag) % IOTLB_DID_BUCKETS],
				   memory_order_acquire);
	now += atomic_load_explicit(&port->gens->bucket[meta >> 8 & (2 * IOTLB_BUCKETS - 1)],
				    memory_order_acquire);
	now += atomic_load_explicit(port->mem_gen, memory_order_acquire);
	if (unlikely(gen != now || seq & 1 ||
		     atomic_load_explicit(&e->seq, memory_order_relaxed) != seq))
		return false;
	*res = (struct xlate_res){
		.oa = OA(oa + off),
		.last = iova.v + (span - off),
		.host = host ? host + off : NULL,
		.seg = seg,
		.perm = (u8)(meta & PERM_RW),
	};
	return true;
#undef IOTLB_READ
}

/* The first probe alone: the entry that a hot request finds. Return: true and *res. */
ALWAYS_INLINE bool hw_xlate_cached(struct hw_port *port, pasid_t pasid, iova_t iova, enum perm perm,
				   struct xlate_res *res)
{
	unsigned granule = atomic_load_explicit(&port->granule, memory_order_relaxed);

	if (unlikely(!iotlb_hit(port, &port->tlb[iotlb_index(iova.v, granule)], pasid, iova, perm,
				res)))
		return false;
	atomic_store_explicit(&port->nr_hits,
			      atomic_load_explicit(&port->nr_hits, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	return true;
}

/**
 * hw_xlate() - Translate one access: caches first, then tables
 * @perm: PERM_R, PERM_W or both
 * @fault: why it was refused; may be NULL
 *
 * On refusal the fault has been recorded (not that of a device which is gone: nobody saw it).
 * Context: inside an epoch (any).
 * Return: 0 and *res; -EFAULT and *fault.
 */
ALWAYS_INLINE int hw_xlate(struct hw_port *port, pasid_t pasid, iova_t iova, enum perm perm,
			   struct xlate_res *res, struct xlate_fault *fault)
{
	struct xlate_res slow;
	int rc;

	if (likely(hw_xlate_cached(port, pasid, iova, perm, res)))
		return 0;
	/* A result of its own: *res is never passed on, and so stays in registers on a hit. */
	rc = hw_xlate_slow(port, pasid, iova, perm, &slow, fault);
	if (likely(!rc))
		*res = slow;
	return rc;
}

/* For models (hw->lock held). Drop cached translations of a domain, of a range of it, of all. */
void iotlb_drop_all(struct hw_iommu *hw) MUST_HOLD(hw->lock);
void iotlb_drop_domain(struct hw_iommu *hw, u32 did) MUST_HOLD(hw->lock);
void iotlb_drop_range(struct hw_iommu *hw, u32 did, struct iova_range r) MUST_HOLD(hw->lock);
/* Drop cached contexts: of every port; of RIDs equal to @rid outside @ignore; of a domain. */
void context_drop_all(struct hw_iommu *hw) MUST_HOLD(hw->lock);
void context_drop_rid(struct hw_iommu *hw, rid_t rid, u32 ignore) MUST_HOLD(hw->lock);
void context_drop_domain(struct hw_iommu *hw, u32 did) MUST_HOLD(hw->lock);
/* What every model shows of its ports. */
void hw_describe_ports(struct hw_iommu *hw, json_t *out);
void hw_explain_cached(struct hw_iommu *hw, rid_t rid, pasid_t pasid, iova_t iova, json_t *out);
/* A request there faults like this: whatever the steps found is no outcome. */
void hw_explain_refused(const struct xlate_fault *fault, json_t *out);
void hw_explain_steps(struct hw_iommu *hw, const struct pt_fmt *fmt, const struct hw_context *ctx,
		      iova_t iova, json_t *out);

/* What every model's init and free do. */
void hw_init(struct hw_iommu *hw, const struct hw_ops *ops, struct env *env, struct mem *mem);
void hw_fini(struct hw_iommu *hw);

/* Memory as the IOMMU reads and writes it: bounds, holes and vanished memory are -EFAULT. */
int hw_mem_read(struct mem *mem, oa_t oa, void *to, size_t len) MUST_CHECK;
int hw_mem_write(struct mem *mem, oa_t oa, const void *from, size_t len) MUST_CHECK;

/* Models. The driver owns what they return and frees it with ops->free. */
struct hw_vtd_cfg {
	unsigned aw_bits; /* 39 or 48 */
};
int hw_vtd_new(struct env *env, struct mem *mem, const struct hw_vtd_cfg *cfg,
	       struct hw_iommu **out) MUST_CHECK;
int hw_mock_new(struct env *env, struct mem *mem, struct hw_iommu **out) MUST_CHECK;

/* The register maps, shared with the drivers: facts of the hardware, one header per model. */
#include "hw/mock_regs.h"
#include "hw/vtd_regs.h"

#endif
