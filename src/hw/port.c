/* SPDX-License-Identifier: MIT */
/*
 * Ports: a device's place behind an IOMMU. What happens when the first probe of the IOTLB misses:
 * the other granules, the context, the walk, the fill; and the context cache.
 */
#include "hw/hw.h"

#define PASID_LIMIT (1u << 20)

const char *xlate_reason_name(enum xlate_reason r)
{
	static const char *const names[XLATE_REASON_NR] = {
		[XLATE_BLOCKED] = "blocked",	 [XLATE_NOT_PRESENT] = "not present",
		[XLATE_PERM] = "permission",	 [XLATE_RANGE] = "out of range",
		[XLATE_BAD_TABLE] = "bad table", [XLATE_NO_MEMORY] = "no memory",
		[XLATE_NO_DEVICE] = "no device",
	};

	return (unsigned)r < XLATE_REASON_NR ? names[r] : "?";
}

void hw_init(struct hw_iommu *hw, const struct hw_ops *ops, struct env *env, struct mem *mem)
{
	hw->ops = ops;
	hw->env = env;
	hw->mem = mem;
	hw->hole = (struct iova_range){.start = 1, .last = 0};
	lock_init(&hw->lock, RANK_HW);
	list_init(&hw->ports);
}

void hw_fini(struct hw_iommu *hw)
{
	assert(list_empty(&hw->ports));
	lock_fini(&hw->lock);
}

void hw_port_init(struct hw_port *port, struct hw_iommu *hw, rid_t rid)
{
	memset(port, 0, sizeof(*port));
	port->hw = hw;
	port->gens = &hw->gens;
	port->mem_gen = &hw->mem->generation;
	port->rid = rid;
	port->granule = (u8)PAGE_LG2;
	lock_take(&hw->lock);
	list_push_back(&hw->ports, &port->node);
	lock_drop(&hw->lock);
}

bool hw_has_port(struct hw_iommu *hw, rid_t rid)
{
	struct list *p;
	bool found = false;

	lock_take(&hw->lock);
	list_for_each (p, &hw->ports)
		found |= list_entry(p, struct hw_port, node)->rid.v == rid.v;
	lock_drop(&hw->lock);
	return found;
}

void hw_port_fini(struct hw_port *port)
{
	struct hw_iommu *hw = port->hw;

	lock_take(&hw->lock);
	list_del(&port->node);
	lock_drop(&hw->lock);
}

/* The slot's seq is odd while its words are written; hw->lock keeps writers apart. */
static void slot_write(struct hw_iommu *hw, struct hw_context_slot *slot, u64 tag,
		       const struct hw_context *ctx) MUST_HOLD(hw->lock)
{
	u32 seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);

	atomic_store_explicit(&slot->seq, seq + 1, memory_order_relaxed);
	atomic_store_explicit(&slot->tag, tag, memory_order_release);
	atomic_store_explicit(&slot->root, ctx->root.v, memory_order_release);
	atomic_store_explicit(&slot->last, ctx->last, memory_order_release);
	atomic_store_explicit(&slot->bits, (u32)ctx->top_level << 8 | ctx->flags,
			      memory_order_release);
	atomic_store_explicit(&slot->seq, seq + 2, memory_order_release);
}

/* Return: true and *ctx, *seq; the context holds while the slot's seq stays *seq. */
ALWAYS_INLINE bool slot_read(struct hw_context_slot *slot, pasid_t pasid, struct hw_context *ctx,
			     u32 *seq)
{
	u32 s = atomic_load_explicit(&slot->seq, memory_order_acquire);
	u64 tag = atomic_load_explicit(&slot->tag, memory_order_acquire);
	u64 root = atomic_load_explicit(&slot->root, memory_order_acquire);
	u64 last = atomic_load_explicit(&slot->last, memory_order_acquire);
	u32 bits = atomic_load_explicit(&slot->bits, memory_order_acquire);

	if (s & 1 || !iotlb_tag_is(tag, pasid) ||
	    atomic_load_explicit(&slot->seq, memory_order_relaxed) != s)
		return false;
	*seq = s;
	*ctx = (struct hw_context){
		.did = iotlb_tag_did(tag),
		.top_level = (u8)(bits >> 8),
		.flags = (u8)bits,
		.root = OA(root),
		.last = last,
	};
	return true;
}

static void drop_slots(struct hw_iommu *hw, struct hw_port *port, bool all, u32 did)
	MUST_HOLD(hw->lock)
{
	const struct hw_context none = {0};

	/* First the generation: who read the old tables must not publish them after us. */
	atomic_fetch_add(&port->context_gen, 1);
	for (unsigned i = 0; i < HW_PORT_CONTEXTS; i++) {
		struct hw_context_slot *slot = &port->ctx[i];
		u64 tag = atomic_load_explicit(&slot->tag, memory_order_relaxed);

		if (tag && (all || iotlb_tag_did(tag) == did))
			slot_write(hw, slot, 0, &none);
	}
}

void context_drop_all(struct hw_iommu *hw)
{
	struct list *p;

	list_for_each (p, &hw->ports)
		drop_slots(hw, list_entry(p, struct hw_port, node), true, 0);
}

void context_drop_rid(struct hw_iommu *hw, rid_t rid, u32 ignore)
{
	struct list *p;

	list_for_each (p, &hw->ports) {
		struct hw_port *port = list_entry(p, struct hw_port, node);

		if (!((port->rid.v ^ rid.v) & ~ignore))
			drop_slots(hw, port, true, 0);
	}
}

void context_drop_domain(struct hw_iommu *hw, u32 did)
{
	struct list *p;

	list_for_each (p, &hw->ports)
		drop_slots(hw, list_entry(p, struct hw_port, node), false, did);
}

void hw_port_remove(struct hw_port *port)
{
	struct hw_iommu *hw = port->hw;

	atomic_store(&port->gone, true);
	lock_take(&hw->lock);
	drop_slots(hw, port, true, 0);
	lock_drop(&hw->lock);
}

struct hw_stats hw_stats(struct hw_iommu *hw)
{
	struct hw_stats s = {.nr_faults = atomic_load(&hw->nr_faults)};
	struct list *p;

	lock_take(&hw->lock);
	list_for_each (p, &hw->ports) {
		struct hw_port *port = list_entry(p, struct hw_port, node);

		s.nr_hits += atomic_load_explicit(&port->nr_hits, memory_order_relaxed);
		s.nr_walks += atomic_load_explicit(&port->nr_walks, memory_order_relaxed);
	}
	lock_drop(&hw->lock);
	return s;
}

ALWAYS_INLINE void count(_Atomic u64 *nr)
{
	atomic_store_explicit(nr, atomic_load_explicit(nr, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* One translation on its way through the slow path. */
struct miss {
	struct hw_port *port;
	pasid_t pasid;
	iova_t iova;
	enum perm perm;
	bool cacheable;
	u32 slot_seq;
	struct hw_context ctx;
	u64 gen[2]; /* of small and large leaves, as before the walk */
	struct pt_leaf leaf;
};

/*
 * The context from the tables and into the cache. One that was dropped while it was read is good
 * for this request, which came before the command, and for nothing after it.
 */
static NOINLINE int read_context(struct miss *m, struct hw_context_slot *slot,
				 struct xlate_fault *fault)
{
	struct hw_port *port = m->port;
	struct hw_iommu *hw = port->hw;
	u64 gen;
	int rc;

	if (m->pasid.v >= PASID_LIMIT || atomic_load(&port->gone)) {
		fault->reason = atomic_load(&port->gone) ? XLATE_NO_DEVICE : XLATE_BLOCKED;
		return -EFAULT;
	}
	gen = atomic_load(&port->context_gen);
	rc = hw->ops->context(hw, port->rid, m->pasid, &m->ctx, fault);
	if (rc)
		return rc;
	lock_take(&hw->lock);
	m->cacheable = atomic_load(&port->context_gen) == gen && !atomic_load(&port->gone);
	if (m->cacheable)
		slot_write(hw, slot, iotlb_tag(m->pasid, m->ctx.did), &m->ctx);
	m->slot_seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);
	lock_drop(&hw->lock);
	return 0;
}

/*
 * The generations as they are before the walk. Software drops the context before it drops a
 * domain's translations, so a context that still stands now means that neither was dropped before
 * we looked: a domain id given to someone else meanwhile cannot bring this entry back to life.
 */
ALWAYS_INLINE void read_gens(struct miss *m, const struct hw_context_slot *slot)
{
	const struct iotlb_gens *gens = m->port->gens;
	u32 did = m->ctx.did, small = iotlb_bucket(did, m->iova.v, IOTLB_SMALL_LG2),
	    large = iotlb_bucket(did, m->iova.v, IOTLB_LARGE_LG2);
	u64 base = atomic_load_explicit(&gens->did[did % IOTLB_DID_BUCKETS], memory_order_acquire) +
		   atomic_load_explicit(m->port->mem_gen, memory_order_acquire);

	m->gen[0] = base + atomic_load_explicit(&gens->bucket[small], memory_order_acquire);
	m->gen[1] = base + atomic_load_explicit(&gens->bucket[large], memory_order_acquire);
	if (unlikely(atomic_load_explicit(&slot->seq, memory_order_relaxed) != m->slot_seq))
		m->cacheable = false;
}

/* The largest piece around the IOVA that one entry may cover: leaf, bucket, segment, hole. */
ALWAYS_INLINE struct iova_range entry_range(const struct miss *m, const struct seg *seg)
{
	const struct iova_range hole = m->port->hw->hole;
	unsigned lg2 = min((unsigned)m->leaf.lg2, IOTLB_LARGE_LG2);
	u64 iova = m->iova.v, mask = (1ull << lg2) - 1;
	u64 before = m->leaf.oa.v - seg->base.v, after = seg->len - 1 - before;
	struct iova_range r = {iova & ~mask, iova | mask};

	r.last = min(r.last, m->leaf.last);
	r.last = min(r.last, m->ctx.last);
	if (unlikely(iova - r.start > before))
		r.start = iova - before;
	if (unlikely(r.last - iova > after))
		r.last = iova + after;
	if (unlikely(r.start <= hole.last && hole.start <= r.last)) {
		if (hole.last < iova)
			r.start = hole.last + 1;
		else
			r.last = hole.start - 1;
	}
	return r;
}

/*
 * Whether to spend a store on this translation. A device whose accesses are all over the place
 * never comes back to an entry before it is overwritten: after a streak of walks without a hit,
 * only every eighth is kept, which is enough to notice when the accesses come together again.
 */
ALWAYS_INLINE bool worth_filling(struct hw_port *port)
{
	u64 hits = atomic_load_explicit(&port->nr_hits, memory_order_relaxed);
	u32 streak = atomic_load_explicit(&port->streak, memory_order_relaxed) + 1;

	if (hits - atomic_load_explicit(&port->fills_from, memory_order_relaxed) > streak / 16) {
		atomic_store_explicit(&port->fills_from, hits, memory_order_relaxed);
		streak = 0;
	}
	atomic_store_explicit(&port->streak, streak, memory_order_relaxed);
	return streak < 4u << IOTLB_ENTRIES_LG2 || streak % 8 == 0;
}

static NOINLINE void fill(const struct miss *m, const struct seg *seg, struct iova_range r, u8 perm)
{
	struct hw_port *port = m->port;
	unsigned lg2 = min((unsigned)m->leaf.lg2, IOTLB_LARGE_LG2);
	struct iotlb_entry *e = &port->tlb[iotlb_index(m->iova.v, lg2)];
	bool large = m->leaf.lg2 > IOTLB_SMALL_LG2;
	u64 into = m->leaf.oa.v - seg->base.v - (m->iova.v - r.start);
	u32 bucket = iotlb_bucket(m->ctx.did, m->iova.v, m->leaf.lg2);
	u32 seq = atomic_load_explicit(&e->seq, memory_order_relaxed);

	/* Another thread is filling it: let it. */
	if (seq & 1 || !atomic_compare_exchange_strong_explicit(
			       &e->seq, &seq, seq + 1, memory_order_acquire, memory_order_relaxed))
		return;
#define IOTLB_WRITE(f, v) atomic_store_explicit(&e->f, v, memory_order_release)
	IOTLB_WRITE(meta, bucket << 8 | perm);
	IOTLB_WRITE(tag, iotlb_tag(m->pasid, m->ctx.did));
	IOTLB_WRITE(start, r.start);
	IOTLB_WRITE(span, r.last - r.start);
	IOTLB_WRITE(gen, m->gen[large]);
	IOTLB_WRITE(oa, seg->base.v + into);
	IOTLB_WRITE(host, seg->host ? seg->host + into : NULL);
	IOTLB_WRITE(seg, (struct seg *)seg);
	IOTLB_WRITE(seq, seq + 2);
#undef IOTLB_WRITE
	if (unlikely(atomic_load_explicit(&port->granule, memory_order_relaxed) != lg2))
		atomic_store_explicit(&port->granule, (u8)lg2, memory_order_relaxed);
	if (unlikely(!(atomic_load_explicit(&port->granules, memory_order_relaxed) & 1u << lg2)))
		atomic_fetch_or(&port->granules, 1u << lg2);
}

/*
 * The memory behind the leaf. Table pages are not for devices: a corrupt entry that names one would
 * hand the pool's own bookkeeping to whoever drives the device.
 */
ALWAYS_INLINE struct seg *leaf_seg(const struct miss *m, u8 *perm)
{
	struct seg *seg = seg_find(m->port->hw->mem, m->leaf.oa);

	if (unlikely(!seg) || seg->kind == SEG_TABLES ||
	    atomic_load_explicit(&seg->dead, memory_order_relaxed))
		return NULL;
	*perm = m->leaf.perm & PERM_RW;
	if (unlikely(!seg->writable))
		*perm &= (u8)~PERM_W;
	return (*perm & m->perm) == m->perm ? seg : NULL;
}

/* Entries of leaves of another size than the last one used. */
static NOINLINE bool probe_others(struct hw_port *port, const struct miss *m, struct xlate_res *res)
{
	unsigned tried = atomic_load_explicit(&port->granule, memory_order_relaxed);
	unsigned have = atomic_load_explicit(&port->granules, memory_order_relaxed);

	for (have &= ~(1u << tried); have; have &= have - 1) {
		unsigned lg2 = (unsigned)__builtin_ctz(have);

		if (!iotlb_hit(port, &port->tlb[iotlb_index(m->iova.v, lg2)], m->pasid, m->iova,
			       m->perm, res))
			continue;
		atomic_store_explicit(&port->granule, (u8)lg2, memory_order_relaxed);
		return true;
	}
	return false;
}

ALWAYS_INLINE bool probe_granules(struct hw_port *port, const struct miss *m, struct xlate_res *res)
{
	unsigned have = atomic_load_explicit(&port->granules, memory_order_relaxed);

	/* Leaves of one size are the rule: then the first probe was all there is. */
	return unlikely(have & (have - 1)) && probe_others(port, m, res);
}

/* The context was not cached, so no probe could match; now that it is, one may. */
static bool probe_again(struct hw_port *port, const struct miss *m, struct xlate_res *res)
{
	unsigned granule = atomic_load_explicit(&port->granule, memory_order_relaxed);

	return iotlb_hit(port, &port->tlb[iotlb_index(m->iova.v, granule)], m->pasid, m->iova,
			 m->perm, res) ||
	       probe_others(port, m, res);
}

ALWAYS_INLINE int translate(struct miss *m, struct xlate_res *res, struct xlate_fault *fault)
{
	struct hw_port *port = m->port;
	struct hw_context_slot *slot = &port->ctx[m->pasid.v % HW_PORT_CONTEXTS];
	struct iova_range r;
	struct seg *seg;
	u8 perm;
	u64 into;
	int rc;

	m->cacheable = true;
	if (unlikely(!slot_read(slot, m->pasid, &m->ctx, &m->slot_seq))) {
		rc = read_context(m, slot, fault);
		if (rc || probe_again(port, m, res))
			return rc;
	}
	fault->quiet = m->ctx.flags & HW_CONTEXT_QUIET;
	read_gens(m, slot);
	count(&port->nr_walks);
	rc = port->hw->ops->walk(port->hw, &m->ctx, m->iova, m->perm, &m->leaf, fault);
	if (unlikely(rc))
		return rc;
	seg = leaf_seg(m, &perm);
	if (unlikely(!seg)) {
		fault->reason = XLATE_NO_MEMORY;
		return -EFAULT;
	}
	r = entry_range(m, seg);
	if (worth_filling(port) && likely(m->cacheable))
		fill(m, seg, r, perm);
	into = m->leaf.oa.v - seg->base.v;
	*res = (struct xlate_res){
		.oa = m->leaf.oa,
		.last = r.last,
		.host = seg->host ? seg->host + into : NULL,
		.seg = seg,
		.perm = perm,
	};
	return 0;
}

static NOINLINE void refused(const struct xlate_fault *f, struct hw_iommu *hw)
{
	atomic_fetch_add_explicit(&hw->nr_faults, 1, memory_order_relaxed);
	TRACE(hw->env, hw_xlate, "rid 0x%x pasid %u iova 0x%llx: %s (code %u)", f->rid.v,
	      f->pasid.v, (unsigned long long)f->iova.v, xlate_reason_name(f->reason), f->code);
	if (f->reason != XLATE_NO_DEVICE && !f->quiet)
		hw->ops->record(hw, f);
}

void hw_no_memory(struct hw_port *port, struct xlate_fault *fault)
{
	struct hw_iommu *hw = port->hw;
	struct hw_context ctx = {0};
	u32 seq;

	/* A hit does not tell: the context is looked up again, as it stands now. */
	if (slot_read(&port->ctx[fault->pasid.v % HW_PORT_CONTEXTS], fault->pasid, &ctx, &seq) ||
	    !hw->ops->context(hw, port->rid, fault->pasid, &ctx, fault))
		fault->quiet = ctx.flags & HW_CONTEXT_QUIET;
	fault->reason = XLATE_NO_MEMORY;
	fault->code = 0;
	refused(fault, hw);
}

int hw_xlate_slow(struct hw_port *port, pasid_t pasid, iova_t iova, enum perm perm,
		  struct xlate_res *res, struct xlate_fault *fault)
{
	struct miss m;
	struct xlate_fault f = {.rid = port->rid, .pasid = pasid, .iova = iova, .perm = (u8)perm};
	int rc;

	m.port = port;
	m.pasid = pasid;
	m.iova = iova;
	m.perm = perm;
	if (probe_granules(port, &m, res)) {
		count(&port->nr_hits);
		return 0;
	}
	rc = translate(&m, res, &f);
	if (likely(!rc)) {
		TRACE(port->hw->env, hw_xlate, "rid 0x%x pasid %u iova 0x%llx: oa 0x%llx perm %u",
		      port->rid.v, pasid.v, (unsigned long long)iova.v,
		      (unsigned long long)res->oa.v, res->perm);
		return 0;
	}
	refused(&f, port->hw);
	if (fault)
		*fault = f;
	return rc;
}
