/* SPDX-License-Identifier: MIT */
/* A device's accesses to memory. */
#include "dma/dma.h"

/* What one epoch covers at most: an unmap waits for no more than that. */
#define EPOCH_COPY_MAX (256u << 10)

/* Memory that a leaf names is not there any more. Outside of the epoch. */
static int no_memory(const struct dma_req *req, enum perm perm, struct xlate_fault *fault)
{
	struct epoch_slot *slot = epoch_slot(&req->port->hw->env->epoch);
	struct xlate_fault f = {
		.rid = req->port->rid,
		.pasid = req->pasid,
		.iova = req->iova,
		.perm = (u8)perm,
	};

	if (unlikely(!slot))
		return -ENOMEM;
	epoch_enter(slot, NULL);
	hw_no_memory(req->port, &f);
	epoch_leave(slot);
	if (fault)
		*fault = f;
	return -EFAULT;
}

/* One piece of a copy: contiguous in IOVA and in memory. */
struct piece {
	struct dma_req req;
	u8 *buf;
	size_t len; /* in: wanted; out: done */
	enum perm perm;
};

/*
 * Memory that only the kernel reaches: held, so that the client's unmap waits for us, and copied outside
 * of the epoch, because the system call may last as long as the client likes.
 */
static int copy_remote(struct epoch_slot *slot, const struct piece *p, const struct xlate_res *res,
		       struct xlate_fault *fault)
{
	struct seg *seg = res->seg;
	uva_t at = UVA(seg->uva.v + (res->oa.v - seg->base.v));
	u32 ticket = seg->mm ? seg_hold(seg, res->oa, p->len) : SEG_NO_TICKET;
	int rc;

	epoch_leave(slot);
	if (ticket == SEG_NO_TICKET)
		return no_memory(&p->req, p->perm, fault);
	rc = p->perm == PERM_R ? mm_dma_read(seg->mm, at, p->buf, p->len)
			       : mm_dma_write(seg->mm, at, p->buf, p->len);
	seg_unhold(seg, ticket);
	return unlikely(rc) ? no_memory(&p->req, p->perm, fault) : 0;
}

static int copy_piece(struct epoch_slot *slot, struct piece *p, struct xlate_fault *fault)
{
	struct xlate_res res;
	int rc;

	epoch_enter(slot, NULL);
	rc = hw_xlate(p->req.port, p->req.pasid, p->req.iova, p->perm, &res, fault);
	if (unlikely(rc)) {
		epoch_leave(slot);
		return rc;
	}
	p->len = min(p->len - 1, res.last - p->req.iova.v) + 1;
	if (unlikely(!res.host))
		return copy_remote(slot, p, &res, fault);
	p->len = min(p->len, (size_t)EPOCH_COPY_MAX);
	rc = p->perm == PERM_R ? copy_guarded(p->buf, res.host, p->len)
			       : copy_guarded(res.host, p->buf, p->len);
	epoch_leave(slot);
	return unlikely(rc) ? no_memory(&p->req, p->perm, fault) : 0;
}

static NOINLINE int copy_pieces(const struct dma_req *req, u8 *buf, size_t len, enum perm perm,
				struct xlate_fault *fault)
{
	struct epoch_slot *slot = epoch_slot(&req->port->hw->env->epoch);
	struct piece p = {.req = *req, .buf = buf, .perm = perm};
	int rc;

	if (unlikely(!slot))
		return -ENOMEM;
	while (len) {
		p.len = len;
		rc = copy_piece(slot, &p, fault);
		if (unlikely(rc))
			return rc;
		len -= p.len;
		p.buf += p.len;
		/* Past 2^64 a bus has no address: what is left has no memory either. */
		if (unlikely(__builtin_add_overflow(p.req.iova.v, p.len, &p.req.iova.v) && len))
			return no_memory(&p.req, perm, fault);
	}
	return 0;
}

/*
 * One piece of direct memory whose translation is cached: nearly every access. Anything else, and a
 * fault in the copy, is done again from the start by copy_pieces(), which tells why.
 */
ALWAYS_INLINE int copy(const struct dma_req *req, u8 *buf, size_t len, enum perm perm,
		       struct xlate_fault *fault)
{
	struct epoch_slot *slot = epoch_slot(&req->port->hw->env->epoch);
	const struct dma_req r = *req;
	struct xlate_res res;
	int rc = -EAGAIN;

	if (unlikely(!slot || len - 1 >= EPOCH_COPY_MAX))
		return copy_pieces(req, buf, len, perm, fault);
	epoch_enter(slot, NULL);
	if (likely(hw_xlate_cached(r.port, r.pasid, r.iova, perm, &res)) && likely(res.host) &&
	    likely(len - 1 <= res.last - r.iova.v))
		rc = perm == PERM_R ? copy_guarded(buf, res.host, len)
				    : copy_guarded(res.host, buf, len);
	epoch_leave(slot);
	return likely(!rc) ? 0 : copy_pieces(req, buf, len, perm, fault);
}

int dma_read(const struct dma_req *req, void *to, size_t len, struct xlate_fault *fault)
{
	TRACE(req->port->hw->env, dma_read, "rid 0x%x iova 0x%llx len %zu", req->port->rid.v,
	      (unsigned long long)req->iova.v, len);
	return copy(req, to, len, PERM_R, fault);
}

int dma_write(const struct dma_req *req, const void *from, size_t len, struct xlate_fault *fault)
{
	TRACE(req->port->hw->env, dma_write, "rid 0x%x iova 0x%llx len %zu", req->port->rid.v,
	      (unsigned long long)req->iova.v, len);
	return copy(req, (u8 *)(uintptr_t)from, len, PERM_W, fault);
}

int dma_cmpxchg(const struct dma_req *req, u64 *inout_expected, u64 desired, unsigned len)
{
	struct epoch_slot *slot;
	struct xlate_res res;
	u64 old = *inout_expected;
	int rc;

	if ((len != 4 && len != 8) || req->iova.v % len)
		return -EINVAL;
	slot = epoch_slot(&req->port->hw->env->epoch);
	if (unlikely(!slot))
		return -ENOMEM;
	TRACE(req->port->hw->env, dma_cmpxchg, "rid 0x%x iova 0x%llx len %u", req->port->rid.v,
	      (unsigned long long)req->iova.v, len);
	epoch_enter(slot, NULL);
	rc = hw_xlate(req->port, req->pasid, req->iova, PERM_RW, &res, NULL);
	if (unlikely(rc)) {
		epoch_leave(slot);
		return rc;
	}
	/* A segment may end, or start, inside the word's page only where its file did. */
	if (!res.host || res.last - req->iova.v < len - 1 || (uintptr_t)res.host % len)
		rc = -EOPNOTSUPP;
	else
		rc = cmpxchg_guarded(res.host, &old, desired, len);
	epoch_leave(slot);
	if (rc == -EFAULT)
		return no_memory(req, PERM_RW, NULL);
	if (!rc)
		*inout_expected = old;
	return rc;
}

int dma_span(const struct dma_req *req, size_t len, enum perm perm, struct ioasis_span *out)
{
	struct epoch_slot *slot;
	struct xlate_res res;
	u32 ticket = SEG_NO_TICKET;
	int rc;

	if (!len)
		return -EINVAL;
	slot = epoch_slot(&req->port->hw->env->epoch);
	if (unlikely(!slot))
		return -ENOMEM;
	TRACE(req->port->hw->env, dma_span, "rid 0x%x iova 0x%llx len %zu", req->port->rid.v,
	      (unsigned long long)req->iova.v, len);
	epoch_enter(slot, NULL);
	rc = hw_xlate(req->port, req->pasid, req->iova, perm, &res, NULL);
	if (!rc && !res.host)
		rc = -EOPNOTSUPP;
	if (!rc) {
		len = min(len - 1, res.last - req->iova.v) + 1;
		ticket = seg_hold(res.seg, res.oa, len);
	}
	epoch_leave(slot);
	if (rc)
		return rc;
	if (ticket == SEG_NO_TICKET)
		return -ENOMEM;
	*out = (struct ioasis_span){
		.host = res.host,
		.len = len,
		.seg = res.seg,
		.oa = res.oa.v,
		.ticket = ticket,
		.perm = (uint32_t)perm,
		.port = req->port,
		.iova = req->iova.v,
		.pasid = req->pasid.v,
	};
	return 0;
}

void dma_unspan(struct ioasis_span *span)
{
	struct seg *seg = span->seg;
	bool lost = atomic_load_explicit(&seg->dead, memory_order_acquire);
	struct dma_req req = {
		.port = span->port,
		.pasid = PASID(span->pasid),
		.iova = IOVA(span->iova),
	};

	/* Some of it vanished while it was looked at, and read as zeros since. */
	if (unlikely(lost))
		(void)no_memory(&req, (enum perm)span->perm, NULL);
	seg_unhold(seg, span->ticket);
	*span = (struct ioasis_span){0};
}

size_t dma_xlate(struct hw_port *port, pasid_t pasid, enum perm perm, struct ioasis_seg *segs,
		 size_t nr)
{
	struct epoch_slot *slot = epoch_slot(&port->hw->env->epoch);
	size_t good = 0;

	if (unlikely(!slot)) {
		for (size_t i = 0; i < nr; i++)
			segs[i].rc = -ENOMEM;
		return 0;
	}
	epoch_enter(slot, NULL);
	for (size_t i = 0; i < nr; i++) {
		struct xlate_res res;

		segs[i].rc = hw_xlate(port, pasid, IOVA(segs[i].iova), perm, &res, NULL);
		if (unlikely(segs[i].rc))
			continue;
		segs[i].oa = res.oa.v;
		segs[i].last = res.last;
		segs[i].direct = res.host != NULL;
		good++;
	}
	epoch_leave(slot);
	return good;
}
