/* SPDX-License-Identifier: MIT */
/*
 * VT-d: an IOMMU of Intel's architecture in legacy mode, with queued invalidation.
 *
 * What is not in its capabilities is not there: scalable mode, device TLBs, interrupt remapping,
 * pass-through, register-based invalidation, advanced fault logging. One thing differs on purpose:
 * with translation off it blocks (vtd_walk.c).
 */
#include "hw/vtd.h"

static void vtd_reset(struct hw_iommu *hw)
{
	struct hw_vtd *v = to_vtd(hw);

	lock_take(&hw->lock);
	atomic_store(&v->gsts, 0);
	atomic_store(&v->root, 0);
	v->rtaddr = v->iqa = v->iqt = v->iqh = v->iqercd = 0;
	v->fsts = v->ics = 0;
	v->fectl = v->iectl = VTD_EVENT_IM;
	v->fedata = v->feaddr = v->feuaddr = v->iedata = v->ieaddr = v->ieuaddr = 0;
	memset(v->frcd, 0, sizeof(v->frcd));
	v->fri = v->next = 0;
	v->raise = false;
	context_drop_all(hw);
	iotlb_drop_all(hw);
	lock_drop(&hw->lock);
}

static void vtd_free(struct hw_iommu *hw)
{
	struct env *env = hw->env;

	hw_fini(hw);
	env_free(env, to_vtd(hw));
}

static void vtd_describe(struct hw_iommu *hw, json_t *out)
{
	static const struct {
		const char *name;
		u32 off;
		unsigned len;
	} regs[] = {
		{"ver", VTD_VER, 4},	 {"cap", VTD_CAP, 8},	    {"ecap", VTD_ECAP, 8},
		{"gsts", VTD_GSTS, 4},	 {"rtaddr", VTD_RTADDR, 8}, {"fsts", VTD_FSTS, 4},
		{"fectl", VTD_FECTL, 4}, {"iqh", VTD_IQH, 8},	    {"iqt", VTD_IQT, 8},
		{"iqa", VTD_IQA, 8},	 {"iqercd", VTD_IQERCD, 8},
	};
	json_t *r = json_object();

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		json_put(r, regs[i].name, json_hex(vtd_reg_read(hw, regs[i].off, regs[i].len)));
	json_put(out, "model", json_string("vtd"));
	json_put(out, "registers", r);
	hw_describe_ports(hw, out);
}

static const struct hw_ops vtd_ops = {
	.name = "vtd",
	.context = vtd_context,
	.walk = vtd_walk,
	.record = vtd_record,
	.reg_read = vtd_reg_read,
	.reg_write = vtd_reg_write,
	.reset = vtd_reset,
	.free = vtd_free,
	.explain = vtd_explain,
	.describe = vtd_describe,
};

int hw_vtd_new(struct env *env, struct mem *mem, const struct hw_vtd_cfg *cfg,
	       struct hw_iommu **out)
{
	struct hw_vtd *v;

	if (cfg->aw_bits != 39 && cfg->aw_bits != 48)
		return -EINVAL;
	v = env_zalloc(env, sizeof(*v));
	if (!v)
		return -ENOMEM;
	hw_init(&v->hw, &vtd_ops, env, mem);
	v->hw.hole = (struct iova_range){VTD_INTR_START, VTD_INTR_LAST};
	v->aw_bits = cfg->aw_bits;
	v->cap = VTD_CAP_ND_64K | VTD_CAP_SAGAW_39 | VTD_CAP_MGAW(cfg->aw_bits) |
		 VTD_CAP_FRO(VTD_FRCD) | VTD_CAP_SLLPS_2M | VTD_CAP_SLLPS_1G | VTD_CAP_PSI |
		 VTD_CAP_NFR(VTD_NR_FRCD) | VTD_CAP_MAMV(VTD_MAMV) | VTD_CAP_DWD | VTD_CAP_DRD;
	if (cfg->aw_bits == 48)
		v->cap |= VTD_CAP_SAGAW_48;
	v->ecap = VTD_ECAP_C | VTD_ECAP_QI | VTD_ECAP_SC | VTD_ECAP_IRO(VTD_IOTLB);
	vtd_reset(&v->hw);
	*out = &v->hw;
	return 0;
}
