/* SPDX-License-Identifier: MIT */
/*
 * VT-d: the register file (specification ch. 11). 64-bit registers may be accessed in halves.
 */
#include "hw/vtd.h"

static u32 half(u64 v, u32 off)
{
	return (u32)(off & 4 ? v >> 32 : v);
}

static void set_half(u64 *v, u32 off, u32 value)
{
	if (off & 4)
		*v = (u32)*v | (u64)value << 32;
	else
		*v = (*v & ~0xffffffffull) | value;
}

static u32 read32(const struct hw_vtd *v, u32 off) MUST_HOLD(v->hw.lock)
{
	if (off >= VTD_FRCD && off < VTD_FRCD + sizeof(v->frcd)) {
		off -= VTD_FRCD;
		return half(v->frcd[off / 16][off / 8 % 2], off);
	}
	switch (off) {
	case VTD_VER:
		return VTD_VERSION;
	case VTD_CAP:
	case VTD_CAP + 4:
		return half(v->cap, off);
	case VTD_ECAP:
	case VTD_ECAP + 4:
		return half(v->ecap, off);
	case VTD_GSTS:
		return atomic_load(&((struct hw_vtd *)v)->gsts);
	case VTD_RTADDR:
	case VTD_RTADDR + 4:
		return half(v->rtaddr, off);
	case VTD_FSTS:
		return vtd_fsts(v);
	case VTD_FECTL:
		return v->fectl;
	case VTD_FEDATA:
		return v->fedata;
	case VTD_FEADDR:
		return v->feaddr;
	case VTD_FEUADDR:
		return v->feuaddr;
	case VTD_IQH:
		return (u32)v->iqh;
	case VTD_IQT:
		return (u32)v->iqt;
	case VTD_IQA:
	case VTD_IQA + 4:
		return half(v->iqa, off);
	case VTD_ICS:
		return v->ics;
	case VTD_IECTL:
		return v->iectl;
	case VTD_IEDATA:
		return v->iedata;
	case VTD_IEADDR:
		return v->ieaddr;
	case VTD_IEUADDR:
		return v->ieuaddr;
	case VTD_IQERCD:
		return (u32)v->iqercd;
	default:
		return 0;
	}
}

static void write_gcmd(struct hw_vtd *v, u32 value) MUST_HOLD(v->hw.lock)
{
	u32 gsts = atomic_load(&v->gsts);
	u32 now = (gsts & ~(VTD_GCMD_TE | VTD_GCMD_QIE)) | (value & (VTD_GCMD_TE | VTD_GCMD_QIE));

	if (value & VTD_GCMD_SRTP) {
		atomic_store(&v->root, v->rtaddr);
		now |= VTD_GCMD_SRTP;
	}
	if (gsts & ~now & VTD_GCMD_QIE)
		v->iqh = 0;
	atomic_store(&v->gsts, now);
	/* Off blocks at once, cached or not: without a context nothing in the IOTLB matches. */
	if (gsts & ~now & VTD_GCMD_TE)
		context_drop_all(&v->hw);
	vtd_queue_run(v);
}

/* Writing 1 clears PFO and IQE; a queue that IQE stopped goes on. */
static void write_fsts(struct hw_vtd *v, u32 value) MUST_HOLD(v->hw.lock)
{
	v->fsts &= ~(value & (VTD_FSTS_PFO | VTD_FSTS_IQE));
	if (value & VTD_FSTS_IQE)
		v->iqercd = VTD_IQEI_NONE;
	if (!(vtd_fsts(v) & (VTD_FSTS_PFO | VTD_FSTS_PPF | VTD_FSTS_IQE)))
		v->fectl &= ~VTD_EVENT_IP;
	vtd_queue_run(v);
}

/* Unmasking delivers what waited. */
static void write_event_ctl(struct hw_vtd *v, u32 *ctl, u32 value) MUST_HOLD(v->hw.lock)
{
	*ctl = (*ctl & ~VTD_EVENT_IM) | (value & VTD_EVENT_IM);
	if (!(*ctl & VTD_EVENT_IM) && *ctl & VTD_EVENT_IP) {
		*ctl &= ~VTD_EVENT_IP;
		v->raise = true;
	}
}

static void write_frcd(struct hw_vtd *v, u32 off, u32 value) MUST_HOLD(v->hw.lock)
{
	u64 *hi = &v->frcd[off / 16][1];

	if (off % 16 != 12 || !(value & 1u << 31) || !(*hi & VTD_FRCD_HI_F))
		return;
	*hi &= ~VTD_FRCD_HI_F;
	/* FRI: the first that is still pending, in the order they were written. */
	for (unsigned i = 1; i <= VTD_NR_FRCD; i++) {
		unsigned at = (v->next + i - 1) % VTD_NR_FRCD;

		if (v->frcd[at][1] & VTD_FRCD_HI_F) {
			v->fri = at;
			return;
		}
	}
	if (!(v->fsts & (VTD_FSTS_PFO | VTD_FSTS_IQE)))
		v->fectl &= ~VTD_EVENT_IP;
}

static void write32(struct hw_vtd *v, u32 off, u32 value) MUST_HOLD(v->hw.lock)
{
	if (off >= VTD_FRCD && off < VTD_FRCD + sizeof(v->frcd)) {
		write_frcd(v, off - VTD_FRCD, value);
		return;
	}
	switch (off) {
	case VTD_GCMD:
		write_gcmd(v, value);
		break;
	case VTD_RTADDR:
	case VTD_RTADDR + 4:
		set_half(&v->rtaddr, off, value);
		break;
	case VTD_FSTS:
		write_fsts(v, value);
		break;
	case VTD_FECTL:
		write_event_ctl(v, &v->fectl, value);
		break;
	case VTD_FEDATA:
		v->fedata = value;
		break;
	case VTD_FEADDR:
		v->feaddr = value & ~3u;
		break;
	case VTD_FEUADDR:
		v->feuaddr = value;
		break;
	case VTD_IQT:
		v->iqt = value & VTD_IQT_MASK;
		vtd_queue_run(v);
		break;
	case VTD_IQA:
	case VTD_IQA + 4:
		set_half(&v->iqa, off, value);
		break;
	case VTD_ICS:
		v->ics &= ~(value & VTD_ICS_IWC);
		if (!v->ics)
			v->iectl &= ~VTD_EVENT_IP;
		break;
	case VTD_IECTL:
		write_event_ctl(v, &v->iectl, value);
		break;
	case VTD_IEDATA:
		v->iedata = value;
		break;
	case VTD_IEADDR:
		v->ieaddr = value & ~3u;
		break;
	case VTD_IEUADDR:
		v->ieuaddr = value;
		break;
	default:
		break;
	}
}

static bool access_ok(u32 off, unsigned len)
{
	return (len == 4 || len == 8) && off < VTD_REGS_LEN && !(off % len);
}

u64 vtd_reg_read(struct hw_iommu *hw, u32 off, unsigned len)
{
	struct hw_vtd *v = to_vtd(hw);
	u64 value;

	if (!access_ok(off, len))
		return 0;
	lock_take(&v->hw.lock);
	value = read32(v, off);
	if (len == 8)
		value |= (u64)read32(v, off + 4) << 32;
	lock_drop(&v->hw.lock);
	return value;
}

void vtd_reg_write(struct hw_iommu *hw, u32 off, u64 value, unsigned len)
{
	struct hw_vtd *v = to_vtd(hw);
	bool raise;

	if (!access_ok(off, len))
		return;
	lock_take(&v->hw.lock);
	if (len == 8) /* the low half last: it is the one with effects */
		write32(v, off + 4, (u32)(value >> 32));
	write32(v, off, (u32)value);
	raise = v->raise;
	v->raise = false;
	lock_drop(&v->hw.lock);
	if (raise && hw->irq)
		hw->irq(hw->irq_arg);
}
