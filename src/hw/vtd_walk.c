/* SPDX-License-Identifier: MIT */
/*
 * VT-d: from a request to a leaf, legacy mode (specification 3.4, 3.7, 9.1, 9.3, 9.8).
 *
 * Root table (by bus) -> context table (by device and function) -> second-stage table. Nothing that
 * is read is trusted: reserved bits and addresses without memory are faults with the
 * specification's reasons.
 */
#include "hw/vtd.h"

static int refuse(struct xlate_fault *fault, enum xlate_reason reason, enum vtd_fault_reason code)
{
	fault->reason = reason;
	fault->code = code;
	return -EFAULT;
}

/* A 128-bit entry is one access on the bus: read until its halves belong together. */
static int read_entry(struct hw_vtd *v, u64 oa, u64 entry[2])
{
	u64 again[2];

	if (hw_mem_read(v->hw.mem, OA(oa), entry, 16))
		return -EFAULT;
	for (unsigned i = 0; i < 100; i++) {
		if (hw_mem_read(v->hw.mem, OA(oa), again, 16))
			return -EFAULT;
		if (!memcmp(entry, again, 16))
			break;
		memcpy(entry, again, 16);
	}
	return 0;
}

static int read_root(struct hw_vtd *v, rid_t rid, u64 *out_table, struct xlate_fault *fault)
{
	u64 root = atomic_load(&v->root), entry[2];

	if (VTD_RTADDR_TTM(root))
		return refuse(fault, XLATE_BAD_TABLE, VTD_FR_TTM);
	if (read_entry(v, VTD_RTADDR_RTA(root) + (rid.v >> 8) * 16, entry))
		return refuse(fault, XLATE_BAD_TABLE, VTD_FR_ROOT_TABLE);
	if (!(entry[0] & VTD_ROOT_P))
		return refuse(fault, XLATE_BLOCKED, VTD_FR_ROOT_P);
	if (entry[0] & VTD_ROOT_RSVD || entry[1])
		return refuse(fault, XLATE_BAD_TABLE, VTD_FR_ROOT_RSVD);
	*out_table = VTD_ROOT_CTP(entry[0]);
	return 0;
}

static int check_context(struct hw_vtd *v, const u64 entry[2], struct xlate_fault *fault)
{
	unsigned aw = VTD_CTX_HI_AW(entry[1]);

	if (!(entry[0] & VTD_CTX_P))
		return refuse(fault, XLATE_BLOCKED, VTD_FR_CONTEXT_P);
	if (entry[0] & VTD_CTX_RSVD || entry[1] & VTD_CTX_HI_RSVD)
		return refuse(fault, XLATE_BAD_TABLE, VTD_FR_CONTEXT_RSVD);
	/* Only multi-level translation: pass-through and device TLBs are not in ECAP. */
	if (VTD_CTX_TT(entry[0]) || aw > 2 || !(VTD_CAP_GET_SAGAW(v->cap) & 1u << aw))
		return refuse(fault, XLATE_BAD_TABLE, VTD_FR_CONTEXT_INV);
	return 0;
}

/*
 * With translation off hardware passes requests through untranslated. This model has no such state:
 * it blocks, because a device that reaches memory no one gave it is never what the user wants.
 */
int vtd_context(struct hw_iommu *hw, rid_t rid, pasid_t pasid, struct hw_context *out,
		struct xlate_fault *fault)
{
	struct hw_vtd *v = to_vtd(hw);
	u64 table, entry[2];
	unsigned aw;
	int rc;

	if (!(atomic_load(&v->gsts) & VTD_GCMD_TE) || rid.v > 0xffff)
		return refuse(fault, XLATE_BLOCKED, VTD_FR_NONE);
	if (pasid.v)
		return refuse(fault, XLATE_BLOCKED, VTD_FR_TTM_PASID);
	rc = read_root(v, rid, &table, fault);
	if (rc)
		return rc;
	if (read_entry(v, table + (rid.v & 0xff) * 16, entry))
		return refuse(fault, XLATE_BAD_TABLE, VTD_FR_CONTEXT_TABLE);
	fault->quiet = entry[0] & VTD_CTX_P && entry[0] & VTD_CTX_FPD;
	rc = check_context(v, entry, fault);
	if (rc)
		return rc;
	aw = VTD_CTX_HI_AW(entry[1]);
	*out = (struct hw_context){
		.did = VTD_CTX_HI_DID(entry[1]),
		.top_level = (u8)(aw + 1),
		.flags = entry[0] & VTD_CTX_FPD ? HW_CONTEXT_QUIET : 0,
		.root = OA(VTD_CTX_SLPTPTR(entry[0])),
		.last = (1ull << min(30 + 9 * aw, v->aw_bits)) - 1,
	};
	return 0;
}

int vtd_walk(struct hw_iommu *hw, const struct hw_context *ctx, iova_t iova, enum perm perm,
	     struct pt_leaf *out, struct xlate_fault *fault)
{
	enum vtd_fault_reason missing = perm & PERM_W ? VTD_FR_WRITE : VTD_FR_READ;
	int rc;

	if (unlikely(iova.v > ctx->last))
		return refuse(fault, XLATE_RANGE, VTD_FR_BEYOND_AGAW);
	if (unlikely(iova.v - VTD_INTR_START <= VTD_INTR_LAST - VTD_INTR_START))
		return refuse(fault, XLATE_BLOCKED, VTD_FR_INTR);
	rc = vtdss_walk(hw->mem, ctx->root, ctx->top_level, iova.v, out);
	if (unlikely(rc == -ENOENT))
		return refuse(fault, XLATE_NOT_PRESENT, missing);
	if (unlikely(rc))
		return refuse(fault, XLATE_BAD_TABLE,
			      rc == -EINVAL ? VTD_FR_PTE_RSVD : VTD_FR_TABLE);
	if (unlikely((out->perm & perm) != perm))
		return refuse(fault, XLATE_PERM,
			      perm & ~out->perm & PERM_W ? VTD_FR_WRITE : VTD_FR_READ);
	return 0;
}

void vtd_explain(struct hw_iommu *hw, rid_t rid, pasid_t pasid, iova_t iova, json_t *out)
{
	struct hw_vtd *v = to_vtd(hw);
	struct xlate_fault fault = {.rid = rid, .pasid = pasid, .iova = iova};
	struct hw_context ctx;
	struct pt_leaf leaf;
	bool refused;
	u64 root = atomic_load(&v->root), table, entry[2];

	json_put(out, "root_table", json_hex(VTD_RTADDR_RTA(root)));
	if (!read_entry(v, VTD_RTADDR_RTA(root) + (rid.v >> 8 & 0xff) * 16, entry))
		json_put(out, "root_entry", json_hex(entry[0]));
	if (!read_root(v, RID(rid.v & 0xffff), &table, &fault) &&
	    !read_entry(v, table + (rid.v & 0xff) * 16, entry)) {
		json_put(out, "context_entry_lo", json_hex(entry[0]));
		json_put(out, "context_entry_hi", json_hex(entry[1]));
	}
	refused = vtd_context(hw, rid, pasid, &ctx, &fault);
	if (!refused) {
		json_put(out, "domain_id", json_integer(ctx.did));
		refused = vtd_walk(hw, &ctx, iova, 0, &leaf, &fault);
		/* What is blocked by its address alone gets to no table. */
		if (!refused || fault.reason != XLATE_BLOCKED)
			hw_explain_steps(hw, &pt_vtdss, &ctx, iova, out);
	}
	if (refused) {
		hw_explain_refused(&fault, out);
		json_put(out, "code", json_integer(fault.code));
	}
	hw_explain_cached(hw, rid, pasid, iova, out);
}
