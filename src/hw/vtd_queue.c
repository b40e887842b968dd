/* SPDX-License-Identifier: MIT */
/*
 * VT-d: queued invalidation (specification 6.5.2).
 *
 * Descriptors are consumed while IQT is written. An invalid one stops the queue with IQH on it,
 * sets FSTS.IQE and says why in IQERCD; clearing IQE makes the model look at it again.
 */
#include "hw/vtd.h"

#define DESC_LEN (1u << VTD_DESC_LG2)

static u64 queue_len(const struct hw_vtd *v)
{
	return 1ull << (VTD_IQA_QS(v->iqa) + 12);
}

static void stop(struct hw_vtd *v, enum vtd_iqei why) MUST_HOLD(v->hw.lock)
{
	u32 before = vtd_fsts(v);

	v->iqercd = why;
	v->fsts |= VTD_FSTS_IQE;
	vtd_status_event(v, before);
}

/* What a descriptor of each kind may have set. */
#define CONTEXT_LO 0x0003ffffffff003full
#define IOTLB_LO   0x00000000ffff00ffull
#define IOTLB_HI   0xfffffffffffff07full
#define WAIT_LO	   0xffffffff000000ffull

static enum vtd_iqei do_context(struct hw_vtd *v, u64 lo, u64 hi) MUST_HOLD(v->hw.lock)
{
	static const u8 fm[] = {0, 4, 6, 7}; /* function bits that are ignored */
	u32 did = (u32)(lo >> 16) & 0xffff;

	if (lo & ~CONTEXT_LO || hi)
		return VTD_IQEI_RSVD;
	switch ((enum vtd_gran)(lo >> 4 & 3)) {
	case VTD_GRAN_GLOBAL:
		context_drop_all(&v->hw);
		return VTD_IQEI_NONE;
	case VTD_GRAN_DOMAIN:
		context_drop_domain(&v->hw, did);
		return VTD_IQEI_NONE;
	case VTD_GRAN_SELECTIVE:
		context_drop_rid(&v->hw, RID((u32)(lo >> 32) & 0xffff), fm[lo >> 48 & 3]);
		return VTD_IQEI_NONE;
	}
	return VTD_IQEI_RSVD;
}

static enum vtd_iqei do_iotlb(struct hw_vtd *v, u64 lo, u64 hi) MUST_HOLD(v->hw.lock)
{
	u32 did = (u32)(lo >> 16) & 0xffff;
	unsigned am = VTD_DESC_HI_AM(hi);
	struct iova_range r;

	if (lo & ~IOTLB_LO || hi & ~IOTLB_HI)
		return VTD_IQEI_RSVD;
	switch ((enum vtd_gran)(lo >> 4 & 3)) {
	case VTD_GRAN_GLOBAL:
		iotlb_drop_all(&v->hw);
		return VTD_IQEI_NONE;
	case VTD_GRAN_DOMAIN:
		iotlb_drop_domain(&v->hw, did);
		return VTD_IQEI_NONE;
	case VTD_GRAN_SELECTIVE:
		/* IH allows paging-structure caches to stay: this model has none. */
		if (am > VTD_MAMV)
			return VTD_IQEI_RSVD;
		r.start = hi & ~0xfffull & ~((1ull << (am + PAGE_LG2)) - 1);
		r.last = r.start + (1ull << (am + PAGE_LG2)) - 1;
		iotlb_drop_range(&v->hw, did, r);
		return VTD_IQEI_NONE;
	}
	return VTD_IQEI_RSVD;
}

static enum vtd_iqei do_wait(struct hw_vtd *v, u64 lo, u64 hi) MUST_HOLD(v->hw.lock)
{
	u32 data = (u32)(lo >> 32);

	if (lo & ~WAIT_LO || hi & 3)
		return VTD_IQEI_RSVD;
	/* A store to an address where no memory is goes nowhere, as on a bus. */
	if (lo & VTD_DESC_WAIT_SW && hw_mem_write(v->hw.mem, OA(hi), &data, sizeof(data)))
		TRACE(v->hw.env, do_wait, "status address 0x%llx: no memory",
		      (unsigned long long)hi);
	if (lo & VTD_DESC_WAIT_IF && !(v->ics & VTD_ICS_IWC)) {
		v->ics |= VTD_ICS_IWC;
		if (v->iectl & VTD_EVENT_IM)
			v->iectl |= VTD_EVENT_IP;
		else
			v->raise = true;
	}
	return VTD_IQEI_NONE;
}

static enum vtd_iqei do_desc(struct hw_vtd *v, u64 lo, u64 hi) MUST_HOLD(v->hw.lock)
{
	/* Bits 11:9 extend the type; every type here has zero there. */
	if (lo & 0xe00)
		return VTD_IQEI_TYPE;
	TRACE(v->hw.env, do_desc, "0x%016llx 0x%016llx", (unsigned long long)lo,
	      (unsigned long long)hi);
	switch (lo & 0xf) {
	case VTD_DESC_CONTEXT:
		return do_context(v, lo, hi);
	case VTD_DESC_IOTLB:
		return do_iotlb(v, lo, hi);
	case VTD_DESC_WAIT:
		return do_wait(v, lo, hi);
	default: /* device TLBs and interrupt remapping are not there: ECAP says so */
		return VTD_IQEI_TYPE;
	}
}

void vtd_queue_run(struct hw_vtd *v)
{
	enum vtd_iqei why = VTD_IQEI_NONE;
	u64 desc[2];

	while (atomic_load(&v->gsts) & VTD_GCMD_QIE && !(v->fsts & VTD_FSTS_IQE) &&
	       v->iqh != v->iqt) {
		if (v->iqa & VTD_IQA_DW)
			why = VTD_IQEI_WIDTH;
		else if (v->iqt >= queue_len(v) || v->iqh >= queue_len(v))
			why = VTD_IQEI_TAIL;
		else if (hw_mem_read(v->hw.mem, OA(VTD_IQA_BASE(v->iqa) + v->iqh), desc,
				     sizeof(desc)))
			why = VTD_IQEI_FETCH;
		else
			why = do_desc(v, desc[0], desc[1]);
		if (why != VTD_IQEI_NONE) {
			stop(v, why);
			return;
		}
		v->iqh = (v->iqh + DESC_LEN) % queue_len(v);
	}
}
